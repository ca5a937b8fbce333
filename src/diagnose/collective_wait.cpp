// collective-wait: nothing wrong; ranks of an MPI job wait in a collective for one that still runs.
// Which one it is, and where, is what people look for when a job is slow.
#include <algorithm>
#include <map>
#include <set>

#include "diagnose/diagnose.hpp"
#include "diagnose/mpi_ranks.hpp"

namespace coldcase {
namespace {

struct Waiting {
  std::vector<std::size_t> ranks;
  std::set<std::size_t> late;  // who is not in it and may still come
};

std::vector<std::int64_t> numbers_of(const MpiJob& job, const auto& ranks) {
  std::vector<std::int64_t> numbers;
  numbers.reserve(ranks.size());
  for (const std::size_t i : ranks) numbers.push_back(job.ranks[i].rank);
  return numbers;
}

Finding make_finding(const Scene& scene, const MpiJob& job, const Waiting& waiting) {
  const MpiRank& first = job.ranks[waiting.ranks.front()];
  const std::string waiters = "R" + ranks_text(numbers_of(job, waiting.ranks)).substr(1) +
                              (waiting.ranks.size() == 1 ? " waits in " : " wait in ") + first.call;
  Finding finding;
  finding.pattern = "collective-wait";
  finding.kind = FindingKind::info;
  finding.confidence = Confidence::very_likely;
  StoryLine line{waiters + " on " + scene.label_of(first.communicator) + ".", {}};
  for (const std::size_t i : waiting.ranks) {
    const Wait& wait = *scene.thread(job.ranks[i].thread).wait;
    finding.confidence = std::min(finding.confidence, wait.confidence);
    line.evidence.insert(line.evidence.end(), wait.evidence.begin(), wait.evidence.end());
    finding.threads.push_back(job.ranks[i].thread);
    finding.processes.push_back(job.ranks[i].process);
    finding.path.push_back({job.ranks[i].thread, Relation::waits_for, first.communicator,
                            wait.confidence, wait.evidence});
  }
  finding.summary.push_back(line.text);
  finding.story.push_back(std::move(line));
  finding.resources = {first.communicator};
  std::string site;
  for (const std::size_t i : waiting.late) {
    const MpiRank& late = job.ranks[i];
    const std::string at = Scene::text_of(scene.site_of(late.thread));
    const bool runs = scene.thread(late.thread).state == ThreadState::running;
    if (site.empty()) site = at;
    finding.story.push_back({"Rank " + std::to_string(late.rank) + ", " +
                                 scene.name_of(late.thread) + ", is not in it: it " +
                                 (runs ? "runs" : "is not held up for ever") +
                                 (at.empty() ? "" : ", in " + at) + ".",
                             {}});
    finding.threads.push_back(late.thread);
    finding.processes.push_back(late.process);
    finding.path.push_back(
        {first.communicator, Relation::ended_by, late.thread, finding.confidence, {}});
  }
  finding.headline =
      as_headline(waiters + " for " + ranks_text(numbers_of(job, waiting.late)) +
                  (site.empty() ? "" : ", now in " + site) + ", which may still come");
  finding.summary.push_back("Who is not there yet may still come: this is a wait, no deadlock.");
  finding.location = Scene::location_of(scene.site_of(job.ranks[*waiting.late.begin()].thread));
  finding.advice = {
      {"If it stays so, take the cores again a minute later and compare where the "
       "late ranks are.",
       finding.location, ""}};
  return finding;
}

}  // namespace

std::vector<Finding> detect_collective_wait(const Scene& scene) {
  std::vector<Finding> findings;
  for (const MpiJob& job : find_jobs(scene)) {
    std::map<std::pair<ResourceId, std::string>, Waiting> all;
    for (std::size_t i = 0; i < job.ranks.size(); ++i) {
      const MpiRank& rank = job.ranks[i];
      if (rank.doing != Doing::collective || rank.stuck || !rank.communicator.known()) continue;
      Waiting& waiting = all[{rank.communicator, rank.call}];
      waiting.ranks.push_back(i);
      for (const std::size_t other : rank.waits_for) {
        if (job.ranks[other].doing == Doing::free) waiting.late.insert(other);
      }
    }
    for (const auto& [where, waiting] : all) {
      if (!waiting.late.empty()) findings.push_back(make_finding(scene, job, waiting));
    }
  }
  return findings;
}

}  // namespace coldcase
