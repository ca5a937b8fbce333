// message-cycle: ranks of one MPI job wait for messages from each other, and no collective is in
// it.
#include <algorithm>

#include "diagnose/diagnose.hpp"
#include "diagnose/mpi_ranks.hpp"

namespace coldcase {
namespace {

// Whoever waits for any rank, or for a request that was not read, may be a server at rest.
bool messages_alone(const MpiJob& job, const Knot& knot) {
  return knot.size() > 1 && std::ranges::all_of(knot, [&](std::size_t i) {
           return job.ranks[i].doing == Doing::message && !job.ranks[i].any_peer;
         });
}

Confidence confidence_of(const Scene& scene, const MpiJob& job,
                         const std::vector<std::size_t>& ring) {
  Confidence sure = Confidence::likely;  // a message may be on its way: that was not counted
  for (const std::size_t i : ring)
    sure = std::min(sure, scene.thread(job.ranks[i].thread).wait->confidence);
  return sure;
}

Finding make_finding(const Scene& scene, const MpiJob& job, const std::vector<std::size_t>& ring) {
  Finding finding;
  finding.pattern = "message-cycle";
  finding.kind = FindingKind::deadlock;
  finding.confidence = confidence_of(scene, job, ring);
  std::vector<std::int64_t> numbers;
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const MpiRank& rank = job.ranks[ring[i]];
    const MpiRank& next = job.ranks[ring[(i + 1) % ring.size()]];
    const Frame* site = scene.site_of(rank.thread);
    const std::string text = "Rank " + std::to_string(rank.rank) + ", " +
                             scene.name_of(rank.thread) + ", is in " + rank.call +
                             ", for a message with rank " + std::to_string(next.rank) +
                             (site != nullptr ? ", in " + Scene::text_of(site) : "") + ".";
    finding.story.push_back({text, scene.thread(rank.thread).wait->evidence});
    if (finding.summary.size() < 4) finding.summary.push_back(text);
    finding.threads.push_back(rank.thread);
    finding.processes.push_back(rank.process);
    numbers.push_back(rank.rank);
  }
  std::ranges::sort(numbers);
  finding.headline = as_headline("R" + ranks_text(numbers).substr(1) +
                                 " of an MPI job wait in a ring for messages of each other");
  const std::string rule =
      "Each waits for a message with the next one, which cannot do its part before its own wait "
      "ends.";
  finding.story.push_back({rule, {}});
  finding.summary.push_back(rule);
  take_rank_ring(scene, job, ring, finding);
  finding.location = Scene::location_of(scene.site_of(finding.threads.front()));
  finding.advice = {{"Let one side send while the other receives, or use MPI_Sendrecv, or post "
                     "MPI_Irecv before sending.",
                     finding.location, ""},
                    {"Compare ranks and tags of the two sides: a receive that names another tag "
                     "than the send never ends.",
                     std::nullopt, ""}};
  return finding;
}

}  // namespace

std::vector<Finding> detect_message_cycle(const Scene& scene) {
  std::vector<Finding> findings;
  for (const MpiJob& job : find_jobs(scene)) {
    for (const Knot& knot : find_knots(job)) {
      const std::vector<std::size_t> ring = find_rank_ring(job, knot);
      if (messages_alone(job, knot) && !ring.empty())
        findings.push_back(make_finding(scene, job, ring));
    }
  }
  return findings;
}

}  // namespace coldcase
