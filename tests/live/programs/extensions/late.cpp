// A C++ library's worker that calls into Python from time to time. It is told to stop too late,
// when the interpreter is ending, and wants the GIL once more.

#include <Python.h>

#include <thread>

#include "turns.h"

namespace {

struct turns turns;  // taken: it has begun; asked: it shall come for the GIL

class Worker {
 public:
  void start() { thread_ = std::thread(&Worker::run, this); }
  void stop() {
    raise_flag(&turns.asked);
    thread_.join();
  }

 private:
  void call() noexcept {
    const PyGILState_STATE state = PyGILState_Ensure();
    PyGILState_Release(state);
  }
  void run() {
    const PyGILState_STATE outer = PyGILState_Ensure();
    PyThreadState *own = PyEval_SaveThread();
    raise_flag(&turns.taken);
    await_flag(&turns.asked);
    call();
    PyEval_RestoreThread(own);
    PyGILState_Release(outer);
  }
  std::thread thread_;
};
Worker worker;

PyObject *start(PyObject *, PyObject *) {
  worker.start();
  PyThreadState *state = PyEval_SaveThread();
  await_flag(&turns.taken);
  PyEval_RestoreThread(state);
  Py_RETURN_NONE;
}
PyObject *stop(PyObject *, PyObject *) {
  PyThreadState *state = PyEval_SaveThread();
  worker.stop();
  PyEval_RestoreThread(state);
  Py_RETURN_NONE;
}

PyMethodDef methods[] = {{"start", start, METH_NOARGS, nullptr},
                         {"stop", stop, METH_NOARGS, nullptr},
                         {nullptr, nullptr, 0, nullptr}};
PyModuleDef definition = {PyModuleDef_HEAD_INIT, "late", nullptr, -1, methods,
                          nullptr, nullptr, nullptr, nullptr};

}  // namespace

PyMODINIT_FUNC PyInit_late() { return PyModule_Create(&definition); }
