// Who holds a malloc arena, or another of the C library's plain locks: nobody records it, but only
// certain functions take it. A thread that a signal interrupted in them, or that stands in them
// without waiting, has it or had it a moment ago.
#include <algorithm>

#include "base/text.hpp"
#include "lens/glibc/parts.hpp"

namespace coldcase::glibc {
namespace {

constexpr std::size_t most_frames_looked_at = 64;

using InPlace = bool (*)(const LensContext&, std::size_t, std::size_t, std::string_view);

bool in_malloc(const LensContext& context, std::size_t i, std::size_t frame, std::string_view) {
  return is_libc_frame(context.view, i, frame) && is_malloc_function(context.symbol_of(i, frame));
}

bool in_function(const LensContext& context, std::size_t i, std::size_t frame,
                 std::string_view function) {
  return is_libc_frame(context.view, i, frame) && context.symbol_of(i, frame) == function;
}

// The first frame there outward of a signal handler's trampoline; or of the innermost frames when
// the thread waits for nothing.
std::optional<std::size_t> find_inside(const LensContext& context, std::size_t i, bool waits,
                                       InPlace in_place, std::string_view function) {
  const auto& frames = context.view.threads.walks[i].frames;
  bool interrupted = !waits;
  for (std::size_t f = 0; f < std::min(frames.size(), most_frames_looked_at); ++f) {
    if (context.view.threads.rules.row(frames[f].row).signal_frame) interrupted = true;
    if (interrupted && in_place(context, i, f, function)) return f;
  }
  return std::nullopt;
}

struct Candidate {
  std::size_t thread, frame;
};

void name_holder(const LensContext& context, const Candidate& holder, ResourceId id, bool waits,
                 std::string_view place) {
  Evidence evidence;
  evidence.claim = waits ? "a signal interrupted it inside " + std::string(place) +
                               ", below the handler that waits"
                         : "it is inside " + std::string(place) + ", and does not wait for it";
  evidence.basis = Basis::call_site;
  evidence.thread = context.view.thread_id(holder.thread);
  evidence.frame = context.merged(holder.thread, holder.frame);
  evidence.resource = id;
  const EvidenceId known = context.ledger.add_evidence(evidence);
  context.ledger.add_hold(evidence.thread, {id,
                                            Mode::exclusive,
                                            std::nullopt,
                                            evidence.frame,
                                            waits ? Confidence::very_likely : Confidence::likely,
                                            Basis::call_site,
                                            {known}});
}

// The stacks of all threads are known to their ends: none of them is inside malloc unseen.
bool all_stacks_whole(const LensContext& context) {
  return std::ranges::all_of(context.view.threads.walks, [](const Walk& walk) {
    return walk.stop.code == StopCode::outermost;
  });
}

// _Fork (2.34) and the bare system call copy an arena that another thread of the parent is in;
// fork(3) holds all of them meanwhile and makes them free in the child.
bool blame_fork(const LensContext& context, ResourceId id, std::string_view locks,
                std::string_view place) {
  const std::size_t lost = context.pthreads.lost_threads().size();
  ResourceFact& resource = context.ledger.resource(id);
  const bool woken = std::ranges::any_of(resource.waiters, [&](Ref waiter) {
    const auto& futex = context.native.futexes[waiter.index - context.view.first_thread];
    return futex && futex->stale;
  });
  if (lost == 0 || woken || !all_stacks_whole(context)) return false;
  resource.owner_unknown_code = "holder_not_copied";
  resource.owner_unknown_text =
      std::string(locks) + " do not record who holds them; no thread of this process is inside " +
      std::string(place) + " but those that wait, and " + counted(lost, "thread") +
      " that never ended " + (lost == 1 ? "is" : "are") + " not in this process: fork copied " +
      (lost == 1 ? "its" : "their") + " memory, and not " +
      (lost == 1 ? "the thread" : "the threads");
  return true;
}

bool in_tcmalloc(const LensContext& context, std::size_t i) {
  const auto& frames = context.view.threads.walks[i].frames;
  return std::ranges::any_of(frames, [&](const WalkFrame& frame) {
    const Module* module = context.view.threads.rules.row(frame.row).module;
    return module != nullptr && module->name().starts_with("libtcmalloc");
  });
}

}  // namespace

// Those inside, by whether they wait for it themselves.
struct Inside {
  std::vector<Candidate> waiting, others;
};

static Inside find_all_inside(const LensContext& context, ResourceId id, InPlace in_place,
                              std::string_view function) {
  Inside inside;
  for (std::size_t i = 0; i < context.view.core.threads.size(); ++i) {
    const auto& waiters = context.ledger.resource(id).waiters;
    const bool waits = std::ranges::find(waiters, Ref(context.view.thread_id(i))) != waiters.end();
    const auto frame = find_inside(context, i, waits, in_place, function);
    if (frame) (waits ? inside.waiting : inside.others).push_back({i, *frame});
  }
  return inside;
}

static bool has_signal_frame(const LensContext& context, const Walk& walk) {
  return std::ranges::any_of(walk.frames, [&](const WalkFrame& frame) {
    return context.view.threads.rules.row(frame.row).signal_frame;
  });
}

// Of several threads inside nobody can be named: there are many arenas, and a lock is not taken all
// the time that a function runs.
static void settle_holder(const LensContext& context, ResourceId id, const Inside& inside,
                          std::string_view locks, std::string_view place) {
  if (inside.waiting.size() == 1 && inside.others.empty())
    name_holder(context, inside.waiting.front(), id, true, place);
  if (inside.waiting.empty() && inside.others.size() == 1)
    name_holder(context, inside.others.front(), id, false, place);
  // Another function of the same lock may stand below a signal's handler.
  const bool interrupted = std::ranges::any_of(context.view.threads.walks, [&](const Walk& walk) {
    return has_signal_frame(context, walk);
  });
  if (inside.waiting.empty() && inside.others.empty() && !interrupted)
    blame_fork(context, id, locks, place);
}

void find_arena_holder(const LensContext& context, ResourceId id) {
  settle_holder(context, id, find_all_inside(context, id, in_malloc, {}), "malloc's arenas",
                "malloc");
}

void find_library_holder(const LensContext& context, ResourceId id) {
  const auto waiters = context.ledger.resource(id).waiters;
  if (waiters.empty()) return;
  const std::size_t first = waiters.front().index - context.view.first_thread;
  const auto& frames = context.view.threads.walks[first].frames;
  std::string function;  // that takes it
  for (std::size_t f = 0; f + 1 < std::min<std::size_t>(frames.size(), 4); ++f) {
    if (without_underscores(context.symbol_of(first, f)).starts_with("lll_lock_wait"))
      function = context.symbol_of(first, f + 1);
  }
  // Objects of the library's (a DIR, a thread's block) have locks of their own, which other
  // functions take as well; exit's is free while handlers run.
  const ResourceFact& lock = context.ledger.resource(id);
  const Module* home =
      lock.at.empty() ? nullptr : context.view.modules.find(lock.at.front().address);
  if (function.empty() || home == nullptr || !is_c_library_file(home->name()) ||
      without_underscores(function).starts_with("run_exit_handlers"))
    return;
  const std::string place = std::string(without_underscores(function)) + "()";
  settle_holder(context, id, find_all_inside(context, id, in_function, function),
                "the C library's own locks", place);
}

void find_tcmalloc_holder(const LensContext& context, ResourceId id) {
  const auto waiters = context.ledger.resource(id).waiters;
  for (std::size_t i = 0; i < context.view.core.threads.size(); ++i) {
    const bool waits = std::ranges::find(waiters, Ref(context.view.thread_id(i))) != waiters.end();
    if (!waits && in_tcmalloc(context, i)) return;
  }
  if (!blame_fork(context, id, "tcmalloc's spin locks", "malloc")) return;
  for (const Ref waiter : waiters) {
    const ThreadId thread = waiter.as<RefKind::thread>();
    if (!thread.known()) continue;
    Wait wait = *context.ledger.thread(thread).wait;
    wait.ends = Ends::poll_retry;  // milliseconds at a time, for ever
    context.ledger.set_wait(thread, std::move(wait));
  }
}

}  // namespace coldcase::glibc
