// Sleeps in system calls other than futex: descriptors, children, time, signals, and what the
// arguments say of them.
#include <algorithm>

#include "base/text.hpp"
#include "lens/glibc/descriptors.hpp"
#include "lens/glibc/parts.hpp"

namespace coldcase::glibc {
namespace {

constexpr std::uint64_t most_descriptors = 1024;
constexpr std::int64_t set_lock_wait = 7, set_open_lock_wait = 38;  // F_SETLKW, F_OFD_SETLKW

using R = Registers;

struct TimeSpec {
  std::optional<std::uint64_t> ms;
};

// struct timespec or timeval: seconds and a fraction of a second in `unit`.
TimeSpec read_time(const View& view, Addr at, std::int64_t unit) {
  const auto words = view.image.read<std::array<std::int64_t, 2>>(at);
  if (!words || (*words)[0] < 0 || (*words)[0] > (std::int64_t{1} << 40) || (*words)[1] < 0 ||
      (*words)[1] >= unit)
    return {};
  return {static_cast<std::uint64_t>((*words)[0]) * 1000 +
          static_cast<std::uint64_t>((*words)[1] / (unit / 1000))};
}

class CallReader {
 public:
  CallReader(const LensContext& context, std::size_t i)
      : context_(context),
        view_(context.view),
        registers_(context.view.core.threads[i].registers),
        call_(context.native.calls[i]) {}

  void read(Wait& wait);
  // What the evidence adds to "the kernel had it asleep in ...".
  std::string detail;

 private:
  std::int64_t signed_at(R::Index index) const {
    return static_cast<std::int32_t>(registers_[index]);
  }
  void on_descriptor(Wait& wait, std::int64_t fd, WaitKind hint, std::optional<Mode> mode);
  void set_timeout(Wait& wait, std::optional<std::uint64_t> ms) {
    wait.ends = Ends::timeout;
    wait.timeout_ms = ms;
  }
  void add_unread(Wait& wait);
  void read_poll(Wait& wait);
  void read_select(Wait& wait);
  void on_set(Wait& wait, std::uint64_t bits, std::uint64_t first, std::uint64_t count, Mode mode);
  void read_epoll(Wait& wait);
  void read_lock(Wait& wait);
  void read_key(Wait& wait, WaitKind kind, std::string_view what);
  void read_sleep(Wait& wait, R::Index at, bool absolute);

  const LensContext& context_;
  const View& view_;
  const Registers& registers_;
  const SystemCall& call_;
};

void CallReader::on_descriptor(Wait& wait, std::int64_t fd, WaitKind hint,
                               std::optional<Mode> mode) {
  const ResourceId id = resource_of_descriptor(view_, context_.ledger, fd, hint);
  if (std::ranges::find(wait.on, Ref(id)) == wait.on.end()) wait.on.push_back(id);
  wait.mode = mode;
  const WaitKind kind = context_.ledger.resource(id).kind;
  if (wait.on.size() == 1 && (kind == WaitKind::pipe || kind == WaitKind::socket)) wait.kind = kind;
  wait.ends = Ends::never;
}

// More may end the wait than was read: without this the wait would look complete.
void CallReader::add_unread(Wait& wait) {
  const ResourceId id = context_.ledger.named_resource(
      "more:" + std::to_string(view_.process.index), WaitKind::unknown, "file descriptors");
  ResourceFact& fact = context_.ledger.resource(id);
  fact.label = "more file descriptors, which could not be read";
  fact.owner_unknown_code = "unreadable";
  wait.on.push_back(id);
}

// struct pollfd: fd i32, events i16, revents i16. Any of them ends the wait.
void CallReader::read_poll(Wait& wait) {
  const std::uint64_t count = std::min(registers_[R::rsi], most_descriptors);
  for (std::uint64_t k = 0; k < count; ++k) {
    const auto row = view_.image.read<std::array<std::int32_t, 2>>(
        offset_by(registers_.at(R::rdi), static_cast<std::int64_t>(k * 8)));
    if (!row) {
      add_unread(wait);
      break;
    }
    if ((*row)[0] < 0) continue;
    const bool writes = ((*row)[1] & 4) != 0 && ((*row)[1] & 1) == 0;  // POLLOUT without POLLIN
    on_descriptor(wait, (*row)[0], WaitKind::unknown, writes ? Mode::write : Mode::read);
  }
  if (registers_[R::rsi] > most_descriptors) add_unread(wait);
  wait.kind = WaitKind::io;
  wait.ends = Ends::never;
  if (system_call_name(call_.number) == "ppoll") {
    if (registers_[R::rdx] != 0)
      set_timeout(wait, read_time(view_, registers_.at(R::rdx), 1'000'000'000).ms);
  } else if (signed_at(R::rdx) >= 0) {
    set_timeout(wait, static_cast<std::uint64_t>(signed_at(R::rdx)));
  }
}

// A word of an fd_set: the descriptors from `first` on, below `count`.
void CallReader::on_set(Wait& wait, std::uint64_t bits, std::uint64_t first, std::uint64_t count,
                        Mode mode) {
  for (std::uint64_t bit = 0; bit < 64 && first + bit < count; ++bit) {
    if ((bits >> bit & 1) != 0)
      on_descriptor(wait, static_cast<std::int64_t>(first + bit), WaitKind::unknown, mode);
  }
}

// fd_set: a bit for each descriptor. The sets are inputs, intact while the thread sleeps.
void CallReader::read_select(Wait& wait) {
  const std::uint64_t count = std::min(registers_[R::rdi], most_descriptors);
  for (const R::Index set : {R::rsi, R::rdx, R::r10}) {
    if (registers_[set] == 0) continue;
    for (std::uint64_t word = 0; word * 64 < count; ++word) {
      const auto bits = view_.image.read<std::uint64_t>(
          offset_by(registers_.at(set), static_cast<std::int64_t>(word * 8)));
      if (!bits) add_unread(wait);
      const Mode mode = set == R::rdx ? Mode::write : Mode::read;
      if (bits) on_set(wait, *bits, word * 64, count, mode);
    }
  }
  // Without descriptors and with a timeout it is a way to sleep: time.sleep of CPython to 3.10.
  wait.kind = wait.on.empty() && registers_[R::r8] != 0 ? WaitKind::sleep : WaitKind::io;
  wait.ends = Ends::never;
  const bool timespec = system_call_name(call_.number) == "pselect6";
  if (registers_[R::r8] != 0)
    set_timeout(wait,
                read_time(view_, registers_.at(R::r8), timespec ? 1'000'000'000 : 1'000'000).ms);
}

void CallReader::read_epoll(Wait& wait) {
  on_descriptor(wait, signed_at(R::rdi), WaitKind::event_loop, std::nullopt);
  wait.kind = WaitKind::io;
  if (system_call_name(call_.number) == "epoll_pwait2") {
    if (registers_[R::r10] != 0)
      set_timeout(wait, read_time(view_, registers_.at(R::r10), 1'000'000'000).ms);
  } else if (signed_at(R::r10) >= 0) {
    set_timeout(wait, static_cast<std::uint64_t>(signed_at(R::r10)));
  }
}

void CallReader::read_lock(Wait& wait) {
  const ResourceId id =
      resource_of_descriptor(view_, context_.ledger, signed_at(R::rdi), WaitKind::file_lock);
  wait.on.push_back(id);
  wait.kind = WaitKind::file_lock;
  wait.ends = Ends::never;
  // flock: 1 LOCK_SH, 2 LOCK_EX; struct flock: l_type i16 0 read, 1 write.
  if (use_of_call(call_.number) == CallUse::flocks) {
    wait.mode = (registers_[R::rsi] & 3) == 1 ? Mode::shared : Mode::exclusive;
    return;
  }
  const auto type = view_.image.read<std::int16_t>(registers_.at(R::rdx));
  if (type) wait.mode = *type == 0 ? Mode::shared : Mode::exclusive;
}

// System V objects are known by their number, the same in every process.
void CallReader::read_key(Wait& wait, WaitKind kind, std::string_view what) {
  const std::string number = std::to_string(signed_at(R::rdi));
  const ResourceId id =
      context_.ledger.named_resource(std::string(what) + " " + number, kind, what);
  ResourceFact& fact = context_.ledger.resource(id);
  if (fact.label.empty()) {
    fact.label = std::string(what) + " " + number;
    fact.state = LockState::waiting;
    fact.owner_unknown_code = "no_owner";
    fact.owner_unknown_text = "the kernel keeps it: the core does not hold its state";
  }
  wait.on.push_back(id);
  wait.kind = kind;
  wait.ends = Ends::never;
  if (system_call_name(call_.number) == "semtimedop" && registers_[R::r10] != 0)
    set_timeout(wait, read_time(view_, registers_.at(R::r10), 1'000'000'000).ms);
  if (kind == WaitKind::semaphore) {
    // struct sembuf: num u16, op i16, flags i16.
    if (const auto row = view_.image.read<std::array<std::int16_t, 3>>(registers_.at(R::rsi)))
      detail = ", its semaphore number " + std::to_string((*row)[0]);
  }
}

void CallReader::read_sleep(Wait& wait, R::Index at, bool absolute) {
  wait.kind = WaitKind::sleep;
  const auto time = read_time(view_, registers_.at(at), 1'000'000'000);
  set_timeout(wait, absolute ? std::nullopt : time.ms);
  if (wait.timeout_ms)
    detail = " for " + std::to_string(*wait.timeout_ms / 1000) + "." +
             std::to_string(*wait.timeout_ms % 1000 / 100) + " s";
}

void CallReader::read(Wait& wait) {
  const std::int64_t fd = signed_at(R::rdi);
  switch (use_of_call(call_.number)) {
    case CallUse::reads:
      return on_descriptor(wait, fd, WaitKind::unknown, Mode::read);
    case CallUse::writes:
      return on_descriptor(wait, fd, WaitKind::unknown, Mode::write);
    case CallUse::receives:
    case CallUse::accepts:
      return on_descriptor(wait, fd, WaitKind::socket, Mode::read);
    case CallUse::sends:
    case CallUse::connects:
      return on_descriptor(wait, fd, WaitKind::socket, Mode::write);
    case CallUse::polls:
      return read_poll(wait);
    case CallUse::selects:
      return read_select(wait);
    case CallUse::epolls:
      return read_epoll(wait);
    case CallUse::flocks:
      return read_lock(wait);
    case CallUse::controls:
      if (signed_at(R::rsi) == set_lock_wait || signed_at(R::rsi) == set_open_lock_wait)
        read_lock(wait);
      return;
    case CallUse::semaphores:
      return read_key(wait, WaitKind::semaphore, "System V semaphore set");
    case CallUse::messages:
      return read_key(wait, WaitKind::queue, "System V message queue");
    case CallUse::sleeps:
      return read_sleep(wait, R::rdi, false);
    case CallUse::sleeps_clock:
      return read_sleep(wait, R::rdx, (registers_[R::rsi] & 1) != 0);
    case CallUse::child:
    case CallUse::waits_id:
      wait.kind = WaitKind::process_exit;
      wait.ends = Ends::never;
      return;
    case CallUse::signal:
      wait.ends = Ends::never;
      if (system_call_name(call_.number) == "rt_sigtimedwait" && registers_[R::rdx] != 0)
        set_timeout(wait, read_time(view_, registers_.at(R::rdx), 1'000'000'000).ms);
      return;
    case CallUse::disk:
    case CallUse::words:
      return;
    case CallUse::other:
      // io_getevents has its timeout in r8; io_uring_enter waits until enough is complete.
      if (class_of_call(call_.number) == CallClass::io) wait.ends = Ends::never;
      if (system_call_name(call_.number) == "io_getevents" && registers_[R::r8] != 0)
        set_timeout(wait, read_time(view_, registers_.at(R::r8), 1'000'000'000).ms);
      return;
  }
}

WaitKind kind_of(const SystemCall& call) {
  switch (class_of_call(call.number)) {
    case CallClass::sleep:
      return WaitKind::sleep;
    case CallClass::child:
      return WaitKind::process_exit;
    case CallClass::io:
    case CallClass::signal:
      return WaitKind::io;
    case CallClass::other:
      return WaitKind::unknown;
  }
  return WaitKind::unknown;
}

// What the kernel said of the connection when the side-car was taken.
std::string moved_text(const ConnectionFact& connection, bool writes) {
  const auto since = [](std::uint64_t ms) { return seconds_text(ms) + " before"; };
  std::string came, went;
  if (connection.received_ms)
    came = connection.received_bytes == 0
               ? "nothing has come in since it was connected, " + since(*connection.received_ms)
               : "data last came in " + since(*connection.received_ms);
  if (connection.sent_ms)
    went = connection.sent_bytes == 0 ? "nothing has gone out"
                                      : "data last went out " + since(*connection.sent_ms);
  std::string text = writes ? went : came;
  const std::string& other = writes ? came : went;
  if (!text.empty() && !other.empty()) text += ", ";
  text += other;
  if (connection.unread_bytes.value_or(0) > 0)
    text += ", " + std::to_string(*connection.unread_bytes) + " bytes that came in are unread";
  if (connection.untaken_bytes.value_or(0) > 0)
    text +=
        ", " + std::to_string(*connection.untaken_bytes) + " bytes are not taken by the other end";
  return text;
}

void add_connection_evidence(const LensContext& context, ThreadId thread, Wait& wait) {
  const ResourceId id =
      wait.on.size() == 1 ? wait.on.front().as<RefKind::resource>() : ResourceId{};
  const auto* connection = id.known() && context.ledger.resource(id).connection
                               ? &*context.ledger.resource(id).connection
                               : nullptr;
  const std::string moved =
      connection == nullptr ? "" : moved_text(*connection, wait.mode == Mode::write);
  if (moved.empty()) return;
  Evidence evidence;
  evidence.claim = "when the side-car was taken: " + moved;
  evidence.basis = Basis::side_car;
  evidence.thread = thread;
  evidence.resource = id;
  evidence.source =
      "the kernel's socket diagnosis: tcp_info.tcpi_last_data_recv, tcpi_last_data_sent";
  wait.evidence.push_back(context.ledger.add_evidence(std::move(evidence)));
}

// Behind a lock of another process, not for work.
bool stands_in_line(const Wait& wait) {
  return wait.kind == WaitKind::file_lock;
}

}  // namespace

void wait_in_call(const LensContext& context, std::size_t i) {
  const SystemCall& call = context.native.calls[i];
  const ThreadId id = context.view.thread_id(i);
  Wait wait;
  wait.kind = kind_of(call);
  wait.syscall_number = call.number;
  wait.syscall_name = std::string(system_call_name(call.number));
  wait.confidence = Confidence::proved;
  CallReader reader(context, i);
  reader.read(wait);
  wait.frame = context.stacks[i].native_at.empty()
                   ? std::nullopt
                   : std::optional(context.stacks[i].native_at.front());
  Evidence evidence;
  evidence.claim = "the kernel had it asleep in " +
                   (wait.syscall_name.empty() ? "system call " + std::to_string(call.number)
                                              : wait.syscall_name) +
                   reader.detail;
  if (call.written)
    evidence.claim += ", " + std::to_string(*call.written) + " bytes written and no room for more";
  evidence.basis = Basis::register_;
  evidence.thread = id;
  evidence.frame = wait.frame;
  if (wait.on.size() == 1) evidence.resource = wait.on.front().as<RefKind::resource>();
  wait.evidence.push_back(context.ledger.add_evidence(std::move(evidence)));
  add_connection_evidence(context, id, wait);
  context.ledger.thread(id).state = stands_in_line(wait) ? ThreadState::blocked : ThreadState::idle;
  context.ledger.set_wait(id, std::move(wait));
}

}  // namespace coldcase::glibc
