// The closed words of the report contract: what machines match. Each enum's words stand in the
// order of its enumerators; writer, reader and schema all take them from here.
#pragma once

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

namespace coldcase {

enum class Confidence : std::uint8_t { hypothesis, likely, very_likely, proved };
inline constexpr std::string_view confidence_words[] = {"hypothesis", "likely", "very_likely",
                                                        "proved"};

// How a claim is known. Each basis has a highest confidence it may carry: ceiling_of().
enum class Basis : std::uint8_t {
  register_,
  owner_word,
  memory,
  interpreter,
  value_stack,
  landing_pad,
  cleanup_buffer,
  debug_info,
  call_site,
  name_string,
  exclusion,
  side_car,
  stack_scan,
  inference
};
inline constexpr std::string_view basis_words[] = {
    "register",    "owner_word",     "memory",     "interpreter", "value_stack",
    "landing_pad", "cleanup_buffer", "debug_info", "call_site",   "name_string",
    "exclusion",   "side_car",       "stack_scan", "inference"};

enum class VerdictKind : std::uint8_t { deadlock, hang, crash, none, inconclusive };
inline constexpr std::string_view verdict_words[] = {"deadlock", "hang", "crash", "none",
                                                     "inconclusive"};

enum class FindingKind : std::uint8_t { deadlock, hang, crash, info };
inline constexpr std::string_view finding_words[] = {"deadlock", "hang", "crash", "info"};

enum class ThreadState : std::uint8_t { blocked, idle, running, spinning, crashed, ended, unknown };
inline constexpr std::string_view state_words[] = {"blocked", "idle",  "running", "spinning",
                                                   "crashed", "ended", "unknown"};

// A task of an event loop: words of ThreadState where they mean the same. `ready` is due to run as
// soon as the loop's thread comes to it.
enum class TaskState : std::uint8_t { running, ready, blocked, idle, ended, unknown };
inline constexpr std::string_view task_state_words[] = {"running", "ready", "blocked",
                                                        "idle",    "ended", "unknown"};

enum class Tag : std::uint8_t { deadlocked, root_blocker, behind, idle, running, crashed };
inline constexpr std::string_view tag_words[] = {"deadlocked", "root_blocker", "behind",
                                                 "idle",       "running",      "crashed"};

enum class NameFrom : std::uint8_t { python, comm, entry, runtime };
inline constexpr std::string_view name_from_words[] = {"python", "comm", "entry", "runtime"};

// Where a thread's processor time stands: the core's note of the thread; the core's note of the
// process, the other threads taken off; the side-car.
enum class CpuFrom : std::uint8_t { core, core_remainder, side_car };
inline constexpr std::string_view cpu_from_words[] = {"core", "core_remainder", "side_car"};

// Kinds of resources, then the kinds of waits that are for no resource.
enum class WaitKind : std::uint8_t {
  gil,
  mutex,
  rwlock,
  condition,
  semaphore,
  barrier,
  once,
  static_guard,
  spinlock,
  polled_word,
  futex,
  malloc_arena,
  stdio_lock,
  loader_lock,
  file_lock,
  pipe,
  socket,
  python_lock,
  python_rlock,
  python_condition,
  import_lock,
  semlock,
  queue,
  future,
  event_loop,
  asyncio_lock,
  driver_lock,
  gpu_work,
  host_callback,
  collective,
  zmq_context,
  unknown,
  thread_exit,
  process_exit,
  task,
  io,
  sleep
};
inline constexpr std::string_view wait_words[] = {
    "gil",          "mutex",        "rwlock",       "condition",     "semaphore",
    "barrier",      "once",         "static_guard", "spinlock",      "polled_word",
    "futex",        "malloc_arena", "stdio_lock",   "loader_lock",   "file_lock",
    "pipe",         "socket",       "python_lock",  "python_rlock",  "python_condition",
    "import_lock",  "semlock",      "queue",        "future",        "event_loop",
    "asyncio_lock", "driver_lock",  "gpu_work",     "host_callback", "collective",
    "zmq_context",  "unknown",      "thread_exit",  "process_exit",  "task",
    "io",           "sleep"};

enum class Mode : std::uint8_t { read, write, exclusive, shared };
inline constexpr std::string_view mode_words[] = {"read", "write", "exclusive", "shared"};

enum class Ends : std::uint8_t { never, timeout, poll_retry };
inline constexpr std::string_view ends_words[] = {"never", "timeout", "poll_retry"};

enum class GilState : std::uint8_t { holds, waits, none };
inline constexpr std::string_view gil_state_words[] = {"holds", "waits", "none"};

enum class FrameKind : std::uint8_t { native, inline_, python, signal, gap, repeat };
inline constexpr std::string_view frame_words[] = {"native", "inline", "python",
                                                   "signal", "gap",    "repeat"};

enum class Trust : std::uint8_t { context, cfi, frame_pointer, scan, interpreter };
inline constexpr std::string_view trust_words[] = {"context", "cfi", "frame_pointer", "scan",
                                                   "interpreter"};

enum class Merge : std::uint8_t { exact, unsure, none };
inline constexpr std::string_view merge_words[] = {"exact", "unsure", "none"};

enum class LockState : std::uint8_t {
  free,
  locked,
  read_locked,
  write_locked,
  waiting,
  broken,
  unknown
};
inline constexpr std::string_view lock_state_words[] = {
    "free", "locked", "read_locked", "write_locked", "waiting", "broken", "unknown"};

enum class Relation : std::uint8_t { waits_for, held_by, ended_by, fed_by, runs, part_of };
inline constexpr std::string_view relation_words[] = {"waits_for", "held_by", "ended_by",
                                                      "fed_by",    "runs",    "part_of"};

enum class Severity : std::uint8_t { info, warning, error };
inline constexpr std::string_view severity_words[] = {"info", "warning", "error"};

enum class Found : std::uint8_t { core, file, debuginfod, missing, mismatch };
inline constexpr std::string_view found_words[] = {"core", "file", "debuginfod", "missing",
                                                   "mismatch"};

enum class SymbolLevel : std::uint8_t { none, dynamic, full, dwarf };
inline constexpr std::string_view symbol_words[] = {"none", "dynamic", "full", "dwarf"};

enum class Fate : std::uint8_t { alive, exited, killed, unknown };
inline constexpr std::string_view fate_words[] = {"alive", "exited", "killed", "unknown"};

enum class DumpReason : std::uint8_t { signal, snapshot, unknown };
inline constexpr std::string_view dump_words[] = {"signal", "snapshot", "unknown"};

enum class InputKind : std::uint8_t { core, gpu_core, sidecar, archive, unknown };
inline constexpr std::string_view input_words[] = {"core", "gpu_core", "sidecar", "archive",
                                                   "unknown"};

enum class Access : std::uint8_t { read, write, execute };
inline constexpr std::string_view access_words[] = {"read", "write", "execute"};

// The network that an address of a socket's other end is in.
enum class AddressScope : std::uint8_t { loopback, private_network, link_local, public_network };
inline constexpr std::string_view scope_words[] = {"loopback", "private", "link_local", "public"};

using WordList = std::span<const std::string_view>;
constexpr WordList words_of(Confidence) {
  return confidence_words;
}
constexpr WordList words_of(Basis) {
  return basis_words;
}
constexpr WordList words_of(VerdictKind) {
  return verdict_words;
}
constexpr WordList words_of(FindingKind) {
  return finding_words;
}
constexpr WordList words_of(ThreadState) {
  return state_words;
}
constexpr WordList words_of(TaskState) {
  return task_state_words;
}
constexpr WordList words_of(Tag) {
  return tag_words;
}
constexpr WordList words_of(NameFrom) {
  return name_from_words;
}
constexpr WordList words_of(CpuFrom) {
  return cpu_from_words;
}
constexpr WordList words_of(AddressScope) {
  return scope_words;
}
constexpr WordList words_of(WaitKind) {
  return wait_words;
}
constexpr WordList words_of(Mode) {
  return mode_words;
}
constexpr WordList words_of(Ends) {
  return ends_words;
}
constexpr WordList words_of(GilState) {
  return gil_state_words;
}
constexpr WordList words_of(FrameKind) {
  return frame_words;
}
constexpr WordList words_of(Trust) {
  return trust_words;
}
constexpr WordList words_of(Merge) {
  return merge_words;
}
constexpr WordList words_of(LockState) {
  return lock_state_words;
}
constexpr WordList words_of(Relation) {
  return relation_words;
}
constexpr WordList words_of(Severity) {
  return severity_words;
}
constexpr WordList words_of(Found) {
  return found_words;
}
constexpr WordList words_of(SymbolLevel) {
  return symbol_words;
}
constexpr WordList words_of(Fate) {
  return fate_words;
}
constexpr WordList words_of(DumpReason) {
  return dump_words;
}
constexpr WordList words_of(InputKind) {
  return input_words;
}
constexpr WordList words_of(Access) {
  return access_words;
}

template <class E>
concept Worded = requires(E e) {
  words_of(e);
};

template <Worded E>
constexpr std::string_view word(E value) {
  return words_of(value)[static_cast<std::size_t>(value)];
}

template <Worded E>
constexpr std::optional<E> find_word(std::string_view text) {
  const WordList words = words_of(E{});
  for (std::size_t i = 0; i < words.size(); ++i) {
    if (words[i] == text) return static_cast<E>(i);
  }
  return std::nullopt;
}

// The highest confidence a claim on this basis alone may carry when it names a holder.
constexpr Confidence ceiling_of(Basis basis) {
  switch (basis) {
    case Basis::register_:
    case Basis::owner_word:
    case Basis::memory:
    case Basis::interpreter:
    case Basis::exclusion:
    case Basis::side_car:
      return Confidence::proved;
    case Basis::value_stack:
    case Basis::landing_pad:
    case Basis::cleanup_buffer:
    case Basis::debug_info:
    case Basis::call_site:
    case Basis::name_string:
      return Confidence::very_likely;
    case Basis::stack_scan:
    case Basis::inference:
      return Confidence::likely;
  }
  return Confidence::hypothesis;
}

}  // namespace coldcase
