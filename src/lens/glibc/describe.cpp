// State and owner of the objects threads wait for.
#include <algorithm>

#include "base/text.hpp"
#include "lens/glibc/block_owner.hpp"
#include "lens/glibc/parts.hpp"

namespace coldcase::glibc {
namespace {

std::uint64_t unsigned_of(std::int32_t value) {
  return static_cast<std::uint32_t>(value);
}

void set_unreadable(ResourceFact& resource, const Fault& fault) {
  resource.owner_unknown_code = "unreadable";
  resource.owner_unknown_text = "its memory is absent: " + std::string(text_of(fault.why));
}

std::string lwp_of_word(const LensContext& context, std::int32_t tid) {
  auto holder = tid > 0 ? context.pthreads.find_owner(tid) : std::nullopt;
  if (!holder && tid > 0) holder = context.pthreads.find_owner_by_note(tid);
  return holder ? context.lwp(*holder) : std::string();
}

void describe_mutex(const LensContext& context, Addr at, ResourceId id) {
  const auto mutex = read_mutex(context.view.image, at);
  ResourceFact& resource = context.ledger.resource(id);
  if (!mutex) return set_unreadable(resource, mutex.error());
  resource.state = mutex->locked() ? LockState::locked : LockState::free;
  const std::string means = mutex->owner_died()      ? "its owner died"
                            : mutex->owner_in_word() ? "the owner's number, with waiters"
                            : mutex->lock == 2       ? "locked, with waiters"
                                                     : "";
  resource.words = {
      {"__lock", Addr{}, mutex->lock, means},
      {"__owner", Addr{}, unsigned_of(mutex->owner), lwp_of_word(context, mutex->owner)}};
  if (mutex->recursive()) resource.words.push_back({"__count", Addr{}, mutex->count, ""});
  if (mutex->owner_died()) {
    resource.state = LockState::broken;
    resource.owner_unknown_code = "owner_died";
    resource.owner_unknown_text = "the kernel marked it: its owner ended without releasing it";
    return;
  }
  const std::int32_t holder = mutex->holder();
  if (holder > 0) {
    set_owner(context, id,
              {holder, Mode::exclusive, offset_by(at, mutex->owner_in_word() ? 0 : 8),
               mutex->owner_in_word() ? "__lock" : "__owner", mutex->shared()});
  } else {
    // Taken, and its owner not yet written: in the only thread's process nobody will.
    const bool copied = mutex->locked() && !mutex->shared() && context.pthreads.complete() &&
                        context.view.core.threads.size() == 1 &&
                        !context.pthreads.lost_threads().empty();
    resource.owner_unknown_code = copied ? "holder_not_copied" : "owner_not_recorded";
    resource.owner_unknown_text =
        copied ? "its owner field is 0: a thread that fork did not copy was just taking it"
               : "its owner field is 0: it is being handed over";
  }
}

void describe_rwlock(const LensContext& context, Addr at, ResourceId id) {
  const auto lock = read_rwlock(context.view.image, at);
  ResourceFact& resource = context.ledger.resource(id);
  if (!lock) return set_unreadable(resource, lock.error());
  resource.words = {{"__readers", Addr{}, lock->readers, ""},
                    {"__writers_futex", Addr{}, lock->writers_futex,
                     lock->writers_futex == 3 ? "a writer waits" : ""},
                    {"__cur_writer", Addr{}, unsigned_of(lock->cur_writer),
                     lwp_of_word(context, lock->cur_writer)}};
  if (lock->cur_writer > 0) {
    resource.state = LockState::write_locked;
    set_owner(
        context, id,
        {lock->cur_writer, Mode::write, offset_by(at, 24), "__cur_writer", lock->shared != 0});
  } else if (!lock->write_phase() && lock->reader_count() > 0) {
    resource.state = LockState::read_locked;
    resource.owner_unknown_code = "readers_not_recorded";
    resource.owner_unknown_text = counted(lock->reader_count(), "reader") +
                                  (lock->reader_count() == 1 ? " holds" : " hold") +
                                  " it; the lock counts readers and does not record who they are";
  }
}

void describe_semaphore(const LensContext& context, Addr at, ResourceId id) {
  ResourceFact& resource = context.ledger.resource(id);
  const auto value = context.view.image.read<std::uint64_t>(at);
  resource.owner_unknown_code = "no_owner";
  resource.owner_unknown_text = "a semaphore does not record who took it";
  if (!value) {
    // A named semaphore's page is not in a kernel core while its file exists (coredump_filter).
    resource.owner_unknown_text =
        "a semaphore does not record who took it, and its page is not in "
        "the core";
    return;
  }
  resource.state = (*value & 0xffffffff) == 0 ? LockState::locked : LockState::free;
  resource.words = {{"value", Addr{}, *value & 0xffffffff, ""},
                    {"nwaiters", Addr{}, *value >> 32, ""}};
  resource.state_waiters = *value >> 32;
}

void describe_barrier(const LensContext& context, Addr at, ResourceId id) {
  ResourceFact& resource = context.ledger.resource(id);
  const auto barrier = read_barrier(context.view.image, at);
  if (!barrier || barrier->count == 0 || barrier->arrived() > barrier->count) return;
  resource.words = {{"count", Addr{}, barrier->count, "threads it waits for"},
                    {"arrived", Addr{}, barrier->arrived(), ""}};
  resource.owner_unknown_code = "not_arrived";
  resource.owner_unknown_text = std::to_string(barrier->arrived()) + " of " +
                                std::to_string(barrier->count) +
                                " have arrived; it does not record who is missing";
}

void describe_once(const LensContext& context, Addr at, ResourceId id) {
  ResourceFact& resource = context.ledger.resource(id);
  resource.state = LockState::locked;
  const auto runner = context.pthreads.find_once_runner(at);
  if (!runner) {
    resource.owner_unknown_code = "runner_not_found";
    resource.owner_unknown_text = "no thread of this core is running its initializer";
    return;
  }
  Evidence evidence;
  evidence.claim = "what it would undo on cancellation names this once: it runs the initializer";
  evidence.basis = Basis::cleanup_buffer;
  evidence.thread = context.view.thread_id(*runner);
  evidence.resource = id;
  evidence.address = at;
  evidence.source = "struct pthread.cleanup, glibc 2.31 and later";
  const EvidenceId known = context.ledger.add_evidence(std::move(evidence));
  context.ledger.add_hold(context.view.thread_id(*runner), {id,
                                                            Mode::exclusive,
                                                            std::nullopt,
                                                            std::nullopt,
                                                            Confidence::very_likely,
                                                            Basis::cleanup_buffer,
                                                            {known}});
}

// _IO_lock_t, and the other recursive locks inside the C library: lock 0, count 4, owner 8.
void describe_recursive(const LensContext& context, Addr at, ResourceId id) {
  ResourceFact& resource = context.ledger.resource(id);
  const auto words = context.view.image.read<std::array<std::uint32_t, 2>>(at);
  const auto owner = context.view.image.read_pointer(offset_by(at, 8));
  if (!words || !owner) return;
  resource.state = (*words)[0] != 0 ? LockState::locked : LockState::free;
  const auto holder = context.pthreads.find_block(*owner);
  resource.words = {{"lock", Addr{}, (*words)[0], ""},
                    {"cnt", Addr{}, (*words)[1], ""},
                    {"owner", Addr{}, owner->value, holder ? context.lwp(*holder) : ""}};
  if (owner->value == 0) {
    resource.owner_unknown_code = "owner_not_recorded";
    resource.owner_unknown_text = "its owner field is 0";
    return;
  }
  const Addr field = offset_by(at, 8);
  set_block_owner(context.view, context.pthreads, context.ledger, id,
                  {*owner, field, "the lock's own owner field is the thread block (pthread_self)",
                   "_IO_lock_t.owner, glibc 2.25 and later", Mode::exclusive, (*words)[1]});
}

// library/std/src/sys/sync/mutex/futex.rs: 0 free, 1 locked, 2 locked with waiters.
void describe_rust_mutex(const LensContext& context, Addr at, ResourceId id) {
  ResourceFact& resource = context.ledger.resource(id);
  const auto word = context.view.image.read<std::uint32_t>(at);
  if (!word) return set_unreadable(resource, word.error());
  resource.state = *word == 0 ? LockState::free : LockState::locked;
  resource.words = {{"futex", Addr{}, *word, *word == 2 ? "locked, with waiters" : ""}};
  resource.owner_unknown_code = "owner_not_recorded";
  resource.owner_unknown_text = "Rust's mutexes do not record who holds them";
}

// The word of FUTEX_LOCK_PI: waiters bit, owner-died bit, the owner's number.
void describe_pi_futex(const LensContext& context, Addr at, ResourceId id) {
  ResourceFact& resource = context.ledger.resource(id);
  const auto word = context.view.image.read<std::uint32_t>(at);
  if (!word) return set_unreadable(resource, word.error());
  const auto owner = static_cast<std::int32_t>(*word & 0x3fffffff);
  resource.state = *word != 0 ? LockState::locked : LockState::free;
  resource.words = {{"word", Addr{}, *word, lwp_of_word(context, owner)}};
  if (owner > 0) set_owner(context, id, {owner, Mode::exclusive, at, "word", false});
}

// musl: __lock at +4 of a mutex is the owner's number for every type but the plain one.
void describe_musl_mutex(const LensContext& context, Addr at, ResourceId id) {
  ResourceFact& resource = context.ledger.resource(id);
  const auto words = context.view.image.read<std::array<std::uint32_t, 2>>(at);
  if (!words) return set_unreadable(resource, words.error());
  resource.state = (*words)[1] != 0 ? LockState::locked : LockState::free;
  resource.words = {{"_m_lock", Addr{}, (*words)[1], ""}};
  resource.owner_unknown_code = "owner_not_recorded";
  resource.owner_unknown_text = "musl's plain mutex does not record its owner";
  if (((*words)[0] & 15) == 0) return;  // neither recursive, checking, robust nor PI
  const auto tid = static_cast<std::int32_t>((*words)[1] & 0x3fffffff);
  for (std::size_t i = 0; i < context.view.core.threads.size(); ++i) {
    if (context.view.core.threads[i].tid != tid) continue;
    Evidence evidence;
    evidence.claim = "the lock's own word holds " + std::to_string(tid);
    evidence.basis = Basis::owner_word;
    evidence.resource = id;
    evidence.thread = context.view.thread_id(i);
    evidence.address = offset_by(at, 4);
    evidence.source = "pthread_mutex_t._m_lock, musl 1.2";
    const EvidenceId known = context.ledger.add_evidence(std::move(evidence));
    context.ledger.add_hold(context.view.thread_id(i), {id,
                                                        Mode::exclusive,
                                                        std::nullopt,
                                                        std::nullopt,
                                                        Confidence::proved,
                                                        Basis::owner_word,
                                                        {known}});
  }
}

void set_label(const LensContext& context, const Object& object, ResourceFact& resource) {
  std::string noun(word(object.kind));
  if (object.kind == WaitKind::static_guard) noun = "static-local guard";
  if (object.kind == WaitKind::futex) noun = "futex";
  if (object.kind == WaitKind::futex && object.implementation == "std::atomic")
    noun = "std::atomic";
  if (!object.noun.empty()) noun = object.noun;
  if (noun.ends_with(", ")) noun += word(object.kind);
  if (object.proxy)
    resource.label =
        object.implementation + " (a waiter's word at " + hex(object.address.value) + ")";
  else
    resource.label = label_of_object(context.view, object.address, noun);
  // "the C library's own lock in tz_convert() tzset_lock": the name before the place.
  if (const auto in = noun.find(" in ");
      object.implementation == library_lock && in != std::string::npos)
    resource.label =
        label_of_object(context.view, object.address, noun.substr(0, in)) + "," + noun.substr(in);
  // "guard variable for settings()::made": the noun says the first half.
  constexpr std::string_view again = " guard variable for ";
  if (const auto at = resource.label.find(again);
      object.kind == WaitKind::static_guard && at != std::string::npos)
    resource.label.replace(at, again.size(), " of ");
}

void set_no_owner(ResourceFact& resource, std::string_view text) {
  resource.owner_unknown_code = "no_owner";
  resource.owner_unknown_text = text;
}

}  // namespace

void set_owner(const LensContext& context, ResourceId id, const OwnerWord& word) {
  ResourceFact& resource = context.ledger.resource(id);
  const auto surely = context.pthreads.find_owner(word.tid);
  const auto thread = surely ? surely : context.pthreads.find_owner_by_note(word.tid);
  const Confidence sure = surely ? Confidence::proved : Confidence::very_likely;
  const std::string value = std::to_string(word.tid);
  const std::string name(word.name);
  if (thread) {
    Evidence evidence;
    evidence.claim = "the lock's own " + name + " field holds " + value;
    if (!surely) evidence.claim += ", the number of this thread in the core's notes";
    if (context.tid_of(*thread) != word.tid)
      evidence.claim += ", which is " + context.lwp(*thread) + " in its own PID namespace";
    evidence.basis = Basis::owner_word;
    evidence.resource = id;
    evidence.thread = context.view.thread_id(*thread);
    evidence.address = word.field;
    evidence.words.push_back({"", word.field, unsigned_of(word.tid), ""});
    evidence.source = resource.implementation + "." + name + ", glibc 2.25 and later";
    const EvidenceId known = context.ledger.add_evidence(std::move(evidence));
    context.ledger.add_hold(
        context.view.thread_id(*thread),
        {id, word.mode, std::nullopt, std::nullopt, sure, Basis::owner_word, {known}});
    return;
  }
  // Thread numbers ascend: one from before this process existed was copied by fork.
  const std::int32_t pid = context.pthreads.inner_pid();
  const auto& lost = context.pthreads.lost_threads();
  const std::string text = "its " + name + " field holds " + value;
  resource.owner_unknown_code = "owner_not_in_core";
  resource.owner_unknown_text = text + ", and no thread of this core has that number";
  if (!context.pthreads.complete()) {
    resource.owner_unknown_text += " (not all threads could be read)";
  } else if (word.shared) {
    resource.owner_unknown_code = "owner_in_other_process";
    resource.owner_unknown_text += ": it is shared with other processes";
  } else if (std::ranges::find(lost, word.tid, &LostThread::tid) != lost.end()) {
    resource.owner_unknown_code = "owner_before_fork";
    resource.owner_unknown_text +=
        "; that thread never ended: fork copied its memory, and not the thread";
  } else if (pid > 0 && word.tid < pid) {
    resource.owner_unknown_code = "owner_before_fork";
    resource.owner_unknown_text +=
        "; the number is older than this process: most likely a thread of its parent held the lock "
        "at fork";
  } else {
    resource.owner_unknown_code = "owner_ended";
    resource.owner_unknown_text += ": that thread has ended and never released it";
  }
}

void describe_object(const LensContext& context, const Object& object, ResourceId id) {
  ResourceFact& resource = context.ledger.resource(id);
  if (!resource.label.empty()) return;
  set_label(context, object, resource);
  if (object.implementation == "pthread_mutex_t (musl)")
    return describe_musl_mutex(context, object.address, id);
  if (object.implementation == "Rust std::sync::Mutex")
    return describe_rust_mutex(context, object.address, id);
  if (object.implementation == "tcmalloc SpinLock") {
    resource.state = LockState::locked;
    resource.owner_unknown_code = "owner_not_recorded";
    resource.owner_unknown_text = "a spin lock does not record its owner";
  }
  if (object.implementation == "PI futex") return describe_pi_futex(context, object.address, id);
  if (object.implementation == "pthread_mutex_t") describe_mutex(context, object.address, id);
  if (object.implementation == "pthread_rwlock_t") describe_rwlock(context, object.address, id);
  if (object.kind == WaitKind::once && object.implementation == "pthread_once_t")
    describe_once(context, object.address, id);
  if (object.kind == WaitKind::stdio_lock || object.implementation.starts_with("recursive"))
    describe_recursive(context, object.address, id);
  if (object.implementation == library_lock) {
    resource.state = LockState::locked;
    resource.owner_unknown_code = "owner_not_recorded";
    resource.owner_unknown_text = "the C library's own locks do not record who holds them";
  }
  if (object.kind == WaitKind::malloc_arena) {
    resource.state = LockState::locked;
    resource.owner_unknown_code = "owner_not_recorded";
    resource.owner_unknown_text = "malloc's arenas do not record who holds them";
  }
  if (object.kind == WaitKind::condition || object.kind == WaitKind::barrier) {
    resource.state = LockState::waiting;
    set_no_owner(resource, "nobody owns it: some thread has to signal it");
  }
  if (object.implementation == "Rust thread parker" || object.implementation == "std::atomic") {
    resource.state = LockState::waiting;
    set_no_owner(resource, "nobody owns it: some thread has to wake the waiter");
  }
  if (object.kind == WaitKind::future) {
    resource.state = LockState::waiting;
    set_no_owner(resource, "nobody owns it: some thread has to fulfil it");
  }
  if (object.implementation == "pthread_barrier_t") describe_barrier(context, object.address, id);
  if (object.implementation == "libgomp barrier")
    describe_gomp_barrier(context, object.address, id);
  if (object.kind == WaitKind::semaphore) describe_semaphore(context, object.address, id);
}

}  // namespace coldcase::glibc
