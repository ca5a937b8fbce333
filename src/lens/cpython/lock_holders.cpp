// Who holds Python's locks that record no owner, and where owners that are recorded took theirs,
// written into the ledger with what speaks for it.
#include <algorithm>

#include "base/text.hpp"
#include "lens/cpython/lock_evidence.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::int64_t semlock_count = 32, semlock_maxvalue = 36;  // ints of SemLockObject
constexpr std::size_t most_strays = 3;

// The lock at one place of a resource that is waited for; nothing for what is no lock of Python's.
std::optional<LockKey> key_at(const Objects& objects, WaitKind kind, Addr at) {
  if (kind == WaitKind::semlock) return LockKey{LockKey::Kind::shared, at, Addr{}};
  const bool counts = kind == WaitKind::python_condition || kind == WaitKind::semaphore;
  if (counts && objects.find_attribute(at, "_value"))
    return LockKey{LockKey::Kind::semaphore, at, at};
  const std::string& type = objects.type_name(at);
  if (type == "_thread.RLock") return LockKey{LockKey::Kind::recursive, at, at};
  return type == "_thread.lock" ? std::optional(LockKey{LockKey::Kind::lock, at, at})
                                : std::nullopt;
}

// Locks that threads of this process wait for, and who does.
std::map<LockKey, std::vector<std::size_t>> waited_locks(const LensContext& context) {
  std::map<LockKey, std::vector<std::size_t>> waited;
  const std::size_t threads = context.view.core.threads.size();
  for (std::size_t i = 0; i < threads; ++i) {
    const auto& wait = context.ledger.thread(context.view.thread_id(i)).wait;
    if (!wait) continue;
    std::vector<Ref> on = wait->on;
    if (wait->then.known()) on.emplace_back(wait->then);
    for (const Ref ref : on) {
      const ResourceId id = ref.as<RefKind::resource>();
      if (!id.known()) continue;
      const ResourceFact& resource = context.ledger.resource(id);
      for (const Place& place : resource.at) {
        if (place.process != context.view.process) continue;
        if (const auto key = key_at(context.objects(), resource.kind, place.address))
          waited[*key].push_back(i);
      }
    }
  }
  return waited;
}

std::string lines_of(const Holding& holding) {
  return holding.line ? " at line " + std::to_string(*holding.line) : std::string();
}

std::string block_text(const Claim& claim) {
  const Holding& holding = claim.holding;
  std::string text = " is inside a with block";
  if (holding.line) text += ", entered" + lines_of(holding) + ",";
  text += holding.way.empty() ? " of this lock" : " whose manager is " + holding.way;
  text += ": its exit is on the frame's value stack, under an active handler";
  if (holding.held == Held::no)
    text += "; but code after that has released the lock";
  else if (holding.held == Held::maybe)
    text += "; on some ways it has released the lock since, or not taken it";
  return text;
}

std::string call_text(const Claim& claim) {
  const Holding& holding = claim.holding;
  std::string text = " called " + holding.way + lines_of(holding);
  text += holding.held == Held::yes ? " and has not released it on any way to where it stands"
                                    : " and, on some ways to where it stands, has it still";
  if (holding.guarded) text += ", inside a try that releases it at its end";
  return text;
}

std::string claim_text(const Claim& claim, const PythonFrame& frame) {
  std::string who = describe(frame);
  switch (claim.by) {
    case Claim::By::iteration:
      return who + " iterates over " + claim.holding.way;
    case Claim::By::reference:
      return who + " refers to " + claim.holding.way;
    case Claim::By::arrival:
      return who + " stands in a call that takes it and does not sleep on it: it may have got it";
    case Claim::By::chain:
      break;
  }
  switch (claim.holding.how) {
    case Holding::How::with_block:
      return who + block_text(claim);
    case Holding::How::call:
      return who + call_text(claim);
    case Holding::How::leaving:
      return who + " is leaving a with block" +
             (claim.holding.way.empty() ? "" : " whose manager is " + claim.holding.way) +
             " and has not released the lock yet";
  }
  return who;
}

std::string source_of(const LensContext& context, const Claim& claim) {
  const bool table = context.objects().layout().code_exceptiontable >= 0;
  const bool block = claim.by == Claim::By::chain && claim.holding.how == Holding::How::with_block;
  return std::string(!block  ? "bytecode"
                     : table ? "co_exceptiontable"
                             : "f_blockstack") +
         ", CPython " + context.runtime().version;
}

Evidence evidence_of(const LensContext& context, const LockEvidence& evidence, ResourceId resource,
                     const Claim& claim) {
  Evidence known;
  known.claim = claim_text(claim, evidence.frame_of(claim));
  known.basis = claim.basis();
  known.thread = context.view.thread_id(claim.thread);
  known.frame = evidence.merged_frame_of(claim);
  known.resource = resource;
  known.address = claim.holding.key.at;
  known.source = source_of(context, claim);
  return known;
}

void add_claim(LensContext& context, const LockEvidence& evidence, ResourceId resource,
               const Claim& claim) {
  Evidence known = evidence_of(context, evidence, resource, claim);
  Hold hold;
  hold.resource = resource;
  hold.frame = known.frame;
  if (claim.by == Claim::By::chain) hold.line = claim.holding.line;
  hold.confidence = claim.confidence;
  hold.basis = claim.basis();
  hold.evidence = {context.ledger.add_evidence(std::move(known))};
  context.ledger.add_hold(context.view.thread_id(claim.thread), hold);
}

// Where the owner that an RLock records took it: the outermost of the places that tell.
void place_owner(LensContext& context, const LockEvidence& evidence, ResourceId resource,
                 const std::vector<Claim>& claims) {
  for (const Claim& claim : claims) {
    const ThreadId thread = context.view.thread_id(claim.thread);
    auto& holds = context.ledger.thread(thread).holds;
    const auto hold = std::ranges::find(holds, resource, &Hold::resource);
    if (hold == holds.end() || claim.by != Claim::By::chain || claim.holding.held != Held::yes ||
        !claim.holding.line)
      continue;
    Evidence known = evidence_of(context, evidence, resource, claim);
    hold->frame = known.frame;
    hold->line = claim.holding.line;
    hold->evidence.push_back(context.ledger.add_evidence(std::move(known)));
    return;
  }
}

void name_lock(LensContext& context, ResourceFact& fact, const PythonFrame& frame, Addr lock) {
  if (fact.label.find(" at 0x") == std::string::npos) return;
  const std::string name = name_in_frame(context.objects(), frame, lock);
  const std::string type =
      fact.kind == WaitKind::python_rlock ? "threading.RLock " : "threading.Lock ";
  if (!name.empty()) fact.label = type + name;
}

void tell_strays(ResourceFact& fact, const std::vector<Stray>& strays) {
  if (strays.empty() || fact.owner_unknown_code != "owner_not_recorded") return;
  fact.owner_unknown_code = "held_by_suspended";
  fact.owner_unknown_text = "it is held by ";
  for (std::size_t i = 0; i < std::min(strays.size(), most_strays); ++i)
    fact.owner_unknown_text += (i == 0 ? "" : ", and by ") + strays[i].way;
  fact.owner_unknown_text += "; no thread's frames refer to that";
}

// A lock that is taken: nothing is told of a free one.
std::optional<ResourceId> taken_lock(LensContext& context, const LockKey& key) {
  const Objects& objects = context.objects();
  switch (key.kind) {
    case LockKey::Kind::lock:
    case LockKey::Kind::recursive: {
      const auto lock = read_lock(objects, key.object);
      const bool recursive = key.kind == LockKey::Kind::recursive;
      if (!lock || !lock->locked || lock->recursive != recursive) return std::nullopt;
      return lock_resource(context, *lock);
    }
    case LockKey::Kind::semaphore: {
      const auto value = objects.find_attribute(key.object, "_value");
      const auto left = value ? objects.read_int(*value) : Read<std::int64_t>(1);
      const ResourceId id = context.ledger.find_resource(context.view.process, key.at);
      return left && *left == 0 && id.known() ? std::optional(id) : std::nullopt;
    }
    case LockKey::Kind::shared: {
      const auto count = objects.image().read<std::int32_t>(offset_by(key.object, semlock_count));
      const auto most = objects.image().read<std::int32_t>(offset_by(key.object, semlock_maxvalue));
      if (!count || !most || *count <= 0 || *most != 1) return std::nullopt;
      const ResourceId id = context.ledger.resource_at(
          context.view.process, key.at, WaitKind::semlock, "multiprocessing.SemLock");
      ResourceFact& fact = context.ledger.resource(id);
      if (fact.label.empty()) fact.label = "multiprocessing.Lock at " + hex(key.at.value);
      return id;
    }
  }
  return std::nullopt;
}

}  // namespace

void add_lock_holders(LensContext& context) {
  LockEvidence evidence(context, waited_locks(context));
  for (const LockKey& key : evidence.keys()) {
    const auto resource = taken_lock(context, key);
    if (!resource) continue;
    std::vector<Claim> claims = evidence.claims_on(key);
    if (claims.empty()) claims = evidence.arrivals_on(key);
    const bool recorded = key.kind == LockKey::Kind::recursive;
    if (recorded) place_owner(context, evidence, *resource, claims);
    for (const Claim& claim : claims) {
      if (!recorded) add_claim(context, evidence, *resource, claim);
      if (recorded || key.kind == LockKey::Kind::lock)
        name_lock(context, context.ledger.resource(*resource), evidence.frame_of(claim), key.at);
    }
    if (claims.empty() && !recorded)
      tell_strays(context.ledger.resource(*resource), evidence.strays_of(key));
  }
}

}  // namespace coldcase::cpython
