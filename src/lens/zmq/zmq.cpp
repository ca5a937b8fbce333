#include "lens/zmq/zmq.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "lens/zmq/context.hpp"
#include "threads/unwind.hpp"

namespace coldcase::zmq {
namespace {

constexpr std::int64_t call_poll = 7;
constexpr std::size_t most_stack_words = 512;
constexpr std::array callee_saved{dw_rbx, dw_rbp, dw_r12, dw_r13, dw_r14, dw_r15};
constexpr std::array<std::string_view, 16> register_names{"rax", "rdx", "rcx", "rbx", "rsi", "rdi",
                                                          "rbp", "rsp", "r8",  "r9",  "r10", "r11",
                                                          "r12", "r13", "r14", "r15"};

// The functions a program calls that end in a wait.
constexpr std::array<std::string_view, 3> ending{"zmq_ctx_term", "zmq_ctx_destroy", "zmq_term"};
constexpr std::array<std::string_view, 14> waiting{"zmq_recv",
                                                   "zmq_msg_recv",
                                                   "zmq_recvmsg",
                                                   "zmq_send",
                                                   "zmq_msg_send",
                                                   "zmq_sendmsg",
                                                   "zmq_send_const",
                                                   "zmq_poll",
                                                   "zmq_ppoll",
                                                   "zmq_poller_wait",
                                                   "zmq_proxy",
                                                   "zmq_poller_wait_all",
                                                   "zmq_proxy_steerable",
                                                   "zmq_connect_peer"};

template <class Names>
bool among(const Names& names, std::string_view name) {
  return std::ranges::find(names, name) != names.end();
}

bool is_c_library(const Module* module) {
  return module != nullptr && starts_with_any(module->name(), {"libc.so", "libc-2", "libpthread"});
}

// The function of libzmq that the program called: the outermost frame of the innermost run in that
// library (nothing but the C library lies inside it). An index into the walk.
struct Call {
  std::size_t frame = 0;
  const Module* module = nullptr;
  std::string name;
};

// What of the stack's words and registers led to the context.
struct FoundContext {
  Context context;
  Basis basis = Basis::register_;
  std::string where;  // "rbx"
  Addr address;
};

class ZmqLens {
 public:
  ZmqLens(const View& view, const NativeWaits& native, const std::vector<StackMap>& stacks,
          Ledger& ledger)
      : view_(view), native_(native), stacks_(stacks), ledger_(ledger), rules_(view.modules) {}

  void look(std::size_t i);
  void add_runtime();
  void note_limit();

 private:
  const Module* module_at(std::size_t i, std::size_t f) const {
    return view_.threads.rules.row(view_.threads.walks[i].frames[f].row).module;
  }
  const std::string& symbol_at(std::size_t i, std::size_t f) const {
    return view_.threads.name_of(view_.threads.walks[i].frames[f]).symbol;
  }
  std::optional<Call> find_call(std::size_t i) const;
  std::optional<std::size_t> helper_frame(std::size_t i) const;
  void name_helper(std::size_t i, std::size_t frame);
  std::optional<FoundContext> find_context_of(std::size_t i, const Call& call);
  std::optional<FoundContext> scan_stack(std::size_t i, std::size_t last, std::int32_t descriptor);
  void wait_for_context(std::size_t i, const Call& call);
  void describe(const FoundContext& found, ResourceId id);
  EvidenceId add_socket(const Socket& socket, ResourceId id);
  void set_api(std::size_t i, const Call& call);

  const View& view_;
  const NativeWaits& native_;
  const std::vector<StackMap>& stacks_;
  Ledger& ledger_;
  Rules rules_;  // of the few stacks that are walked again for their registers
  RuntimeId runtime_;
  const Module* module_ = nullptr;
  std::size_t budget_ = most_looks;
};

// libzmq itself, or an extension that has it inside: whose symbols say so.
void ZmqLens::add_runtime() {
  for (const Module& module : view_.modules.in_lookup_order()) {
    if (module_ == nullptr && module.name().starts_with("libzmq")) module_ = &module;
  }
  if (module_ == nullptr) return;
  std::uint32_t count = 0;
  for (const ProcessFact& process : ledger_.facts.processes)
    count += static_cast<std::uint32_t>(process.runtimes.size());
  runtime_ = {count};
  RuntimeFact fact;
  fact.kind = "zeromq";
  fact.module = view_.module_id(module_);
  ledger_.facts.processes[view_.process.index].runtimes.push_back(std::move(fact));
}

std::optional<Call> ZmqLens::find_call(std::size_t i) const {
  const auto& frames = view_.threads.walks[i].frames;
  std::optional<Call> call;
  const Module* library = nullptr;
  for (std::size_t f = 0; f < std::min<std::size_t>(frames.size(), 64); ++f) {
    const Module* module = module_at(i, f);
    if (library == nullptr && is_c_library(module)) continue;
    if (library == nullptr) library = module;
    if (module == nullptr || module != library) break;
    const std::string& symbol = symbol_at(i, f);
    if (among(ending, symbol) || among(waiting, symbol)) call = Call{f, module, symbol};
  }
  return call;
}

// A thread libzmq started: start_thread, then nothing but libzmq and the C library.
std::optional<std::size_t> ZmqLens::helper_frame(std::size_t i) const {
  const auto& frames = view_.threads.walks[i].frames;
  for (std::size_t f = 0; f + 1 < frames.size(); ++f) {
    const Module* module = module_at(i, f);
    if (module_ == nullptr || (module != module_ && !is_c_library(module))) return std::nullopt;
    if (module == module_ && symbol_at(i, f + 1) == "start_thread") return f;
  }
  return std::nullopt;
}

// From 4.3 on thread_t keeps the name it gives its thread ("ZMQbg/Reaper", "ZMQbg/IO/0"), and its
// thread_routine the thread_t in a register. Older ones have none.
void ZmqLens::name_helper(std::size_t i, std::size_t frame) {
  ThreadFact& thread = ledger_.thread(view_.thread_id(i));
  thread.state = ThreadState::idle;
  if (!thread.name.empty()) return;
  thread.name = "ZeroMQ thread";
  thread.name_from = NameFrom::runtime;
  Unwinder unwinder(view_.image, rules_);
  std::size_t at = 0;
  unwinder.walk(view_.core.threads[i].registers, [&](const WalkFrame&, const coldcase::Context& c) {
    if (at++ < frame) return true;
    for (const DwarfRegister number : callee_saved) {
      const auto value = c.get(number);
      if (!value) continue;
      const Bytes bytes = view_.image.view(Addr{*value}, 64);
      const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
      if (text.find("ZMQbg/R") != std::string_view::npos) thread.name = "ZeroMQ reaper";
      if (text.find("ZMQbg/IO") != std::string_view::npos) thread.name = "ZeroMQ I/O";
    }
    return false;
  });
}

void ZmqLens::set_api(std::size_t i, const Call& call) {
  ThreadFact& thread = ledger_.thread(view_.thread_id(i));
  Api api;
  api.name = clean_text(call.name, 128);
  api.runtime = call.module == module_ ? runtime_ : RuntimeId{};
  api.how = "call_site";
  api.confidence =
      call.module->identity == Identity::build_id ? Confidence::proved : Confidence::very_likely;
  thread.api = std::move(api);
}

// The words of the stack between the wait and the call; a leftover is not told from a live one.
std::optional<FoundContext> ZmqLens::scan_stack(std::size_t i, std::size_t last,
                                                std::int32_t descriptor) {
  const std::uint64_t from = view_.core.threads[i].registers[Registers::rsp];
  const std::uint64_t to = view_.threads.walks[i].frames[last].cfa;
  for (std::size_t w = 0; w < most_stack_words && from + w * 8 < to; ++w) {
    const Addr at{from + w * 8};
    const auto word = view_.image.read_pointer(at);
    if (!word) return std::nullopt;
    if (auto context = find_context(view_, *word, descriptor, budget_))
      return FoundContext{std::move(*context), Basis::stack_scan, "a word of its stack", at};
  }
  return std::nullopt;
}

std::optional<FoundContext> ZmqLens::find_context_of(std::size_t i, const Call& call) {
  std::int32_t descriptor = -1;
  const auto& registers = view_.core.threads[i].registers;
  // A wait that was stopped before goes on as restart_syscall, with poll's registers.
  if ((native_.calls[i].number == call_poll || native_.calls[i].restarted) &&
      registers[Registers::rsi] == 1)
    descriptor =
        view_.image.read<std::int32_t>(registers.at(Registers::rdi)).value_or(-1);  // pollfd.fd
  std::optional<FoundContext> found;
  Unwinder unwinder(view_.image, rules_);
  std::size_t at = 0;
  unwinder.walk(registers, [&](const WalkFrame&, const coldcase::Context& frame) {
    for (const DwarfRegister number : callee_saved) {
      const auto value = frame.get(number);
      if (!value || found) continue;
      auto context = find_context(view_, Addr{*value}, descriptor, budget_);
      // Something else it points to may have a context near by: the context is what it points to.
      if (!context || context->at.value != *value) continue;
      found = FoundContext{std::move(*context), Basis::register_,
                           std::string(register_names[number]), Addr{*value}};
    }
    return !found && at++ < call.frame;
  });
  if (found) return found;
  return scan_stack(i, call.frame, descriptor);
}

// "PUSH, tcp port 5555": without a host or a path.
std::string short_text(const Socket& socket) {
  return socket.type + (socket.endpoint.empty() ? ", no endpoint" : ", " + socket.endpoint);
}

EvidenceId ZmqLens::add_socket(const Socket& socket, ResourceId id) {
  Evidence evidence;
  evidence.claim = short_text(socket) + ": ";
  if (socket.open)
    evidence.claim += "the program has not closed it";
  else if (!socket.linger)
    evidence.claim += "closed by the program, and not gone yet";
  else if (*socket.linger < 0)
    evidence.claim += "closed, linger -1: it waits without end to send what is queued";
  else
    evidence.claim += "closed, goes after " + std::to_string(*socket.linger) + " ms of linger";
  evidence.basis = Basis::memory;
  evidence.process = view_.process;
  evidence.resource = id;
  evidence.address = socket.at;
  evidence.words = {{"", socket.tag, socket.tag_value, ""}};
  evidence.source = "zmq::socket_base_t, by its tag and its vtable's type name";
  return ledger_.add_evidence(std::move(evidence));
}

void ZmqLens::describe(const FoundContext& found, ResourceId id) {
  constexpr std::size_t listed = 8;
  const Context& context = found.context;
  const std::uint64_t open = context.open();
  const std::uint64_t closed = context.sockets.size() - open;
  ResourceFact& resource = ledger_.resource(id);
  if (!resource.label.empty()) return;
  resource.label = "ZeroMQ context";
  const std::string least = context.whole() ? " with " : " with at least ";
  if (open > 0) resource.label += least + counted(open, "open socket");
  if (open == 0 && closed > 0)
    resource.label += least + counted(closed, "socket") + " closed and not gone";
  resource.state = LockState::waiting;
  resource.words = {{"_sockets", Addr{}, context.count, "sockets that are not gone"},
                    {"open", Addr{}, open, "not closed by the program"},
                    {"closed", Addr{}, closed, "closed by the program, not gone"}};
  std::vector<std::string> names;
  for (const Socket& socket : context.sockets) {
    if (names.size() < listed && socket.open == (open > 0)) names.push_back(short_text(socket));
  }
  const std::uint64_t all = open > 0 ? open : closed;
  if (all > names.size()) names.push_back("and " + std::to_string(all - names.size()) + " more");
  resource.owner_unknown_code = "not_held";
  resource.owner_unknown_text =
      open > 0 ? "nobody holds it: the wait ends when the program has closed its sockets: " +
                     join(names, "; ")
      : closed > 0
          ? "nobody holds it: the wait ends when what was sent on its closed sockets is taken or "
            "their linger is over: " +
                join(names, "; ")
          : "nobody holds it: its last socket is being taken away";
}

// Open sockets, and closed ones that linger without end: no time ends these.
bool endless(const Context& context) {
  return std::ranges::any_of(context.sockets, [](const Socket& socket) {
    return socket.open || (socket.linger && *socket.linger < 0);
  });
}

void ZmqLens::wait_for_context(std::size_t i, const Call& call) {
  const ThreadId id = view_.thread_id(i);
  ThreadFact& thread = ledger_.thread(id);
  Wait wait = *thread.wait;
  wait.kind = WaitKind::zmq_context;
  if (call.frame < stacks_[i].native_at.size()) wait.frame = stacks_[i].native_at[call.frame];
  const auto found = find_context_of(i, call);
  thread.state = ThreadState::blocked;
  if (!found) {
    wait.confidence = Confidence::very_likely;
    ledger_.set_wait(id, std::move(wait));
    return;
  }
  const Context& context = found->context;
  const ResourceId resource =
      ledger_.resource_at(view_.process, context.at, WaitKind::zmq_context, "zmq::ctx_t");
  describe(*found, resource);
  for (const Socket& socket : context.sockets) add_socket(socket, resource);
  wait.on = {resource};
  wait.at = resource;
  wait.ends = endless(context) ? Ends::never : Ends::timeout;
  const bool sure = context.own_signal && context.terminating && !context.sockets.empty() &&
                    call.module->identity == Identity::build_id;
  // The descriptor in its registers is that of this context's mailbox: whatever led here, it is it.
  const Basis basis = context.own_signal ? Basis::register_ : found->basis;
  wait.confidence =
      std::min(sure ? Confidence::proved : Confidence::very_likely, ceiling_of(basis));
  Evidence evidence;
  evidence.claim = found->where + " points to the context that " + call.name +
                   " ends: " + counted(context.count, "socket") + " not gone" +
                   (context.own_signal ? ", and it sleeps on that context's own mailbox" : "");
  evidence.basis = basis;
  evidence.thread = id;
  evidence.frame = wait.frame;
  evidence.resource = resource;
  evidence.address = context.tag;
  evidence.words = {{"", context.tag, context_tag, ""}};
  evidence.source = "zmq::ctx_t, by its tag and its sockets' pointers back";
  wait.evidence.push_back(ledger_.add_evidence(std::move(evidence)));
  ledger_.set_wait(id, std::move(wait));
}

void ZmqLens::note_limit() {
  if (budget_ > 0) return;
  ledger_.add_note("zmq-limit", Severity::warning,
                   "what looks like ZeroMQ contexts and sockets was not all read: the limit is " +
                       std::to_string(most_looks),
                   {view_.process});
}

void ZmqLens::look(std::size_t i) {
  const ThreadFact& thread = ledger_.thread(view_.thread_id(i));
  if (native_.calls[i].state != CallState::asleep || !thread.wait) return;
  if (const auto frame = helper_frame(i)) return name_helper(i, *frame);
  const auto call = find_call(i);
  if (!call) return;
  set_api(i, *call);
  // It polls one descriptor: that of the context's mailbox.
  const bool polls = thread.wait->on.empty() || thread.wait->kind == WaitKind::io;
  if (among(ending, call->name) && polls) wait_for_context(i, *call);
}

}  // namespace

void look_at_zmq(const View& view, const NativeWaits& native, const std::vector<StackMap>& stacks,
                 Ledger& ledger) {
  ZmqLens lens(view, native, stacks, ledger);
  lens.add_runtime();
  for (std::size_t i = 0; i < view.core.threads.size(); ++i) lens.look(i);
  lens.note_limit();
}

}  // namespace coldcase::zmq
