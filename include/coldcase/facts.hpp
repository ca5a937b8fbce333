// What was read out of the cores of one incident, as values: processes, modules, threads with their
// waits and holds, stacks, resources, and the evidence each claim rests on. The stages that touch
// memory fill it; nothing after them reads a core. Members carry the names and meanings of the
// report contract (share/coldcase/coldcase-report-1.schema.json); an unset optional, an empty
// string or an unknown id is "unknown or not applicable", never zero.
#pragma once

#include <coldcase/address.hpp>
#include <coldcase/id.hpp>
#include <coldcase/words.hpp>
#include <cstdint>
#include <map>
#include <optional>
#include <string>
#include <vector>

namespace coldcase {

struct InputFact {
  InputKind kind = InputKind::unknown;
  std::string path;
  ProcessId process;
  std::string writer;       // kernel, gcore, other
  std::string compression;  // none, zstd, xz, lz4, gzip, bzip2
  std::string identity;     // "sha256:..." over ELF header, program headers and notes
  std::optional<std::uint64_t> file_bytes;
  std::optional<std::uint64_t> declared_bytes;
  std::optional<std::uint64_t> present_bytes;
  std::optional<bool> truncated;
  std::string taken_at;      // RFC 3339, UTC
  std::string taken_source;  // mtime, ...
  std::string problem_code;
  std::string problem_text;
};

struct GcFact {
  bool running = false;
  std::optional<std::int64_t> generation;
  ThreadId thread;
};

struct InterpreterFact {
  ResourceId gil;
  std::optional<bool> finalizing;
  std::optional<GcFact> gc;
};

struct RuntimeFact {
  std::string kind;  // cpython, cuda, glibc
  std::string version;
  std::optional<bool> free_threaded;
  ModuleId module;
  std::string details;
  std::vector<InterpreterFact> interpreters;
};

struct SignalFact {
  std::int64_t number = 0;
  std::string name;
  std::int64_t code = 0;
  std::string code_name;
  std::optional<Addr> address;
  std::optional<std::int64_t> sender_pid;
  std::optional<bool> from_outside;
};

// Its place in an MPI job. `job` names the job without telling its launcher's own name for it.
struct MpiFact {
  std::int64_t rank = 0;
  std::optional<std::int64_t> size;
  std::string job;
};

struct ProcessFact {
  bool captured = true;
  Fate fate = Fate::unknown;
  std::optional<std::int64_t> pid;
  ProcessId parent;
  std::string label;
  ModuleId executable;
  std::string arch;
  DumpReason dump_reason = DumpReason::unknown;
  std::optional<SignalFact> signal;
  std::vector<RuntimeFact> runtimes;
  std::optional<MpiFact> mpi;
  // Some of its code could have set a handler for a signal. Not written: it weighs findings.
  std::optional<bool> handles_signals = std::nullopt;
  // The signals ("SIGUSR1") that the program handles in Python (signal.signal). Not written, and
  // read only where a handler could end a wait of every thread; nothing: not read.
  std::optional<std::vector<std::string>> python_handlers = std::nullopt;
};

struct Wait {
  WaitKind kind = WaitKind::unknown;
  std::optional<Mode> mode;
  std::vector<Ref> on;  // any one would end it
  ResourceId at;        // what it blocks in physically
  ResourceId then;      // what it must take after that: a condition's mutex
  std::optional<std::int64_t> syscall_number;
  std::string syscall_name;
  std::optional<Ends> ends;
  std::optional<std::uint64_t> timeout_ms;  // as the thread asked for it, from when it began
  std::optional<std::uint32_t> frame;       // index into the stack's frames
  Confidence confidence = Confidence::hypothesis;
  std::vector<EvidenceId> evidence;
  std::optional<bool> all;  // of `on`, until the last of them has ended
};

struct Hold {
  ResourceId resource;
  std::optional<Mode> mode;
  std::optional<std::int64_t> count;
  std::optional<std::uint32_t> frame;
  Confidence confidence = Confidence::hypothesis;
  Basis basis = Basis::inference;
  std::vector<EvidenceId> evidence;
  // Of that frame, at which it was taken. Not written by itself: a finding tells it.
  std::optional<std::uint32_t> line = std::nullopt;
};

struct PythonThread {
  InterpreterId interpreter;
  std::string ident;  // hex
  std::string name;
  std::optional<bool> daemon;
  std::optional<GilState> gil_state;
  std::optional<bool> attached;
  std::optional<bool> in_gc;
};

// The runtime's function a thread is in, e.g. cuOccupancyMaxPotentialBlockSize.
struct Api {
  std::string name;
  RuntimeId runtime;
  std::string how;
  Confidence confidence = Confidence::hypothesis;
};

// Code a thread's interpreter runs because an object goes away: a __del__, a weak reference's
// callback, a generator's clean-up. Not written by itself: a finding tells it.
struct FinalizerFact {
  std::uint32_t frame = 0;                   // its outermost, an index into the stack's frames
  std::optional<std::uint32_t> interrupted;  // the Python frame on top of which it began
  std::string type;                          // of the object that goes away; empty unknown
  std::string role;                // what it is, where that is no __del__: "a generator's clean-up"
  std::optional<bool> collection;  // run by the cyclic collector; false: the last reference went
  std::optional<bool> asked;       // the interrupted line asked for the collection
  bool native = false;             // the frame is one of native code, no Python function
  Confidence confidence = Confidence::hypothesis;
  std::vector<EvidenceId> evidence;
};

// An argument or variable of a native frame, from DWARF: told only when asked for.
struct LocalFact {
  std::uint32_t frame = 0;  // index into the stack's frames
  std::string name;
  std::string type;   // "int", "char*"; empty unknown
  std::string value;  // "7", "true", "0x55d0 \"text\"", "Queue at 0x7ffd"; escaped, bounded
};

struct ThreadFact {
  ProcessId process;
  bool captured = true;
  std::optional<std::int64_t> tid;
  std::string name;
  std::optional<NameFrom> name_from;
  std::string entry;
  ThreadState state = ThreadState::unknown;
  std::optional<Tag> tag;
  std::vector<FindingId> findings;
  std::optional<Wait> wait;
  std::vector<Hold> holds;
  std::vector<PythonThread> python;
  StackId stack;
  std::optional<std::uint32_t> site;  // innermost frame of the user's own code
  std::optional<Api> api;
  // Processor time since it began, user and system, by the kernel's ticks; and how much of it the
  // kernel ran. Of `remainder` it is a bound: threads that have ended are in it.
  std::optional<std::uint64_t> cpu_ms;
  std::optional<std::uint64_t> cpu_system_ms;
  std::optional<CpuFrom> cpu_from;
  std::optional<std::uint64_t> age_ms;     // since it began, when the side-car was taken
  std::optional<bool> in_syscall;          // of one that is not asleep: in or just out of one
  std::optional<bool> stopped;             // by a signal (SIGSTOP, Ctrl-Z), as the side-car says
  std::vector<LocalFact> locals;           // only when asked for
  std::optional<FinalizerFact> finalizer;  // the innermost it is in
};

// A task of an event loop (asyncio), not ended. Of many that do the same in the same place the last
// one listed stands for the others.
struct TaskFact {
  ProcessId process;
  ThreadId thread;  // runs its loop
  ResourceId loop;  // of kind event_loop
  std::string name;
  TaskState state = TaskState::unknown;
  std::optional<Tag> tag;
  std::vector<FindingId> findings;
  std::optional<Wait> wait;
  std::vector<Hold> holds;
  StackId stack;  // its await chain, innermost first
  std::optional<std::uint32_t> site;
  std::optional<std::uint64_t> alike;  // so many more
};

// One frame as people see it. Stacks refer to a table of distinct ones: 500 threads in one place
// cost one label per frame, not 500.
struct Frame {
  FrameKind kind = FrameKind::native;
  std::string function;
  std::string symbol;
  ModuleId module;
  std::optional<Addr> module_offset;
  std::optional<Addr> pc;
  std::optional<std::uint64_t> symbol_offset;
  std::string file;
  std::optional<std::uint32_t> line;
  std::optional<std::uint32_t> column;
  std::optional<bool> in_app;
  Trust trust = Trust::cfi;
  // The name stands in a separate debug file alone. Not in reports: signatures pass over such
  // frames, so that they do not change with the debug files at hand.
  bool named_by_debug_file = false;
  std::optional<std::uint64_t> times;  // kind repeat: so many rounds ...
  std::optional<std::uint64_t> of;     // ... of so many frames above it
};

struct Stack {
  std::vector<std::uint32_t> frames;  // indices into Facts::frames, innermost first
  std::uint64_t depth = 0;            // frames in the process
  Merge merge = Merge::none;
  std::string stop_code;  // outermost unreadable did_not_advance no_unwind_info limit
  std::string stop_text;
  std::optional<Addr> stop_address;
};

struct MemoryWord {
  std::string name;  // in a resource's state; empty in evidence
  Addr address;      // in evidence
  std::uint64_t value = 0;
  std::string means;  // in a resource's state
};

struct Owner {
  Ref by;
  std::optional<Mode> mode;
  Confidence confidence = Confidence::hypothesis;
  Basis basis = Basis::inference;
  std::vector<EvidenceId> evidence;
};

struct Place {
  ProcessId process;
  Addr address;
};

// What a socket is one end of, as the side-car has it; times are from before that was taken.
struct ConnectionFact {
  std::string protocol;               // tcp, udp, unix
  std::string state;                  // ESTABLISHED, LISTEN ...
  std::optional<AddressScope> scope;  // of the other end
  std::optional<std::uint32_t> port;  // the other end's; its own where it listens
  std::string peer;  // the other end's address or path; only where the user asked for it
  // Since data came in, or went out; since the connection was made where none ever did.
  std::optional<std::uint64_t> received_ms, sent_ms;
  std::optional<std::uint64_t> received_bytes, sent_bytes;
  std::optional<std::uint64_t> unread_bytes;   // came in and was not read
  std::optional<std::uint64_t> untaken_bytes;  // written, and not taken by the other end
};

// The multiprocessing.Pool that a resource is, or whose result it is. Not written: it weighs
// findings.
struct PoolFact {
  std::vector<std::int64_t> pids;  // of its workers, as its own process numbers them
  std::vector<ProcessId> workers;  // those of them that have a core here
  std::uint64_t missing = 0;       // results, or pieces of work, that are not there
};

struct ResourceFact {
  WaitKind kind = WaitKind::unknown;
  std::string implementation;
  std::string label;
  std::string details;  // its state in words: "2 of 3 parties have arrived"
  std::vector<std::string> aliases;
  ResourceId part_of;
  std::vector<Place> at;
  LockState state = LockState::unknown;
  std::vector<MemoryWord> words;
  std::optional<std::uint64_t> state_waiters;
  std::optional<ConnectionFact> connection;  // of a socket
  std::optional<PoolFact> pool;
  std::vector<Owner> owners;
  // Who could end a wait on what nobody owns: writers of a pipe. Any one of them.
  std::vector<Owner> feeders;
  std::string owner_unknown_code;
  std::string owner_unknown_text;
  std::vector<Ref> waiters;
};

struct Evidence {
  std::string claim;
  Basis basis = Basis::inference;
  ThreadId thread;
  ProcessId process;
  std::optional<std::uint32_t> frame;
  ResourceId resource;
  std::optional<Addr> address;
  std::vector<MemoryWord> words;
  std::string source;  // struct, field and version it was read by
  TaskId task;
};

// The source package that a file was built from, as its package note tells.
struct PackageFact {
  std::string name;
  std::string version;
};

struct ModuleFact {
  std::string name;
  std::string path;
  std::string build_id;
  std::optional<PackageFact> package;
  std::vector<Place> mapped;
  Found found = Found::missing;
  std::string file;
  std::string refused;   // the file that was found in its place and is another build
  std::string identity;  // "same_layout": no build-id tells that `file` is the one that was mapped
  std::string debug_file;  // the separate file the names and lines are from
  std::string supplement;  // dwz's common part of it
  SymbolLevel symbols = SymbolLevel::none;
  std::string fetch;
};

struct Note {
  std::string code;
  Severity severity = Severity::info;
  std::string text;
  std::string advice;
  std::string command;
  std::vector<Ref> about;
};

// How a process died: what the signal, the registers and the abort message say.
struct CrashFact {
  ThreadId thread;
  std::optional<Access> access;
  std::optional<Addr> address;
  std::string address_is;
  std::map<std::string, Addr> registers;
  std::string null_register;
  std::string exception_type;
  std::string exception_what;
  std::string exception_runtime;
  std::string message;
};

struct Facts {
  std::vector<InputFact> inputs;
  std::vector<ProcessFact> processes;
  std::vector<ThreadFact> threads;
  std::vector<TaskFact> tasks;
  std::vector<Frame> frames;
  std::vector<Stack> stacks;
  std::vector<ResourceFact> resources;
  std::vector<Evidence> evidence;
  std::vector<ModuleFact> modules;
  std::vector<Note> notes;
  std::vector<CrashFact> crashes;  // not written by itself: a finding takes it
};

}  // namespace coldcase
