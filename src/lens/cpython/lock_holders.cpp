// Who holds Python's locks that record no owner: with blocks that stand open on a thread's frames.
#include <algorithm>

#include "base/text.hpp"
#include "lens/cpython/lens_parts.hpp"

namespace coldcase::cpython {
namespace {

// The thread is inside wait() of this condition: it gave the lock back, though its with block
// stands.
bool waits_on_condition(const LensContext& context, const std::vector<PythonFrame>& inner,
                        Addr condition) {
  return std::ranges::any_of(inner, [&](const PythonFrame& frame) {
    const auto self = find_self(context.objects(), frame);
    return last_part(frame.code->name) == "wait" && self && *self == condition;
  });
}

void add_marker(LensContext& context, std::size_t thread, std::size_t k, const PythonFrame& frame,
                const std::vector<PythonFrame>& inner, const WithMarker& marker) {
  Addr manager = marker.self;
  if (context.objects().type_name(manager) == "Condition") {
    if (waits_on_condition(context, inner, manager)) return;
    const auto lock = context.objects().find_attribute(manager, "_lock");
    if (!lock) return;
    manager = *lock;
  }
  const auto lock = read_lock(context.objects(), manager);
  if (!lock || !lock->locked || lock->recursive) return;  // an RLock records its owner itself
  const ResourceId resource = lock_resource(context, *lock);
  ResourceFact& fact = context.ledger.resource(resource);
  if (fact.label.find(" at 0x") != std::string::npos) {
    const std::string name = name_in_frame(context.objects(), frame, lock->at);
    if (!name.empty()) fact.label = "threading.Lock " + name;
  }
  // A body that may release the lock itself is not to be trusted as much.
  const auto names = read_names(context.objects(), frame.code->at);
  const bool releases = std::ranges::find(names, "release") != names.end();
  const ThreadId id = context.view.thread_id(thread);
  Evidence evidence;
  evidence.claim = describe(frame) +
                   " is inside a with block of this lock: its exit is on the frame's value stack, "
                   "under an active handler";
  evidence.basis = Basis::value_stack;
  evidence.thread = id;
  evidence.frame = context.python_frame(thread, k);
  evidence.resource = resource;
  evidence.address = lock->at;
  evidence.source = context.objects().layout().code_exceptiontable >= 0
                        ? "co_exceptiontable, CPython " + context.runtime().version
                        : "f_blockstack, CPython " + context.runtime().version;
  const EvidenceId known = context.ledger.add_evidence(std::move(evidence));
  Hold hold;
  hold.resource = resource;
  hold.frame = context.python_frame(thread, k);
  hold.confidence = releases ? Confidence::likely : Confidence::very_likely;
  hold.basis = Basis::value_stack;
  hold.evidence = {known};
  context.ledger.add_hold(id, hold);
}

// A plain lock has one holder: where two threads seem to be inside its with block, one of them is
// wrong.
void doubt_rivals(LensContext& context) {
  for (std::uint32_t r = 0; r < context.ledger.facts.resources.size(); ++r) {
    ResourceFact& lock = context.ledger.facts.resources[r];
    if (lock.kind != WaitKind::python_lock || lock.owners.size() < 2) continue;
    for (Owner& owner : lock.owners) {
      owner.confidence = std::min(owner.confidence, Confidence::likely);
      for (Hold& hold : context.ledger.thread(owner.by.as<RefKind::thread>()).holds) {
        if (hold.resource == ResourceId{r}) hold.confidence = owner.confidence;
      }
    }
  }
}

}  // namespace

void add_lock_holders(LensContext& context) {
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    for (const PyThread& state : interpreter.threads) {
      if (!state.core_thread) continue;
      std::vector<PythonFrame> inner;
      for (const auto& run : state.runs) {
        for (const PythonFrame& frame : run) {
          for (const WithMarker& marker : find_with_markers(context.objects(), frame)) {
            add_marker(context, *state.core_thread, state.inner_frames + inner.size(), frame, inner,
                       marker);
          }
          inner.push_back(frame);
        }
      }
    }
  }
  doubt_rivals(context);
}

}  // namespace coldcase::cpython
