// What each thread waits for: the driver of the C library's lens.
#include "lens/glibc/waits.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "lens/glibc/parts.hpp"

namespace coldcase {
namespace glibc {
namespace {

// Waits that are for work rather than for somebody in the way: a pool's, a consumer's.
bool waits_for_work(const Object& object) {
  switch (object.kind) {
    case WaitKind::condition:
    case WaitKind::semaphore:
    case WaitKind::futex:
    case WaitKind::barrier:
    case WaitKind::future:
      return !object.noun.starts_with("the ");  // an unnamed lock of the C library is in the way
    default:
      return false;
  }
}

void wait_for_thread(const LensContext& context, const Object& object, Wait& wait,
                     Evidence& evidence) {
  if (!object.joined) {
    evidence.claim = "it joins a thread that is not in this core";
    return;
  }
  wait.on.push_back(context.view.thread_id(*object.joined));
  evidence.claim = "it sleeps on the thread number of " + context.lwp(*object.joined);
}

// A futex without FUTEX_PRIVATE_FLAG: other processes may wake its waiters.
void note_shared(const FutexWait& futex, ResourceFact& resource) {
  const bool pthread = resource.implementation.starts_with("pthread_") ||
                       resource.implementation.starts_with("sem_");
  const bool noted =
      std::ranges::find(resource.words, "shared", &MemoryWord::name) != resource.words.end();
  if (futex.shared && pthread && !noted && resource.kind != WaitKind::mutex)
    resource.words.push_back({"shared", Addr{}, 1, "between processes"});
}

void wait_for_object(const LensContext& context, const Object& object, const FutexWait& futex,
                     Wait& wait, Evidence& evidence) {
  Ledger& ledger = context.ledger;
  const ProcessId process = context.view.process;
  const ResourceId id =
      object.proxy
          ? ledger.named_resource(
                "word:" + std::to_string(process.index) + ":" + hex(object.address.value),
                object.kind, object.implementation)
          : ledger.resource_at(process, object.address, object.kind, object.implementation);
  describe_object(context, object, id);
  note_shared(futex, ledger.resource(id));
  wait.on.push_back(id);
  wait.at = id;
  if (object.mutex) {
    Object mutex;
    mutex.kind = WaitKind::mutex;
    mutex.implementation = "pthread_mutex_t";
    mutex.address = *object.mutex;
    wait.then = ledger.resource_at(process, *object.mutex, mutex.kind, mutex.implementation);
    describe_object(context, mutex, wait.then);
  }
  for (const Addr other : futex.others) {
    const ResourceId also = ledger.resource_at(process, other, WaitKind::futex, "futex");
    Object word;
    word.address = other;
    describe_object(context, word, also);
    wait.on.push_back(also);
  }
  evidence.resource = id;
  const std::string place = hex(futex.address.value);
  if (object.basis == Basis::cleanup_buffer)
    evidence.claim = "its own waiter record names the " + std::string(word(object.kind));
  else if (object.basis == Basis::register_)
    evidence.claim = "its registers hold the lock's address (futex word " + place + ")";
  else
    evidence.claim = "it sleeps on the futex word " + place + ", which lies in this object";
}

void wait_on_futex(const LensContext& context, std::size_t i, const FutexWait& futex) {
  const Object object = find_object(context, i, futex);
  const ThreadId id = context.view.thread_id(i);
  Wait wait;
  wait.kind = object.kind;
  wait.mode = object.mode;
  wait.syscall_number = context.native.calls[i].number;
  wait.syscall_name = std::string(system_call_name(context.native.calls[i].number));
  wait.ends = futex.timed ? Ends::timeout : Ends::never;
  wait.timeout_ms = futex.timeout_ms;
  wait.frame = context.merged(i, object.frame);
  // For what a thread waits (not who holds it) its own waiter record is proof.
  const Confidence known =
      object.basis == Basis::cleanup_buffer ? Confidence::proved : ceiling_of(object.basis);
  wait.confidence = futex.stale ? Confidence::likely : std::min(object.at_most, known);
  Evidence evidence;
  evidence.basis = object.basis;
  evidence.thread = id;
  evidence.frame = wait.frame;
  evidence.address = futex.address;
  evidence.source = "registers of a thread asleep in " + wait.syscall_name;
  if (object.join)
    wait_for_thread(context, object, wait, evidence);
  else
    wait_for_object(context, object, futex, wait, evidence);
  evidence.claim += futex.timed ? ", with a timeout" : ", without a timeout";
  if (futex.stale)
    evidence.claim += "; the word has changed since it fell asleep: it may have been woken";
  wait.evidence.push_back(context.ledger.add_evidence(std::move(evidence)));
  context.ledger.thread(id).state =
      waits_for_work(object) ? ThreadState::idle : ThreadState::blocked;
  context.ledger.set_wait(id, std::move(wait));
}

void look_at_thread(const LensContext& context, std::size_t i) {
  ThreadFact& thread = context.ledger.thread(context.view.thread_id(i));
  if (context.pthreads.kernel_worker(i)) {
    thread.state = ThreadState::idle;
    thread.name = "kernel worker";
    thread.name_from = NameFrom::runtime;
    return;
  }
  if (context.native.calls[i].state != CallState::asleep) {
    look_at_running(context, i);
    return;
  }
  if (context.native.futexes[i]) return wait_on_futex(context, i, *context.native.futexes[i]);
  wait_in_call(context, i);
}

void add_runtime(const LensContext& context) {
  if (context.version == 0) return;
  RuntimeFact fact;
  fact.kind = "glibc";
  fact.version = "2." + std::to_string(context.version - 200);
  for (const Module& module : context.view.modules.in_lookup_order()) {
    if (!fact.module.known() && starts_with_any(module.name(), {"libc.so", "libc-2"}))
      fact.module = context.view.module_id(&module);
  }
  context.ledger.facts.processes[context.view.process.index].runtimes.push_back(std::move(fact));
}

}  // namespace
}  // namespace glibc

void look_at_glibc(const View& view, const Pthreads& pthreads, const NativeWaits& native,
                   const std::vector<StackMap>& stacks, Ledger& ledger) {
  glibc::AbslRings absl;
  const glibc::LensContext context{
      view, pthreads, native, stacks, ledger, absl, read_glibc_version(view)};
  glibc::add_runtime(context);
  const std::size_t before = ledger.facts.resources.size();
  for (std::size_t i = 0; i < view.core.threads.size(); ++i) glibc::look_at_thread(context, i);
  for (std::size_t i = 0; i < view.core.threads.size(); ++i) {
    if (ledger.thread(view.thread_id(i)).state == ThreadState::spinning)
      glibc::find_lost_partners(context, i);
  }
  for (std::size_t r = before; r < ledger.facts.resources.size(); ++r) {
    const ResourceId id{static_cast<std::uint32_t>(r)};
    if (ledger.resource(id).kind == WaitKind::malloc_arena) glibc::find_arena_holder(context, id);
    if (ledger.resource(id).implementation == glibc::library_lock)
      glibc::find_library_holder(context, id);
    if (ledger.resource(id).implementation == "tcmalloc SpinLock")
      glibc::find_tcmalloc_holder(context, id);
    if (ledger.resource(id).implementation == "libgomp barrier") glibc::find_lost_team(context, id);
  }
}

}  // namespace coldcase
