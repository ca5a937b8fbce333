#include "report_samples.hpp"

namespace coldcase::test {
namespace {

Frame native(const char* function, ModuleId module, const char* file = "", std::uint32_t line = 0) {
  Frame frame;
  frame.function = function;
  frame.module = module;
  frame.file = file;
  if (line > 0) frame.line = line;
  frame.pc = Addr{std::uint64_t{0x7f0000001000} + line};
  return frame;
}

Frame python(const char* function, const char* file, std::uint32_t line) {
  Frame frame;
  frame.kind = FrameKind::python;
  frame.function = function;
  frame.file = file;
  frame.line = line;
  frame.in_app = true;
  frame.trust = Trust::interpreter;
  return frame;
}

// A stack of new frames.
StackId stack(Analysis& analysis, const std::vector<Frame>& frames) {
  Stack made;
  for (const Frame& frame : frames) {
    made.frames.push_back(static_cast<std::uint32_t>(analysis.facts.frames.size()));
    analysis.facts.frames.push_back(frame);
  }
  made.depth = frames.size();
  made.merge = Merge::exact;
  made.stop_code = "outermost";
  analysis.facts.stacks.push_back(made);
  return StackId{static_cast<std::uint32_t>(analysis.facts.stacks.size() - 1)};
}

ThreadFact thread(std::int64_t tid, const char* name, ThreadState state, StackId stack) {
  ThreadFact made;
  made.process = ProcessId{0};
  made.tid = tid;
  made.name = name;
  made.state = state;
  made.stack = stack;
  return made;
}

void finish(Analysis& analysis) {
  analysis.generator.version = "0.1.0";
  analysis.totals.thread_count = analysis.facts.threads.size();
  analysis.totals.listed_thread_count = analysis.facts.threads.size();
  analysis.totals.process_count = analysis.facts.processes.size();
  for (const Stack& made : analysis.facts.stacks) analysis.totals.frame_count += made.frames.size();
  analysis.redaction.left_out = {"arguments", "environment"};
}

Analysis base(const char* core, const char* writer) {
  Analysis analysis;
  InputFact input;
  input.kind = InputKind::core;
  input.path = std::string("/var/cores/") + core;
  input.process = ProcessId{0};
  input.writer = writer;
  input.present_bytes = 123456;
  input.truncated = false;
  input.taken_at = "2026-11-20T04:10:31Z";
  input.taken_source = "mtime";
  analysis.facts.inputs.push_back(input);
  ProcessFact process;
  process.pid = 9042;
  process.executable = ModuleId{0};
  process.arch = "x86_64";
  process.fate = Fate::alive;
  process.dump_reason = DumpReason::snapshot;
  RuntimeFact runtime;
  runtime.kind = "cpython";
  runtime.version = "3.12.1";
  runtime.free_threaded = false;
  runtime.module = ModuleId{0};
  InterpreterFact interpreter;
  interpreter.finalizing = false;
  interpreter.gc = GcFact{false, 2, ThreadId{}};
  runtime.interpreters.push_back(interpreter);
  process.runtimes.push_back(runtime);
  analysis.facts.processes.push_back(process);
  for (const char* name : {"python3.12", "libc.so.6", "_native.so"}) {
    ModuleFact module;
    module.name = name;
    module.path = std::string("/usr/lib/") + name;
    module.mapped.push_back(Place{ProcessId{0}, Addr{0x7f0000000000}});
    module.found = Found::file;
    module.symbols = SymbolLevel::dynamic;
    analysis.facts.modules.push_back(module);
  }
  return analysis;
}

constexpr ModuleId interpreter_module{0};
constexpr ModuleId libc{1};
constexpr ModuleId extension{2};

Wait wait_for(WaitKind kind, Ref on, std::uint32_t frame, EvidenceId evidence) {
  Wait wait;
  wait.kind = kind;
  wait.on = {on};
  wait.syscall_number = 202;
  wait.syscall_name = "futex";
  wait.ends = Ends::never;
  wait.frame = frame;
  wait.confidence = Confidence::proved;
  wait.evidence = {evidence};
  return wait;
}

Hold hold_of(ResourceId resource, Basis basis, std::uint32_t frame, EvidenceId evidence) {
  Hold hold;
  hold.resource = resource;
  hold.frame = frame;
  hold.confidence = Confidence::proved;
  hold.basis = basis;
  hold.evidence = {evidence};
  return hold;
}

void add_ring_facts(Analysis& analysis) {
  Facts& facts = analysis.facts;
  const EvidenceId owner{0};
  const EvidenceId gil{1};
  const EvidenceId futex{2};
  const EvidenceId wants{3};
  Evidence word{"the mutex's owner field holds 9043",
                Basis::owner_word,
                ThreadId{},
                ProcessId{},
                std::nullopt,
                ResourceId{0},
                Addr{0x7f0000200008},
                {},
                "pthread_mutex_t.__owner"};
  word.words.push_back(MemoryWord{"", Addr{0x7f0000200008}, 9043, ""});
  facts.evidence = {word,
                    Evidence{"the interpreter's last holder is MainThread",
                             Basis::interpreter,
                             ThreadId{0},
                             ProcessId{0},
                             std::nullopt,
                             ResourceId{1},
                             std::nullopt,
                             {},
                             "_gil_runtime_state, CPython 3.12"},
                    Evidence{"it sleeps on the mutex",
                             Basis::register_,
                             ThreadId{0},
                             ProcessId{},
                             0u,
                             ResourceId{0},
                             std::nullopt,
                             {},
                             ""},
                    Evidence{"it sleeps on the interpreter's gil_cond",
                             Basis::register_,
                             ThreadId{1},
                             ProcessId{},
                             0u,
                             ResourceId{1},
                             std::nullopt,
                             {},
                             ""}};
  ResourceFact mutex;
  mutex.kind = WaitKind::mutex;
  mutex.implementation = "pthread_mutex_t";
  mutex.label = "mutex in _native.so";
  mutex.at.push_back(Place{ProcessId{0}, Addr{0x7f0000200000}});
  mutex.state = LockState::locked;
  mutex.words.push_back(MemoryWord{"__owner", Addr{}, 9043, "LWP 9043"});
  mutex.owners.push_back(
      Owner{ThreadId{1}, std::nullopt, Confidence::proved, Basis::owner_word, {owner}});
  mutex.waiters = {ThreadId{0}};
  ResourceFact lock;
  lock.kind = WaitKind::gil;
  lock.label = "the GIL";
  lock.state = LockState::locked;
  lock.owners.push_back(
      Owner{ThreadId{0}, std::nullopt, Confidence::proved, Basis::interpreter, {gil}});
  lock.waiters = {ThreadId{1}, ThreadId{2}};
  facts.resources = {mutex, lock};
  facts.processes[0].runtimes[0].interpreters[0].gil = ResourceId{1};

  facts.threads[0].wait = wait_for(WaitKind::mutex, ResourceId{0}, 0, futex);
  facts.threads[0].holds = {hold_of(ResourceId{1}, Basis::interpreter, 2, gil)};
  facts.threads[1].wait = wait_for(WaitKind::gil, ResourceId{1}, 1, wants);
  facts.threads[1].wait->ends = Ends::poll_retry;
  facts.threads[1].holds = {hold_of(ResourceId{0}, Basis::owner_word, 4, owner)};
  facts.threads[2].wait = wait_for(WaitKind::gil, ResourceId{1}, 0, wants);
  facts.threads[2].tag = Tag::behind;
  PythonThread python_state;
  python_state.interpreter = InterpreterId{0};
  python_state.ident = "0x7f0000300000";
  python_state.daemon = false;
  python_state.gil_state = GilState::holds;
  facts.threads[0].python.push_back(python_state);
  facts.threads[0].api = Api{"cuInit", RuntimeId{0}, "memory", Confidence::very_likely};
}

Finding ring_finding() {
  Finding finding;
  finding.pattern = "gil-lock-inversion";
  finding.kind = FindingKind::deadlock;
  finding.confidence = Confidence::proved;
  finding.headline = "the GIL against a mutex of _native.so: flush waits, its holder wants the GIL";
  finding.summary = {"MainThread has the GIL and waits for the mutex.",
                     "LWP 9043 has the mutex and waits for the GIL.", "Neither can go on."};
  finding.story = {{"MainThread (LWP 9042) has the GIL.", {EvidenceId{1}}},
                   {"In flush at app.py:12 it waits for a mutex of _native.so.", {EvidenceId{2}}},
                   {"Thread worker (LWP 9043) has this mutex.", {EvidenceId{0}}},
                   {"It called back into Python and waits for the GIL.", {EvidenceId{3}}}};
  finding.threads = {ThreadId{0}, ThreadId{1}};
  finding.resources = {ResourceId{0}, ResourceId{1}};
  const auto edge = [](Ref from, Relation relation, Ref to, EvidenceId evidence) {
    return Edge{from, relation, to, Confidence::proved, {evidence}};
  };
  finding.path = {edge(ThreadId{0}, Relation::waits_for, ResourceId{0}, EvidenceId{2}),
                  edge(ResourceId{0}, Relation::held_by, ThreadId{1}, EvidenceId{0}),
                  edge(ThreadId{1}, Relation::waits_for, ResourceId{1}, EvidenceId{3}),
                  edge(ResourceId{1}, Relation::held_by, ThreadId{0}, EvidenceId{1})};
  finding.cyclic = true;
  Location at;
  at.file = "app.py";
  at.line = 12;
  at.function = "flush";
  finding.location = at;
  finding.advice = {Advice{"Release the GIL around the call of native_flush.", at, ""}};
  finding.signature = Signature{"cc1", "gil-lock-inversion: mutex@flush -> gil@on_event",
                                "cc1:7d2f0c51a9e3b6f0", "cc1:19c04e7aa1d255b8", ""};
  return finding;
}

}  // namespace

Analysis ring_sample() {
  Analysis analysis = base("core.9042", "gcore");
  Frame eval = native("_PyEval_EvalFrameDefault", interpreter_module);
  const StackId first = stack(
      analysis, {native("__lll_lock_wait", libc), native("native_flush", extension, "flush.cc", 31),
                 python("flush", "app.py", 12), eval, python("<module>", "app.py", 40)});
  const StackId second =
      stack(analysis,
            {native("pthread_cond_timedwait", libc), native("take_gil", interpreter_module),
             native("PyGILState_Ensure", interpreter_module), native("", extension),
             native("native_event", extension, "event.cc", 77), python("on_event", "app.py", 21)});
  const StackId third =
      stack(analysis, {native("take_gil", interpreter_module), eval, python("poll", "app.py", 55)});
  const StackId idle = stack(analysis, {native("epoll_wait", libc)});
  std::vector<ThreadFact>& threads = analysis.facts.threads;
  threads = {thread(9042, "MainThread", ThreadState::blocked, first),
             thread(9043, "worker", ThreadState::blocked, second),
             thread(9044, "poller", ThreadState::blocked, third)};
  for (std::int64_t tid = 9045; tid < 9049; ++tid)
    threads.push_back(thread(tid, "io", ThreadState::idle, idle));
  threads[0].site = 2;
  threads[1].site = 5;
  threads[2].site = 2;
  threads[0].tag = threads[1].tag = Tag::deadlocked;
  threads[0].findings = threads[1].findings = {FindingId{0}};
  add_ring_facts(analysis);
  analysis.findings = {ring_finding()};
  analysis.verdict = Verdict{VerdictKind::deadlock,
                             analysis.findings[0].headline,
                             Confidence::proved,
                             {FindingId{0}},
                             std::nullopt};
  analysis.facts.notes = {Note{"stripped-module",
                               Severity::info,
                               "_native.so has no symbols; one frame has no name",
                               "",
                               "",
                               {ModuleId{2}}}};
  finish(analysis);
  return analysis;
}

Analysis crash_sample() {
  Analysis analysis = base("core.7311.zst", "kernel");
  ProcessFact& process = analysis.facts.processes[0];
  process.fate = Fate::killed;
  process.dump_reason = DumpReason::signal;
  process.signal = SignalFact{11, "SIGSEGV", 1, "SEGV_MAPERR", Addr{0x18}, std::nullopt, false};
  const StackId where =
      stack(analysis,
            {native("geo::Index::nearest(geo::Point const&) const", extension, "src/index.cc", 88),
             python("snap_to_road", "routes.py", 41), python("handle", "server.py", 112)});
  analysis.facts.threads = {thread(7311, "MainThread", ThreadState::crashed, where)};
  analysis.facts.threads[0].tag = Tag::crashed;
  analysis.facts.threads[0].site = 0;
  analysis.facts.evidence = {Evidence{"the signal and the registers",
                                      Basis::register_,
                                      ThreadId{0},
                                      ProcessId{},
                                      0u,
                                      ResourceId{},
                                      std::nullopt,
                                      {},
                                      ""}};
  Finding finding;
  finding.pattern = "crash-null-deref";
  finding.kind = FindingKind::crash;
  finding.confidence = Confidence::proved;
  finding.headline = "geo::Index::nearest read through a null pointer at src/index.cc:88";
  finding.summary = {finding.headline};
  finding.story = {{"The C++ code read memory at address 0x18.", {EvidenceId{0}}}};
  finding.threads = {ThreadId{0}};
  CrashFact crash;
  crash.thread = ThreadId{0};
  crash.access = Access::read;
  crash.address = Addr{0x18};
  crash.address_is = "null + 0x18";
  crash.registers = {{"rax", Addr{0}}, {"rip", Addr{0x7f0000001058}}};
  crash.null_register = "rax";
  finding.crash = crash;
  Location at;
  at.file = "src/index.cc";
  at.line = 88;
  finding.advice = {Advice{"Check root_, or refuse nearest() before build().", at, ""}};
  analysis.findings = {finding};
  analysis.verdict = Verdict{
      VerdictKind::crash, finding.headline, Confidence::proved, {FindingId{0}}, std::nullopt};
  analysis.facts.notes = {Note{"truncated",
                               Severity::warning,
                               "10.0 % of the core are lost: it was cut; no stack is affected",
                               "raise the core limit",
                               "ulimit -c unlimited",
                               {InputId{0}}}};
  finish(analysis);
  analysis.totals.thread_count = 6;
  return analysis;
}

Analysis healthy_sample() {
  Analysis analysis = base("core.9042", "gcore");
  const StackId queue = stack(analysis, {native("__futex_abstimed_wait", libc),
                                         python("SimpleQueue.get", "queue.py", 171)});
  const StackId loop =
      stack(analysis, {native("epoll_wait", libc), python("main", "server.py", 57)});
  const StackId runs = stack(analysis, {python("resize", "images.py", 88)});
  for (std::int64_t tid = 9050; tid < 9066; ++tid)
    analysis.facts.threads.push_back(thread(tid, "http", ThreadState::idle, queue));
  analysis.facts.threads.push_back(thread(9066, "MainThread", ThreadState::idle, loop));
  analysis.facts.threads.push_back(thread(9067, "resizer", ThreadState::running, runs));
  analysis.facts.threads[16].site = 1;
  analysis.facts.threads[17].site = 0;
  PythonThread state;
  state.interpreter = InterpreterId{0};
  state.gil_state = GilState::holds;
  analysis.facts.threads[17].python.push_back(state);
  analysis.verdict.kind = VerdictKind::none;
  analysis.verdict.headline =
      "every blocked thread waits for work, and someone can still bring it.";
  finish(analysis);
  return analysis;
}

Analysis inconclusive_sample() {
  Analysis analysis = base("core.1", "kernel");
  Stack cut;
  cut.stop_code = "unreadable";
  cut.stop_text = "the stack's memory is not in the core";
  cut.stop_address = Addr{0x7ffc00001000};
  analysis.facts.stacks.push_back(cut);
  analysis.facts.threads = {thread(1, "", ThreadState::unknown, StackId{0})};
  analysis.verdict.headline = "the core holds no stack";
  analysis.facts.notes = {Note{"stacks-missing",
                               Severity::error,
                               "No thread's stack is in the core",
                               "Its writer left out private memory; let it write all of it",
                               "echo 0x3f > /proc/self/coredump_filter",
                               {InputId{0}}},
                          Note{"file-missing",
                               Severity::warning,
                               "libc.so.6 is not on this machine",
                               "name the folder that holds it",
                               "coldcase analyze --sysroot DIR core.1",
                               {ModuleId{1}}}};
  finish(analysis);
  return analysis;
}

}  // namespace coldcase::test
