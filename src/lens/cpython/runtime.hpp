// The interpreter found: runtime, version, interpreters, thread states and their frames.
#pragma once

#include "lens/cpython/code.hpp"
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
  std::optional<std::int32_t> state;  // 3.13+: 0 detached, 1 attached
  std::string name;                   // from threading._active
  std::optional<bool> daemon;
};

struct Interpreter {
  Addr at;
  std::vector<PyThread> threads;
  Addr gil;  // struct _gil_runtime_state
  bool gil_locked = false;
  Addr gil_holder;  // thread state; stands only when locked
  Addr gc_word;     // `collecting`: an int, 0 or 1
  std::optional<bool> gc_running;
};

struct Runtime {
  Addr at;  // _PyRuntime
  const Module* module = nullptr;
  std::string version;  // "3.11.2", "3.11" when the micro version is unknown
  bool free_threaded = false;
  bool finalizing = false;
  const Layout* layout = nullptr;  // null: found, and no layout fits
  std::vector<Interpreter> interpreters;
};

// What one lens run keeps: the objects read and the runtimes made of them.
class Python {
 public:
  // Null when there is no CPython in the process, or none whose state could be read (with a note).
  static std::unique_ptr<Python> open(const View& view, const Pthreads& pthreads,
                                      std::vector<std::string>& problems);
  Runtime runtime;
  const Objects& objects() const { return *objects_; }
  Codes& codes() { return *codes_; }
  // The frame at this address; nothing when there is none.
  std::optional<PythonFrame> read_frame(Addr at);

 private:
  void read_interpreters(const View& view, const Pthreads& pthreads);
  PyThread read_thread(const View& view, const Pthreads& pthreads, Addr at);
  void read_frames(PyThread& thread);
  std::string find_qualified_name(const PythonFrame& frame, Addr code) const;
  void qualify_names(const PyThread& thread);
  void read_thread_names(Interpreter& interpreter);

  std::optional<Layout> own_layout_;
  std::unique_ptr<Objects> objects_;
  std::unique_ptr<Codes> codes_;
};

// struct _gil_runtime_state (Include/internal/pycore_gil.h), the same 208 bytes in 3.7 to 3.15 with
// a GIL.
inline constexpr std::int64_t gil_last_holder = 8, gil_locked_word = 16, gil_switch_cond = 120,
                              gil_size = 208, gil_cond = 32;

}  // namespace coldcase::cpython
