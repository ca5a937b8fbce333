// libgomp's teams: how many are missing at a barrier, and whether they can come at all. A forked
// child has the pool's memory and none of its threads; its next parallel region waits for them, at
// the barrier or, where the members wait for each other by themselves, in the region.
#include <algorithm>

#include "base/text.hpp"
#include "lens/glibc/parts.hpp"

namespace coldcase::glibc {
namespace {

constexpr std::uint32_t most_members = 65'536;
constexpr std::size_t innermost = 32;

// gomp_barrier_t (libgomp/config/linux/bar.h, gcc 4.9 to 14): total 0 and generation 4 in one cache
// line; awaited 64 and awaited_final 68 in the next. A team's is aligned to 64; the pool's lies in
// plain malloc's memory.
constexpr std::int64_t awaited_at = 64;

bool in_libgomp(const View& view, Addr code) {
  const Module* module = view.modules.find(code);
  return module != nullptr && module->name().starts_with("libgomp");
}

bool in_libgomp(const View& view, std::size_t i, std::size_t frame) {
  const Module* module = view.threads.rules.row(view.threads.walks[i].frames[frame].row).module;
  return module != nullptr && module->name().starts_with("libgomp");
}

// The pool's threads that this process has.
std::size_t count_workers(const LensContext& context) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < context.view.core.threads.size(); ++i) {
    const auto& block = context.pthreads.block(i);
    count += block && in_libgomp(context.view, block->start_routine) ? 1 : 0;
  }
  return count;
}

// Those that a fork did not copy.
std::size_t count_lost(const LensContext& context) {
  const auto& lost = context.pthreads.lost_threads();
  return static_cast<std::size_t>(std::ranges::count_if(lost, [&](const LostThread& thread) {
    return in_libgomp(context.view, thread.start_routine);
  }));
}

std::string text_of_lost(std::size_t workers) {
  return counted(workers, "thread") + " of OpenMP's pool (begun in libgomp) never ended and " +
         (workers == 1 ? "is" : "are") +
         " not in this process: fork copied the pool's memory, and not its threads";
}

// The code of a parallel region runs: outward of it is libgomp's call, made for one.
std::optional<std::size_t> region_of(const LensContext& context, std::size_t i) {
  const auto& frames = context.view.threads.walks[i].frames;
  for (std::size_t f = 1; f < std::min(frames.size(), innermost); ++f) {
    if (!in_libgomp(context.view, i, f)) continue;
    const bool parallel = context.symbol_of(i, f).starts_with("GOMP_parallel") ||
                          callee_of(context.view, i, f + 1).starts_with("GOMP_parallel");
    return parallel && !in_libgomp(context.view, i, f - 1) ? std::optional(f - 1) : std::nullopt;
  }
  return std::nullopt;
}

}  // namespace

std::optional<GompBarrier> read_gomp_barrier(const MemoryImage& image, Addr at,
                                             std::uint32_t generation) {
  const auto head = image.read<std::array<std::uint32_t, 2>>(at);
  const auto tail = image.read<std::array<std::uint32_t, 2>>(offset_by(at, awaited_at));
  if (!head || !tail || at.value % 16 != 0 || (*head)[1] != generation) return std::nullopt;
  const std::uint32_t total = (*head)[0];
  if (total < 2 || total > most_members) return std::nullopt;
  // Each of the two counts from the total down to 0; the pool's own barrier does not use the
  // second.
  std::uint32_t missing = total;
  for (const std::uint32_t count : *tail) {
    if (count > 0) missing = std::min(missing, count);
  }
  return missing < total ? std::optional(GompBarrier{total, missing}) : std::nullopt;
}

void describe_gomp_barrier(const LensContext& context, Addr at, ResourceId id) {
  ResourceFact& resource = context.ledger.resource(id);
  const auto generation = context.view.image.read<std::uint32_t>(offset_by(at, 4));
  const auto barrier =
      generation ? read_gomp_barrier(context.view.image, at, *generation) : std::nullopt;
  if (!barrier) return;
  resource.words = {{"total", Addr{}, barrier->total, "members of the team"},
                    {"awaited", Addr{}, barrier->missing, "not yet come"}};
  resource.owner_unknown_code = "not_arrived";
  resource.owner_unknown_text = std::to_string(barrier->missing) + " of " +
                                std::to_string(barrier->total) +
                                " have not come; it does not record who";
}

void find_lost_team(const LensContext& context, ResourceId id) {
  ResourceFact& resource = context.ledger.resource(id);
  if (resource.owner_unknown_code != "not_arrived" || resource.words.empty()) return;
  const std::size_t workers = count_lost(context);
  // The thread whose team it is, and the pool's threads that this process does have.
  const std::size_t present = 1 + count_workers(context);
  if (workers == 0 || present >= resource.words.front().value) return;
  resource.owner_unknown_code = "team_not_copied";
  resource.owner_unknown_text += "; " + text_of_lost(workers);
  for (const Ref waiter : resource.waiters) {
    if (const ThreadId thread = waiter.as<RefKind::thread>(); thread.known())
      context.ledger.thread(thread).state = ThreadState::blocked;
  }
}

void find_lost_partners(const LensContext& context, std::size_t i) {
  const ThreadId id = context.view.thread_id(i);
  const auto region = region_of(context, i);
  if (context.ledger.thread(id).wait || !region) return;
  const std::size_t workers = count_lost(context);
  if (workers == 0 || count_workers(context) > 0) return;
  Ledger& ledger = context.ledger;
  const ResourceId resource = ledger.named_resource(
      "team:" + std::to_string(context.view.process.index) + ":" + std::to_string(i),
      WaitKind::barrier, "OpenMP team");
  ResourceFact& fact = ledger.resource(resource);
  fact.label = "the other threads of its OpenMP team";
  fact.state = LockState::waiting;
  fact.owner_unknown_code = "team_not_copied";
  fact.owner_unknown_text = text_of_lost(workers);
  Evidence evidence;
  evidence.claim =
      "it polls inside a parallel region, and this process has no thread of OpenMP's pool";
  evidence.basis = Basis::inference;
  evidence.thread = id;
  evidence.frame = context.merged(i, *region);
  evidence.resource = resource;
  Wait wait;
  wait.kind = WaitKind::barrier;
  wait.on = {resource};
  wait.ends = Ends::poll_retry;
  wait.frame = evidence.frame;
  wait.confidence = Confidence::likely;
  wait.evidence.push_back(ledger.add_evidence(std::move(evidence)));
  ledger.set_wait(id, std::move(wait));
}

}  // namespace coldcase::glibc
