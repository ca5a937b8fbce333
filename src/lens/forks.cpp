// Locks that a forked child has a taken copy of: who of the parent's threads has them.
#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "lens/family.hpp"

namespace coldcase {
namespace {

constexpr std::size_t most_generations = 64;
constexpr std::size_t most_named = 4;  // threads of the parent, one by one

std::string lwp(const Seen& seen, std::size_t thread) {
  return "LWP " + std::to_string(seen.view.core.threads[thread].tid);
}

// Parent, its parent ...: those that the child is a copy of, none of which has executed another
// program since.
std::vector<const Seen*> ancestors(const Family& family, const Ledger& ledger, const Seen& child) {
  std::vector<const Seen*> found;
  ProcessId at = child.view.process;
  while (found.size() < most_generations) {
    at = ledger.facts.processes[at.index].parent;
    if (!at.known() || at.index >= family.size()) return found;
    const Seen& parent = *family[at.index];
    const bool twice = std::ranges::find(found, &parent) != found.end();
    if (&parent == &child || twice || !forked_kin(parent.view, child.view)) return found;
    found.push_back(&parent);
  }
  return found;
}

// A word of the lock that names its owner: by number, or by thread block (pthread_self).
enum class Names { nothing, number, block };
Names what_names(const ResourceFact& resource, const MemoryWord& word) {
  const std::string& code = resource.owner_unknown_code;
  if (code != "owner_before_fork" && code != "owner_not_in_core") return Names::nothing;
  if (word.name == "rlock_owner" || word.name == "owner") return Names::block;
  const bool number = word.name == "__owner" || word.name == "__cur_writer";
  return number && code == "owner_before_fork" ? Names::number : Names::nothing;
}

struct Found {
  const Seen* seen = nullptr;
  std::size_t thread = 0;
};

std::optional<Found> find_owner(const std::vector<const Seen*>& parents, const MemoryWord& word,
                                Names names) {
  for (const Seen* seen : parents) {
    const auto thread = names == Names::block
                            ? seen->pthreads.find_block(Addr{word.value})
                            : seen->pthreads.find_owner(static_cast<std::int32_t>(word.value));
    if (thread) return Found{seen, *thread};
  }
  return std::nullopt;
}

void add_kinship(const Found& owner, const Seen& child, ResourceId id, std::string claim,
                 Ledger& ledger) {
  Evidence evidence;
  evidence.claim = std::move(claim) +
                   ", and both processes have the same 16 random bytes of their program's start";
  evidence.basis = Basis::memory;
  evidence.thread = owner.seen->view.thread_id(owner.thread);
  evidence.process = child.view.process;
  evidence.resource = id;
  evidence.source = "AT_RANDOM, struct pthread";
  ledger.add_evidence(std::move(evidence));
}

void join_owner(const std::vector<const Seen*>& parents, const Seen& child, ResourceId id,
                Ledger& ledger) {
  ResourceFact& resource = ledger.resource(id);
  for (MemoryWord& word : resource.words) {
    const Names names = what_names(resource, word);
    const auto owner = names == Names::nothing ? std::nullopt : find_owner(parents, word, names);
    if (!owner) continue;
    const std::string name = lwp(*owner->seen, owner->thread);
    resource.owner_unknown_code = "owner_in_parent";
    resource.owner_unknown_text =
        "its owner field names " + name +
        ", a thread of the parent: the child has a copy of the lock as it was at fork, and no such "
        "thread";
    word.means = name + " of the parent";
    add_kinship(*owner, child, id, "the child's copy of the lock names this thread of the parent",
                ledger);
    return;
  }
}

// The threads that fork did not copy live in the parent, with the same blocks.
std::vector<Found> find_lost(const std::vector<const Seen*>& parents, const Seen& child) {
  std::vector<Found> found;
  for (const LostThread& lost : child.pthreads.lost_threads()) {
    for (const Seen* seen : parents) {
      const auto thread = seen->pthreads.find_block(lost.at);
      if (!thread) continue;
      found.push_back({seen, *thread});
      break;
    }
  }
  return found;
}

std::string names_of(const std::vector<Found>& threads) {
  std::string names;
  for (std::size_t i = 0; i < std::min(threads.size(), most_named); ++i)
    names += (i == 0 ? "" : ", ") + lwp(*threads[i].seen, threads[i].thread);
  if (threads.size() > most_named)
    names += " and " + counted(threads.size() - most_named, "more thread");
  return names;
}

void join_lost(const std::vector<const Seen*>& parents, const Seen& child, ResourceId id,
               Ledger& ledger) {
  ResourceFact& resource = ledger.resource(id);
  const std::string& code = resource.owner_unknown_code;
  const bool team = code == "team_not_copied";
  if (!team && code != "holder_not_copied" && code != "helpers_not_copied") return;
  const std::vector<Found> lost = find_lost(parents, child);
  if (lost.empty()) return;
  if (team) resource.owner_unknown_code = "team_in_parent";
  resource.owner_unknown_text += "; " + std::string(lost.size() == 1 ? "it lives" : "they live") +
                                 " in the parent: " + names_of(lost);
  for (std::size_t i = 0; i < std::min(lost.size(), most_named); ++i)
    add_kinship(lost[i], child, id,
                "this thread of the parent has the block of one that the child lacks", ledger);
}

// A lock without an owner word: the parent's own copy, at the same address, has a holder.
void join_holder(const std::vector<const Seen*>& parents, const Seen& child, ResourceId id,
                 Ledger& ledger) {
  ResourceFact& resource = ledger.resource(id);
  const bool ownerless = resource.owner_unknown_code == "owner_not_recorded" &&
                         resource.state == LockState::locked && !resource.waiters.empty() &&
                         !resource.at.empty();
  if (!ownerless) return;
  for (const Seen* seen : parents) {
    const ResourceId copy = ledger.find_resource(seen->view.process, resource.at.front().address);
    if (!copy.known() || ledger.resource(copy).kind != resource.kind) continue;
    for (const Owner& owner : ledger.resource(copy).owners) {
      const ThreadId holder = owner.by.as<RefKind::thread>();
      if (!holder.known()) continue;
      const std::size_t thread = holder.index - seen->view.first_thread;
      const auto& block = seen->pthreads.block(thread);
      // Only a thread that was there at fork; its number is older than the child's.
      if (!block || block->tid >= child.pthreads.inner_pid() ||
          child.pthreads.find_block(block->at))
        continue;
      resource.owner_unknown_code = "holder_in_parent";
      resource.owner_unknown_text =
          "it does not record who took it; the parent's own copy is held by " + lwp(*seen, thread) +
          ", a thread that the child has not got";
      add_kinship({seen, thread}, child, id,
                  "this thread of the parent holds the parent's copy of the lock, at the same "
                  "address",
                  ledger);
      return;
    }
  }
}

// The one process that has the resource; what is no object in memory is its waiters'.
std::optional<std::size_t> home_of(const ResourceFact& resource, const Facts& facts) {
  if (resource.at.size() == 1) return resource.at.front().process.index;
  if (!resource.at.empty() || resource.waiters.empty()) return std::nullopt;
  const ThreadId waiter = resource.waiters.front().as<RefKind::thread>();
  return waiter.known() ? std::optional<std::size_t>(facts.threads[waiter.index].process.index)
                        : std::nullopt;
}

}  // namespace

void join_forks(const Family& family, Ledger& ledger) {
  if (family.size() < 2) return;
  std::vector<std::vector<const Seen*>> parents_of;
  for (const auto& seen : family) parents_of.push_back(ancestors(family, ledger, *seen));
  for (std::uint32_t r = 0; r < ledger.facts.resources.size(); ++r) {
    const ResourceFact& resource = ledger.facts.resources[r];
    const auto home = home_of(resource, ledger.facts);
    if (!home || *home >= family.size() || parents_of[*home].empty() || !resource.owners.empty())
      continue;
    const Seen& child = *family[*home];
    const auto& parents = parents_of[*home];
    join_owner(parents, child, {r}, ledger);
    join_lost(parents, child, {r}, ledger);
    join_holder(parents, child, {r}, ledger);
  }
}

}  // namespace coldcase
