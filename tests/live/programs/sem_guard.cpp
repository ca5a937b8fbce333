// A semaphore used as a lock through a guard object of the program's own; its holder is stuck.

#include <semaphore.h>

#include <thread>

#include "holds.h"

namespace {

class Permit {
 public:
  explicit Permit(sem_t& from) : from_(from) { sem_wait(&from_); }
  ~Permit() { sem_post(&from_); }
  Permit(const Permit&) = delete;
  Permit& operator=(const Permit&) = delete;

 private:
  sem_t& from_;
};

sem_t connections;
volatile int taken = 0;
long served = 0;

[[gnu::noinline]] long serve_request() {
  Permit permit(connections);
  hold_set(&taken);
  return read_forever("server") + served;
}

[[gnu::noinline]] void open_another() {
  hold_wait_until(&taken);
  TRUTH_BLOCKS("client", "futex");
  Permit permit(connections);
  ++served;
}

}  // namespace

int main() {
  hold_open();
  sem_init(&connections, 0, 1);
  std::thread server(serve_request);
  std::thread client(open_another);
  truth_wait_for(2);
  truth_edge("client", "semaphore", "server");
  truth_ready("sem_guard.cpp", "blocked-holder", "hang");
  server.join();
  client.join();
  return static_cast<int>(served);
}
