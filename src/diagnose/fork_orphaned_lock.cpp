// fork-orphaned-lock: a thread of the parent held the lock at fork, and the child has no such
// thread; or the child waits for threads of a pool that fork did not copy.
#include <algorithm>
#include <array>

#include "diagnose/diagnose.hpp"
#include "diagnose/orphan.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

bool is_team(const ResourceFact& lock) {
  return lock.owner_unknown_code.starts_with("team_");
}

bool is_helped(const ResourceFact& lock) {
  return lock.owner_unknown_code == "helpers_not_copied";
}

// The owner is known and lives elsewhere: proved. A pool's threads were found there, by their
// blocks: that a team waits for just these is what its counter says. All else is the best reading.
Confidence surest(const ResourceFact& lock) {
  if (lock.owner_unknown_code == "owner_in_parent") return Confidence::proved;
  if (is_helped(lock)) return Confidence::hypothesis;
  return lock.owner_unknown_code == "team_in_parent" ? Confidence::very_likely : Confidence::likely;
}

std::string headline_of(const Scene& scene, const Orphan& orphan) {
  const ResourceFact& lock = scene.resource(orphan.lock);
  const std::string who =
      site_name(scene, orphan.waiters.front()) + ", in a forked child, waits for ";
  if (is_team(lock)) return who + "threads of a pool that fork did not copy";
  if (is_helped(lock)) return who + lock.label + ", whose threads fork did not copy";
  return who + with_article(lock_word(lock)) +
         (lock.owner_unknown_code == "holder_not_copied" ? " that was in use at fork"
                                                         : " the parent held at fork");
}

std::string cause_of(const ResourceFact& lock) {
  if (is_helped(lock))
    return "fork copies memory as it is, and of all threads only the one that called it: what the "
           "library hands to its own threads is never done in the child.";
  if (is_team(lock))
    return "fork copies memory as it is, and of all threads only the one that called it: in the "
           "child the pool believes in workers that do not exist, and nobody can come to the "
           "barrier.";
  return "fork copies memory as it is, and of all threads only the one that called it: in the "
         "child the lock stays taken for ever.";
}

// What helps with locks of one kind; the advice for all follows.
struct Remedy {
  bool (*fits)(const ResourceFact&);
  std::string_view text;
};

constexpr std::array remedies{
    Remedy{is_team,
           "Give the pool back before the fork: omp_pause_resource_all(omp_pause_hard) (OpenMP 5, "
           "gcc 9), or fork before the first parallel region. A BLAS built with threads of its own "
           "(Debian's libopenblas0-pthread, PyPI's numpy) instead of OpenMP ends them at fork."},
    Remedy{[](const ResourceFact& lock) { return lock.implementation.starts_with("grpc"); },
           "Open the channel in the child, after the fork, and leave gRPC's fork support on "
           "(GRPC_ENABLE_FORK_SUPPORT)."},
    Remedy{[](const ResourceFact& lock) { return lock.kind == WaitKind::malloc_arena; },
           "fork(3) makes malloc's locks free in the child; _Fork, clone and the bare system call "
           "do not. After those, call nothing but async-signal-safe functions before exec, or use "
           "posix_spawn."},
    Remedy{[](const ResourceFact& lock) { return lock.kind == WaitKind::stdio_lock; },
           "fork(3) makes the locks of stdio's files free in the child; _Fork, clone and the bare "
           "system call do not. After those, write with write(2) alone before exec."},
    Remedy{[](const ResourceFact& lock) { return lock.kind == WaitKind::import_lock; },
           "Import what the children need before threads are started: a module that another thread "
           "is importing at fork can never be imported in the child."},
    Remedy{
        [](const ResourceFact& lock) { return lock.implementation.starts_with("_io."); },
        "Give the child a file object of its own for its log or pipe: of Python's buffered files "
        "only stdin, stdout and stderr get new locks at fork. logging makes its handlers' locks "
        "new, and not those of their streams."},
};

std::vector<Advice> advice_for(const ResourceFact& lock, const std::optional<Location>& location) {
  std::vector<Advice> advice;
  for (const Remedy& remedy : remedies) {
    if (remedy.fits(lock)) advice.push_back({std::string(remedy.text), location, ""});
  }
  advice.push_back(
      {"Do not run code that takes locks between fork and exec in a program with threads: exec at "
       "once, or start children before threads (in Python: multiprocessing.set_start_method("
       "\"spawn\") or \"forkserver\").",
       advice.empty() ? location : std::nullopt, ""});
  if (!is_team(lock) && !is_helped(lock))
    advice.push_back(
        {"A library can protect its own locks with pthread_atfork (in Python: "
         "os.register_at_fork).",
         std::nullopt, ""});
  return advice;
}

// Who has the parent's own copy, which lies at the same address, and where: that one had it at the
// fork as well, or the lock has been given back and taken again.
std::optional<StoryLine> tell_holder_in_parent(const Scene& scene, const Orphan& orphan) {
  const ResourceFact& lock = scene.resource(orphan.lock);
  const ProcessId child = scene.thread(orphan.waiters.front()).process;
  const ProcessId parent = child.known() ? scene.facts.processes[child.index].parent : ProcessId{};
  if (!parent.known() || lock.at.empty()) return std::nullopt;
  for (std::uint32_t r = 0; r < scene.facts.resources.size(); ++r) {
    const ResourceFact& copy = scene.facts.resources[r];
    const bool same = std::ranges::any_of(copy.at, [&](const Place& place) {
      return place.process == parent && place.address == lock.at.front().address;
    });
    if (!same || copy.kind != lock.kind) continue;
    for (const Owner& owner : copy.owners) {
      const ThreadId holder = owner.by.as<RefKind::thread>();
      if (!holder.known() || scene.thread(holder).process != parent) continue;
      const std::string taken = taken_in(scene, holder, {r}), now = where_of(scene, holder);
      return StoryLine{"In the parent " + scene.name_of(holder) + " has its copy now" + taken +
                           (now.size() > 2 && taken.ends_with(now.substr(2)) ? "" : now) + ".",
                       owner.evidence};
    }
  }
  return std::nullopt;
}

}  // namespace

std::vector<Finding> detect_fork_orphaned_lock(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Orphan& orphan : find_orphans(
           scene, {"owner_before_fork", "owner_in_parent", "team_not_copied", "team_in_parent",
                   "holder_not_copied", "holder_in_parent", "helpers_not_copied"})) {
    const ResourceFact& lock = scene.resource(orphan.lock);
    Finding finding = orphan_finding(scene, orphan, "fork-orphaned-lock", surest(lock));
    finding.headline = as_headline(headline_of(scene, orphan));
    finding.story.insert(finding.story.begin(),
                         {lock.label + ": " + lock.owner_unknown_text + ".", {}});
    const std::string wait = finding.story[1].text;
    if (auto holder = tell_holder_in_parent(scene, orphan))
      finding.story.insert(finding.story.begin() + 1, std::move(*holder));
    finding.summary = {wait, finding.story[0].text, cause_of(lock)};
    finding.story.push_back({cause_of(lock), {}});
    finding.advice = advice_for(lock, finding.location);
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace coldcase
