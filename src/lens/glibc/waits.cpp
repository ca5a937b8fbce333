#include "lens/glibc/waits.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace coldcase {
namespace {

// The calls of glibc a thread can be blocked in on a futex, with the object each waits on.
struct CallShape {
  std::string_view prefix;
  WaitKind kind;
  std::string_view implementation;
};

constexpr std::array shapes{
    CallShape{"pthread_mutex_", WaitKind::mutex, "pthread_mutex_t"},
    CallShape{"lll_mutex", WaitKind::mutex, "pthread_mutex_t"},
    CallShape{"pthread_rwlock_", WaitKind::rwlock, "pthread_rwlock_t"},
    CallShape{"pthread_cond_", WaitKind::condition, "pthread_cond_t"},
    CallShape{"sem_", WaitKind::semaphore, "sem_t"},
    CallShape{"new_sem_", WaitKind::semaphore, "sem_t"},
    CallShape{"pthread_join", WaitKind::thread_exit, ""},
    CallShape{"pthread_timedjoin", WaitKind::thread_exit, ""},
    CallShape{"pthread_clockjoin", WaitKind::thread_exit, ""},
    CallShape{"pthread_once", WaitKind::once, "pthread_once_t"},
    CallShape{"pthread_barrier_", WaitKind::barrier, "pthread_barrier_t"},
    CallShape{"cxa_guard_acquire", WaitKind::static_guard, "static-local guard"},
    CallShape{"lll_lock_wait_private", WaitKind::futex, "lock inside the C library"},
};

const CallShape* find_shape(std::string_view symbol) {
  const auto at = std::ranges::find_if(shapes, [&](const CallShape& shape) {
    return without_underscores(symbol).starts_with(shape.prefix);
  });
  return at == shapes.end() ? nullptr : &*at;
}

class GlibcLens {
 public:
  GlibcLens(const View& view, const Pthreads& pthreads, const NativeWaits& native,
            const std::vector<StackMap>& stacks, Ledger& ledger)
      : view_(view), pthreads_(pthreads), native_(native), stacks_(stacks), ledger_(ledger) {}

  void look(std::size_t i);

 private:
  struct Object {
    WaitKind kind = WaitKind::futex;
    std::string implementation = "futex";
    Addr address;
    std::optional<std::size_t> frame;  // of the walk
    std::optional<Mode> mode;
    std::optional<std::size_t> joined;
    Basis basis = Basis::register_;
  };

  Object object_of(std::size_t i, const FutexWait& futex) const;
  void set_rwlock(std::size_t i, const FutexWait& futex, Object& object) const;
  void wait_on_futex(std::size_t i, const FutexWait& futex);
  void wait_in_call(std::size_t i, const SystemCall& call);
  void describe(const Object& object, ResourceId id);
  void describe_mutex(Addr at, ResourceId id);
  void describe_rwlock(Addr at, ResourceId id);
  void set_owner(ResourceId id, std::int32_t owner, std::optional<Mode> mode, Addr field,
                 std::string_view name);
  std::int64_t tid_of(std::size_t i) const { return view_.core.threads[i].tid; }
  std::optional<std::uint32_t> merged(std::size_t i, std::optional<std::size_t> frame) const {
    if (!frame || *frame >= stacks_[i].native_at.size()) return std::nullopt;
    return stacks_[i].native_at[*frame];
  }

  const View& view_;
  const Pthreads& pthreads_;
  const NativeWaits& native_;
  const std::vector<StackMap>& stacks_;
  Ledger& ledger_;
};

// On +8 the expected value tells a reader from a writer; +12 is writers behind a writer; +0 are
// readers behind a queued writer (native-waits.md 3.4).
void GlibcLens::set_rwlock(std::size_t i, const FutexWait& futex, Object& object) const {
  const auto& name = view_.threads.name_of(view_.threads.walks[i].frames[*object.frame]).symbol;
  const bool writer = name.find("wrlock") != std::string::npos;
  object.mode = writer ? Mode::write : Mode::read;
  const std::uint64_t offset =
      writer ? (futex.expected == 2 ? 8 : 12) : (futex.expected == 3 ? 8 : 0);
  object.address = Addr{futex.address.value - offset};
  if (writer && offset == 12) {
    // A writer may also wait at +8 with other bits set: the word that must be a live rwlock
    // decides.
    const auto lock = read_rwlock(view_.image, object.address);
    if (lock && lock->writers_futex == 0 && lock->cur_writer == 0)
      object.address = Addr{futex.address.value - 8};
  }
}

GlibcLens::Object GlibcLens::object_of(std::size_t i, const FutexWait& futex) const {
  Object object;
  object.address = futex.address;
  const auto record = pthreads_.read_cleanup(i, futex.address);
  if (record && record->condition) {
    object = {WaitKind::condition, "pthread_cond_t", *record->condition,   std::nullopt,
              std::nullopt,        std::nullopt,     Basis::cleanup_buffer};
    object.frame = find_frame(view_, i, 8, {"pthread_cond_"});
    return object;
  }
  const Walk& walk = view_.threads.walks[i];
  const CallShape* shape = nullptr;
  for (std::size_t f = 0; f < std::min<std::size_t>(walk.frames.size(), 8) && shape == nullptr;
       ++f) {
    shape = find_shape(view_.threads.name_of(walk.frames[f]).symbol);
    if (shape != nullptr) object.frame = f;
  }
  if (shape == nullptr) return object;
  object.kind = shape->kind;
  object.implementation = std::string(shape->implementation);
  switch (shape->kind) {
    case WaitKind::rwlock:
      set_rwlock(i, futex, object);
      break;
    case WaitKind::barrier:
      object.address = Addr{futex.address.value - 4};
      break;
    case WaitKind::thread_exit:
      // Up to 2.42 a joiner sleeps on the other's tid, from 2.43 on its joinstate.
      for (const std::uint64_t field : {720u, 1576u}) {
        if (!object.joined) object.joined = pthreads_.find_block(Addr{futex.address.value - field});
      }
      break;
    case WaitKind::condition:
      // Without its record the word gives the condition up to the group: +40, +44 (2.25 to 2.40).
      object.address = Addr{futex.address.value - 40 - ((futex.address.value & 4) != 0 ? 4 : 0)};
      object.basis = Basis::inference;
      // Woken, and now waiting to get the mutex back.
      if (const auto mutex = read_mutex(view_.image, futex.address);
          futex.expected == 2 && mutex && pthreads_.find_owner(mutex->owner)) {
        object = {WaitKind::mutex, "pthread_mutex_t", futex.address,   object.frame,
                  std::nullopt,    std::nullopt,      Basis::register_};
      }
      break;
    default:
      break;
  }
  return object;
}

void GlibcLens::set_owner(ResourceId id, std::int32_t owner, std::optional<Mode> mode, Addr field,
                          std::string_view name) {
  ResourceFact& resource = ledger_.resource(id);
  const auto thread = pthreads_.find_owner(owner);
  const std::string value = std::to_string(owner);
  if (thread) {
    Evidence evidence;
    evidence.claim = "the lock's own " + std::string(name) + " field holds " + value;
    evidence.basis = Basis::owner_word;
    evidence.resource = id;
    evidence.thread = view_.thread_id(*thread);
    evidence.address = field;
    evidence.words.push_back({"", field, static_cast<std::uint32_t>(owner), ""});
    evidence.source = resource.implementation + "." + std::string(name) + ", glibc 2.25 and later";
    const EvidenceId known = ledger_.add_evidence(std::move(evidence));
    ledger_.add_hold(
        view_.thread_id(*thread),
        {id, mode, std::nullopt, std::nullopt, Confidence::proved, Basis::owner_word, {known}});
    return;
  }
  resource.owner_unknown_code = "owner_not_in_core";
  resource.owner_unknown_text = "its " + std::string(name) + " field holds " + value +
                                ", and no thread of this core has that number" +
                                (pthreads_.complete() ? "" : " (not all threads could be read)");
}

void GlibcLens::describe_mutex(Addr at, ResourceId id) {
  const auto mutex = read_mutex(view_.image, at);
  ResourceFact& resource = ledger_.resource(id);
  if (!mutex) {
    resource.owner_unknown_code = "unreadable";
    resource.owner_unknown_text =
        "the lock's memory is absent: " + std::string(text_of(mutex.error().why));
    return;
  }
  resource.state = mutex->lock == 0 ? LockState::free : LockState::locked;
  const auto holder = pthreads_.find_owner(mutex->owner);
  resource.words = {{"__lock", Addr{}, mutex->lock, mutex->lock == 2 ? "locked, with waiters" : ""},
                    {"__owner", Addr{}, static_cast<std::uint32_t>(mutex->owner),
                     holder ? "LWP " + std::to_string(tid_of(*holder)) : ""}};
  if (mutex->owner > 0) {
    set_owner(id, mutex->owner, Mode::exclusive, offset_by(at, 8), "__owner");
  } else {
    resource.owner_unknown_code = "owner_not_recorded";
    resource.owner_unknown_text = "its owner field is 0: it is being handed over";
  }
}

void GlibcLens::describe_rwlock(Addr at, ResourceId id) {
  const auto lock = read_rwlock(view_.image, at);
  ResourceFact& resource = ledger_.resource(id);
  if (!lock) {
    resource.owner_unknown_code = "unreadable";
    resource.owner_unknown_text =
        "the lock's memory is absent: " + std::string(text_of(lock.error().why));
    return;
  }
  const auto holder = pthreads_.find_owner(lock->cur_writer);
  resource.words = {{"__readers", Addr{}, lock->readers, ""},
                    {"__writers_futex", Addr{}, lock->writers_futex,
                     lock->writers_futex == 3 ? "a writer waits" : ""},
                    {"__cur_writer", Addr{}, static_cast<std::uint32_t>(lock->cur_writer),
                     holder ? "LWP " + std::to_string(tid_of(*holder)) : ""}};
  if (lock->cur_writer > 0) {
    resource.state = LockState::write_locked;
    set_owner(id, lock->cur_writer, Mode::write, offset_by(at, 24), "__cur_writer");
  } else if (!lock->write_phase() && lock->reader_count() > 0) {
    resource.state = LockState::read_locked;
    resource.owner_unknown_code = "readers_not_recorded";
    resource.owner_unknown_text =
        counted(lock->reader_count(), "reader") +
        " hold it; the lock counts readers and does not record who they are";
  }
}

void GlibcLens::describe(const Object& object, ResourceId id) {
  ResourceFact& resource = ledger_.resource(id);
  if (!resource.label.empty()) return;
  std::string_view noun = word(object.kind);
  if (object.kind == WaitKind::static_guard) noun = "static-local guard";
  resource.label = label_of_object(view_, object.address, noun);
  if (object.kind == WaitKind::mutex) describe_mutex(object.address, id);
  if (object.kind == WaitKind::rwlock) describe_rwlock(object.address, id);
  if (object.kind == WaitKind::condition || object.kind == WaitKind::barrier) {
    resource.state = LockState::waiting;
    resource.owner_unknown_code = "no_owner";
    resource.owner_unknown_text = "nobody owns it: some thread has to signal it";
  }
  if (object.kind == WaitKind::semaphore) {
    const auto value = view_.image.read<std::uint64_t>(object.address);
    if (value) {
      resource.state = (*value & 0xffffffff) == 0 ? LockState::locked : LockState::free;
      resource.words = {{"value", Addr{}, *value & 0xffffffff, ""},
                        {"nwaiters", Addr{}, *value >> 32, ""}};
      resource.state_waiters = *value >> 32;
    }
    resource.owner_unknown_code = "no_owner";
    resource.owner_unknown_text = "a semaphore does not record who took it";
  }
}

void GlibcLens::wait_on_futex(std::size_t i, const FutexWait& futex) {
  const Object object = object_of(i, futex);
  Wait wait;
  wait.kind = object.kind;
  wait.mode = object.mode;
  wait.syscall_number = call_futex;
  wait.syscall_name = "futex";
  wait.ends = futex.timed ? Ends::timeout : Ends::never;
  wait.frame = merged(i, object.frame);
  wait.confidence =
      futex.stale ? Confidence::likely : std::min(Confidence::proved, ceiling_of(object.basis));
  // For what a thread waits (not who holds it) its own waiter record is proof.
  if (!futex.stale && object.basis == Basis::cleanup_buffer) wait.confidence = Confidence::proved;
  Evidence evidence;
  evidence.basis = object.basis;
  evidence.thread = view_.thread_id(i);
  evidence.frame = wait.frame;
  evidence.address = futex.address;
  evidence.source = "registers rdi, rsi, rdx, r10 of a thread asleep in futex";
  const std::string timeout = futex.timed ? "with a timeout" : "without a timeout";
  if (object.joined) {
    const ThreadId target = view_.thread_id(*object.joined);
    wait.on.push_back(target);
    evidence.claim = "it sleeps on the thread number of LWP " +
                     std::to_string(tid_of(*object.joined)) + ", " + timeout;
  } else {
    const ResourceId id =
        ledger_.resource_at(view_.process, object.address, object.kind, object.implementation);
    describe(object, id);
    wait.on.push_back(id);
    wait.at = id;
    evidence.resource = id;
    evidence.claim = object.basis == Basis::cleanup_buffer
                         ? "its own waiter record names the condition, " + timeout
                         : "its registers hold the lock's address (futex word " +
                               hex(futex.address.value) + "), " + timeout;
  }
  wait.evidence.push_back(ledger_.add_evidence(std::move(evidence)));
  const bool work = object.kind == WaitKind::condition || object.kind == WaitKind::semaphore ||
                    object.kind == WaitKind::futex || object.kind == WaitKind::barrier;
  ledger_.thread(view_.thread_id(i)).state = work ? ThreadState::idle : ThreadState::blocked;
  ledger_.set_wait(view_.thread_id(i), std::move(wait));
}

void GlibcLens::wait_in_call(std::size_t i, const SystemCall& call) {
  Wait wait;
  const CallClass kind = class_of_call(call.number);
  wait.kind = kind == CallClass::sleep ? WaitKind::sleep : WaitKind::io;
  if (kind == CallClass::child) wait.kind = WaitKind::process_exit;
  if (call.restarted || kind == CallClass::other) wait.kind = WaitKind::unknown;
  wait.syscall_number = call.number;
  wait.syscall_name = std::string(system_call_name(call.number));
  wait.confidence = Confidence::proved;
  const auto& registers = view_.core.threads[i].registers;
  if (kind == CallClass::sleep) wait.ends = Ends::timeout;
  if (call.number == 7) {
    wait.ends =
        static_cast<std::int32_t>(registers[Registers::rdx]) < 0 ? Ends::never : Ends::timeout;
  }
  wait.frame =
      stacks_[i].native_at.empty() ? std::nullopt : std::optional(stacks_[i].native_at.front());
  Evidence evidence;
  evidence.claim = "the kernel had it asleep in " +
                   (wait.syscall_name.empty() ? "system call " + std::to_string(call.number)
                                              : wait.syscall_name);
  evidence.basis = Basis::register_;
  evidence.thread = view_.thread_id(i);
  evidence.frame = wait.frame;
  wait.evidence.push_back(ledger_.add_evidence(std::move(evidence)));
  ledger_.thread(view_.thread_id(i)).state = ThreadState::idle;
  ledger_.set_wait(view_.thread_id(i), std::move(wait));
}

void GlibcLens::look(std::size_t i) {
  ThreadFact& thread = ledger_.thread(view_.thread_id(i));
  if (pthreads_.kernel_worker(i)) {
    thread.state = ThreadState::idle;
    thread.name = "kernel worker";
    thread.name_from = NameFrom::runtime;
    return;
  }
  const SystemCall& call = native_.calls[i];
  if (call.state != CallState::asleep) {
    thread.state = ThreadState::running;
    return;
  }
  if (native_.futexes[i]) return wait_on_futex(i, *native_.futexes[i]);
  wait_in_call(i, call);
}

}  // namespace

void look_at_glibc(const View& view, const Pthreads& pthreads, const NativeWaits& native,
                   const std::vector<StackMap>& stacks, Ledger& ledger) {
  GlibcLens lens(view, pthreads, native, stacks, ledger);
  for (std::size_t i = 0; i < view.core.threads.size(); ++i) lens.look(i);
}

}  // namespace coldcase
