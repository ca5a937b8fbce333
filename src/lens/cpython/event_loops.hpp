// asyncio as its objects tell it: loops, the threads that run them, tasks that have not ended with
// their await chains. Reads only; what it means for the report is said in tasks.cpp.
#pragma once

#include <map>
#include <set>

#include "lens/cpython/coroutines.hpp"

namespace coldcase::cpython {

struct EventLoop {
  Addr at;
  std::string type;                        // "_UnixSelectorEventLoop"; "uvloop.Loop"
  std::optional<std::size_t> core_thread;  // that runs it
  std::uint64_t ident = 0;                 // of that thread, also when it is not in the core
  std::optional<bool> running;             // some thread runs it
  std::optional<bool> closed;
  Addr ready;  // the deque of what is due; null: not readable
  std::optional<std::uint64_t> ready_count, timer_count;
  std::optional<std::uint64_t> file_count;  // that its selector watches
  Addr current;                             // the task it runs at the moment
  bool native() const { return type.starts_with("uvloop."); }
};

struct AsyncTask {
  Addr at, loop, coroutine;
  Addr waiter;  // the future it awaits; null: due
  std::string name;
  AwaitChain chain;
  bool current = false;
  bool due = false;  // runs as soon as its loop comes to it
};

// Of one interpreter.
struct EventLoops {
  Addr interpreter;
  std::vector<EventLoop> loops;
  std::vector<AsyncTask> tasks;  // by loop, then by name
  std::uint64_t unread = 0;      // tasks beyond the limit
  bool unknown_layout = false;   // there are tasks, and their form is not known here

  const EventLoop* find_loop(Addr at) const;
};

// The fields of futures and tasks, of _asyncio or of its twin in Python.
class Futures {
 public:
  Futures(const Objects& objects, const AsyncLayout& layout) : objects_(objects), layout_(layout) {}
  bool is_task(Addr object) const;
  bool is_future(Addr object) const;  // a task is one
  bool is_pending(Addr future) const;
  Addr loop_of(Addr future) const;
  Addr coroutine_of(Addr task) const;
  Addr waiter_of(Addr task) const;
  std::string name_of(Addr task) const;
  // Who is called when it is done: functions, bound methods.
  std::vector<Addr> callbacks_of(Addr future) const;
  // _asyncio's tasks are of another size than the version's row says.
  bool misfits(Addr task) const;

 private:
  enum class Form : std::uint8_t { none, future, task, python_future, python_task };
  Form form_of(Addr object) const;
  Addr field(Addr future, std::int32_t offset, std::string_view attribute) const;

  const Objects& objects_;
  const AsyncLayout& layout_;
  mutable std::map<std::uint64_t, Form> forms_;  // by type
};

// Empty when asyncio is not loaded.
EventLoops read_event_loops(Python& python, const AsyncLayout& layout,
                            const Interpreter& interpreter, const Pthreads& pthreads);

// The name of its class, with its module's for uvloop's: that is a class in Python named Loop.
std::string loop_type(const Objects& objects, Addr loop);

// What the loop object itself says: whether and where it runs, what is due.
void fill_loop(const Objects& objects, const Pthreads& pthreads, EventLoop& loop);

// The functions and objects that a loop's due handles will call, as far as they can be read: for
// each handle the pointers it holds.
std::vector<std::vector<Addr>> read_due(const Objects& objects, const EventLoop& loop,
                                        std::size_t most);

// The pointers an object of a class without an instance dict holds, from its own memory.
std::vector<Addr> words_of(const Objects& objects, Addr object);

}  // namespace coldcase::cpython
