// libgomp's barriers: how many of a team are missing, and whether they can come at all. A forked
// child has the pool's memory and none of its threads; its next parallel region waits for them.
#include <algorithm>

#include "base/text.hpp"
#include "lens/glibc/parts.hpp"

namespace coldcase::glibc {
namespace {

constexpr std::uint32_t most_members = 65'536;

// gomp_barrier_t (libgomp/config/linux/bar.h, gcc 4.9 to 14): total 0 and generation 4 in one cache
// line; awaited 64 and awaited_final 68 in the next.
constexpr std::int64_t awaited_at = 64;

bool in_libgomp(const View& view, Addr code) {
  const Module* module = view.modules.find(code);
  return module != nullptr && module->name().starts_with("libgomp");
}

std::size_t count_workers(const LensContext& context) {
  std::size_t count = 0;
  for (std::size_t i = 0; i < context.view.core.threads.size(); ++i) {
    const auto& block = context.pthreads.block(i);
    count += block && in_libgomp(context.view, block->start_routine) ? 1 : 0;
  }
  return count;
}

}  // namespace

std::optional<GompBarrier> read_gomp_barrier(const MemoryImage& image, Addr at,
                                             std::uint32_t generation) {
  const auto head = image.read<std::array<std::uint32_t, 2>>(at);
  const auto tail = image.read<std::array<std::uint32_t, 2>>(offset_by(at, awaited_at));
  if (!head || !tail || at.value % 64 != 0 || (*head)[1] != generation) return std::nullopt;
  const GompBarrier barrier{(*head)[0], std::min((*tail)[0], (*tail)[1])};
  const bool counts = barrier.total >= 2 && barrier.total <= most_members &&
                      std::max((*tail)[0], (*tail)[1]) <= barrier.total;
  return counts ? std::optional(barrier) : std::nullopt;
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
  const auto& lost = context.pthreads.lost_threads();
  const auto workers =
      static_cast<std::size_t>(std::ranges::count_if(lost, [&](const LostThread& thread) {
        return in_libgomp(context.view, thread.start_routine);
      }));
  // The thread whose team it is, and the pool's threads that this process does have.
  const std::size_t present = 1 + count_workers(context);
  if (workers == 0 || present >= resource.words.front().value) return;
  resource.owner_unknown_code = "team_not_copied";
  resource.owner_unknown_text =
      resource.owner_unknown_text + "; " + counted(workers, "thread") +
      " of OpenMP's pool (begun in libgomp) never ended and " + (workers == 1 ? "is" : "are") +
      " not in this process: fork copied the pool's memory, and not its threads";
  for (const Ref waiter : resource.waiters) {
    if (const ThreadId thread = waiter.as<RefKind::thread>(); thread.known())
      context.ledger.thread(thread).state = ThreadState::blocked;
  }
}

}  // namespace coldcase::glibc
