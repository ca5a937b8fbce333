#include "lens/cpython/object_waits.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_futures = 64;  // that one wait names

// What nobody has done yet.
std::string missing_act(Sort sort) {
  static constexpr std::array acts{
      std::pair{Sort::event, std::string_view("some thread has to set it")},
      std::pair{Sort::condition, std::string_view("some thread has to notify it")},
      std::pair{Sort::semaphore, std::string_view("some thread has to release it")},
      std::pair{Sort::barrier, std::string_view("the other parties have to come")},
      std::pair{Sort::queue, std::string_view("some thread has to put, take or finish an item")},
      std::pair{Sort::simple_queue, std::string_view("some thread has to put an item")},
      std::pair{Sort::python_simple_queue, std::string_view("some thread has to put an item")},
      std::pair{Sort::future, std::string_view("whoever has its work has to finish it")},
      std::pair{Sort::pool_result, std::string_view("the pool has to finish its work")},
      std::pair{Sort::pool_iterator, std::string_view("the pool has to finish its work")},
  };
  const auto at = std::ranges::find(acts, sort, &std::pair<Sort, std::string_view>::first);
  return "nobody owns it: " +
         std::string(at == acts.end() ? "some thread has to signal it" : at->second);
}

// The frame of Condition.wait that sleeps, when its own `waiter` is the lock slept on. Without the
// lock (its memory is not in the core) the frame alone says so.
bool sleeps_for_notify(const LensContext& context, const Sleeper& sleeper) {
  if (sleeper.calls.empty()) return false;
  const StdlibCall& inner = sleeper.calls.front();
  if (inner.sort != Sort::condition || inner.use != Use::waits) return false;
  const auto waiter = find_local(context.objects(), *inner.frame, "waiter");
  if (!waiter) return false;
  return !sleeper.awaited ||
         (sleeper.awaited->what == Awaited::What::lock && sleeper.awaited->at == *waiter);
}

// The lock that a condition's waiter takes again when it was notified.
ResourceId lock_of_condition(LensContext& context, Addr condition) {
  const auto at = context.objects().find_attribute(condition, "_lock");
  const auto lock = at ? read_lock(context.objects(), *at) : std::nullopt;
  return lock ? lock_resource(context, *lock) : ResourceId{};
}

bool is_wait_for_work(const StdlibCall& call) {
  return call.use == Use::takes || call.sort == Sort::condition || call.sort == Sort::event;
}

std::string claim_text(const StdlibCall& call) {
  const std::string name(name_of(call.sort));
  switch (call.use) {
    case Use::takes:
      return "it takes an item from this " + name + ", its frame's self";
    case Use::puts:
      return "it puts an item into this " + name + ", its frame's self";
    case Use::drains:
      return "it waits until all items of this " + name + " are done, its frame's self";
    case Use::results:
      return "it waits for the result of this " + name + ", its frame's self";
    case Use::waits:
    case Use::joins:
    case Use::several:
    case Use::retakes:
    case Use::communicates:
      break;
  }
  return "it waits for this " + name + ", its frame's self";
}

std::optional<Mode> mode_of(Use use) {
  if (use == Use::takes) return Mode::read;
  if (use == Use::puts) return Mode::write;
  return std::nullopt;
}

// A C SimpleQueue in the innermost frame: get() is the only call of it that waits.
bool wait_for_simple_queue(LensContext& context, const Sleeper& sleeper) {
  if (!sleeper.awaited || sleeper.awaited->what != Awaited::What::simple_queue) return false;
  WaitClaim claim{WaitKind::queue, {}, 0, sleeper.awaited->at, {}};
  claim.on = {sync_resource(context, Sort::simple_queue, claim.object)};
  claim.text = "its futex word is that of this SimpleQueue, whose get() it is in";
  claim.basis = Basis::register_;
  claim.mode = Mode::read;
  claim.for_work = true;
  claim_wait(context, sleeper.thread, claim);
  return true;
}

// wait() and as_completed() of several futures: those of their `fs` that are not done.
bool wait_for_futures(LensContext& context, const Sleeper& sleeper) {
  const auto call = std::ranges::find(sleeper.calls, Use::several, &StdlibCall::use);
  if (call == sleeper.calls.end()) return false;
  const Objects& objects = context.objects();
  const auto futures = find_local(objects, *call->frame, "fs");
  if (!futures) return false;
  WaitClaim claim{WaitKind::future, {}, call->index, *futures, {}};
  std::size_t unfinished = 0;
  for (const Addr future : read_items(objects, *futures)) {
    if (sort_of(objects, future) != Sort::future) continue;
    const std::string state = find_text(objects, future, "_state");
    if (state != "PENDING" && state != "RUNNING") continue;
    if (++unfinished <= most_futures)
      claim.on.push_back(sync_resource(context, Sort::future, future));
  }
  if (claim.on.empty()) return false;
  claim.text = "it waits in concurrent.futures for " + counted(unfinished, "unfinished future");
  claim.timeout_ms = asked_timeout(objects, *call->frame);
  // Of the kinds of waiters that wait() makes the one for all of them alone counts down.
  const auto waiter = find_local(objects, *call->frame, "waiter");
  if (waiter && objects.find_attribute(*waiter, "num_pending_calls")) claim.all = true;
  claim_wait(context, sleeper.thread, claim);
  return true;
}

// Of a queue at which all wait for the same.
void tell_missing(LensContext& context, ResourceId queue, Use use) {
  ResourceFact& fact = context.ledger.resource(queue);
  const std::string_view act = use == Use::takes  ? "put an item"
                               : use == Use::puts ? "take an item"
                                                  : "take the items and call task_done()";
  const std::string text = "nobody owns it: some thread has to " + std::string(act);
  if (fact.waiters.empty())
    fact.owner_unknown_text = text;
  else if (fact.owner_unknown_text != text)
    fact.owner_unknown_text = missing_act(Sort::queue);
}

void add_waiter_evidence(const Sleeper& sleeper, WaitClaim& claim) {
  if (!sleeper.awaited) {
    claim.most = Confidence::very_likely;
    return;
  }
  claim.text += "; it sleeps on the lock that Condition.wait made for it";
}

// Who may have been the one to signal.
void add_ended(LensContext& context, const Sleeper& sleeper, const WaitClaim& claim) {
  const ThreadId id = context.view.thread_id(sleeper.thread);
  auto& wait = context.ledger.thread(id).wait;
  if (wait->ends == Ends::timeout || claim.kind == WaitKind::future) return;
  const std::string text = ended_text(context.objects(), sleeper.ended, claim.object);
  if (text.empty()) return;
  Evidence evidence;
  evidence.claim = text;
  evidence.basis = Basis::memory;
  evidence.thread = id;
  evidence.source = "threading._dangling, CPython " + context.runtime().version;
  wait->evidence.push_back(context.ledger.add_evidence(std::move(evidence)));
}

}  // namespace

ResourceId sync_resource(LensContext& context, Sort sort, Addr object) {
  const std::string type = type_text(context.objects(), sort, object);
  const ResourceId id =
      context.ledger.resource_at(context.view.process, object, kind_of(sort), type);
  ResourceFact& fact = context.ledger.resource(id);
  if (!fact.label.empty()) return id;
  SyncState state = read_state(context.objects(), sort, object);
  fact.label = type + " at " + hex(object.value);
  fact.state = state.summary;
  fact.words = std::move(state.words);
  fact.details = std::move(state.details);
  fact.owner_unknown_code = "no_owner";
  fact.owner_unknown_text = missing_act(sort);
  return id;
}

void claim_wait(LensContext& context, std::size_t thread, const WaitClaim& claim) {
  const ThreadId id = context.view.thread_id(thread);
  Wait wait = *context.ledger.thread(id).wait;
  wait.kind = claim.kind;
  wait.mode = claim.mode;
  wait.on = claim.on;
  wait.then = claim.then;
  wait.all = claim.all;
  wait.frame = context.python_frame(thread, claim.frame);
  wait.confidence = std::min(wait.confidence, claim.most);
  if (wait.ends == Ends::timeout && claim.timeout_ms) wait.timeout_ms = claim.timeout_ms;
  Evidence evidence;
  evidence.claim = claim.text;
  evidence.basis = claim.basis;
  evidence.thread = id;
  evidence.frame = wait.frame;
  evidence.address = claim.object;
  if (claim.on.size() == 1) evidence.resource = claim.on.front().as<RefKind::resource>();
  // The private lock or semaphore it sleeps on is a part of what it waits for.
  if (wait.at.known() && evidence.resource.known() && wait.at != evidence.resource)
    context.ledger.resource(wait.at).part_of = evidence.resource;
  wait.evidence.push_back(context.ledger.add_evidence(std::move(evidence)));
  context.ledger.thread(id).state =
      claim.for_work ? coldcase::ThreadState::idle : coldcase::ThreadState::blocked;
  context.ledger.set_wait(id, std::move(wait));
}

bool wait_for_signal(LensContext& context, const Sleeper& sleeper) {
  if (wait_for_simple_queue(context, sleeper)) return true;
  if (!sleeps_for_notify(context, sleeper)) return false;
  if (wait_for_futures(context, sleeper)) return true;
  // Of wait() in wait() the outermost tells what for: Condition, Event, Barrier, Queue, Future.
  const StdlibCall* call = &sleeper.calls.front();
  for (const StdlibCall& outer : sleeper.calls) {
    if (outer.use != Use::joins && outer.use != Use::several) call = &outer;
  }
  WaitClaim claim{kind_of(call->sort), {}, call->index, call->object, claim_text(*call)};
  claim.on = {sync_resource(context, call->sort, call->object)};
  claim.mode = mode_of(call->use);
  if (call->use == Use::takes || call->use == Use::puts || call->use == Use::drains)
    tell_missing(context, claim.on.front().as<RefKind::resource>(), call->use);
  if (call->sort == Sort::pool_result || call->sort == Sort::pool_iterator)
    tell_pool(context, sleeper, *call, claim.on.front().as<RefKind::resource>());
  claim.for_work = is_wait_for_work(*call);
  claim.timeout_ms = asked_timeout(context.objects(), *call->frame);
  if (call->sort == Sort::condition) claim.then = lock_of_condition(context, call->object);
  add_waiter_evidence(sleeper, claim);
  claim_wait(context, sleeper.thread, claim);
  add_ended(context, sleeper, claim);
  return true;
}

}  // namespace coldcase::cpython
