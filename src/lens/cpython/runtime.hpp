// The interpreter found: runtime, version, interpreters, thread states and their frames.
#pragma once

#include "lens/cpython/code.hpp"
#include "lens/cpython/gil_words.hpp"
#include "lens/cpython/locate.hpp"
#include "lens/glibc/pthread.hpp"
#include "lens/view.hpp"

namespace coldcase::cpython {

struct PythonFrame {
  Addr at;  // PyFrameObject or _PyInterpreterFrame
  const Code* code = nullptr;
  std::int64_t lasti = -1;  // byte offset of the instruction in progress
  std::uint32_t line = 0;
};

struct PyThread {
  Addr at;
  std::uint64_t ident = 0;  // thread_id: pthread_self
  std::optional<std::size_t> core_thread;
  // Frames run by one native call of the evaluation function each, innermost first.
  std::vector<std::vector<PythonFrame>> runs;
  // For each of them, something that lies in the stack frame of that native call (3.10 on: its
  // CFrame; 3.12 on: the frame that marks the boundary). Empty when they do not agree.
  std::vector<Addr> anchors;
  // Another state of the same core thread runs inside this one (a sub-interpreter); so many frames
  // of such states come before its own in the thread's merged stack.
  bool outer = false;
  std::size_t inner_frames = 0;
  std::optional<std::int32_t> state;  // 3.13+: 0 detached, 1 attached
  std::string name;                   // from threading._active
  std::optional<bool> daemon;
};

struct Interpreter {
  Addr at;
  std::vector<PyThread> threads;
  Addr gil;  // what stands for it: struct _gil_runtime_state; in 3.6 one of its variables
  bool gil_locked = false;
  Addr gil_holder;  // thread state; stands only when locked
  GilWords gil_words;
  Addr gc_word;  // `collecting`: an int, 0 or 1
  std::optional<bool> gc_running;
};

struct Runtime {
  Addr at;  // _PyRuntime; of 3.6, interp_head
  const Module* module = nullptr;
  std::string version;  // "3.11.2", "3.11" when the micro version is unknown
  bool free_threaded = false;
  bool finalizing = false;
  const Layout* layout = nullptr;  // null: found, and no layout fits
  std::optional<Unread> missing;   // what cannot be told as the interpreter's file is not here
  std::vector<Interpreter> interpreters;
};

// What one lens run keeps: the objects read and the runtimes made of them.
class Python {
 public:
  // Null when there is no CPython in the process, or none whose state could be read (with a note).
  static std::unique_ptr<Python> open(const View& view, const Pthreads& pthreads,
                                      std::vector<Unread>& problems);
  Runtime runtime;
  const Objects& objects() const { return *objects_; }
  Codes& codes() { return *codes_; }
  // The frame at this address; nothing when there is none.
  std::optional<PythonFrame> read_frame(Addr at);

 private:
  void read_interpreters(const View& view, const Pthreads& pthreads);
  Interpreter read_interpreter(const View& view, const Pthreads& pthreads, Addr at);
  PyThread read_thread(const View& view, const Pthreads& pthreads, Addr at);
  void read_frames(PyThread& thread);
  bool learn_names();
  void assign_threads(const View& view);
  void order_states();
  bool is_incomplete(const PythonFrame& frame, std::uint8_t owner) const;
  std::string find_qualified_name(const PythonFrame& frame, Addr code) const;
  void qualify_names(const PyThread& thread);
  void read_thread_names(Interpreter& interpreter);

  Located located_;
  std::unique_ptr<Objects> objects_;
  std::unique_ptr<Codes> codes_;
};

}  // namespace coldcase::cpython
