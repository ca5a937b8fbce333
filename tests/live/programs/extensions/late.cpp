// A C++ library's worker that calls into Python from time to time. It is told to stop too late,
// when the interpreter is ending, and wants the GIL once more. Loaded through ctypes.CDLL: it
// needs four functions of the stable ABI and no headers.

#include <thread>

#include "turns.h"

extern "C" {
int PyGILState_Ensure();
void PyGILState_Release(int);
void* PyEval_SaveThread();
void PyEval_RestoreThread(void*);
}

namespace {

struct turns order;  // taken: it has begun; asked: it shall come for the GIL

class Worker {
 public:
  void start() { thread_ = std::thread(&Worker::run, this); }
  void stop() {
    raise_flag(&order.asked);
    thread_.join();
  }

 private:
  void call() noexcept {
    const int state = PyGILState_Ensure();
    PyGILState_Release(state);
  }
  void run() {
    const int outer = PyGILState_Ensure();
    void* own = PyEval_SaveThread();
    raise_flag(&order.taken);
    await_flag(&order.asked);
    call();
    PyEval_RestoreThread(own);
    PyGILState_Release(outer);
  }
  std::thread thread_;
};
Worker worker;

}  // namespace

extern "C" void start_worker() {
  worker.start();
  await_flag(&order.taken);
}

extern "C" void stop_worker() {
  worker.stop();
}
