// collective-mismatch: ranks of one MPI job sit in different collectives, or one never entered.
#include <algorithm>
#include <map>
#include <set>

#include "base/text.hpp"
#include "diagnose/diagnose.hpp"
#include "diagnose/mpi_ranks.hpp"

namespace coldcase {
namespace {

std::string capital(std::string text) {
  if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 32);
  return text;
}

// Ranks that do the same; those of one line of the story at the same place too.
struct Group {
  std::vector<std::size_t> ranks;  // indices into the job's
  std::string what;                // "in MPI_Bcast on MPI_COMM_WORLD"
  std::string where;               // "use_cached at mpi_mismatch.c:27", of its first; may be empty
};

// The odd ones first: what a few do and the others do not is what to look at.
std::vector<Group> in_order(const std::map<std::pair<std::string, std::string>, Group>& groups) {
  std::vector<Group> ordered;
  ordered.reserve(groups.size());
  for (const auto& [key, group] : groups) ordered.push_back(group);
  std::ranges::stable_sort(ordered, [](const Group& a, const Group& b) {
    return std::pair(a.ranks.size(), a.ranks.front()) < std::pair(b.ranks.size(), b.ranks.front());
  });
  return ordered;
}

class Mismatch {
 public:
  Mismatch(const Scene& scene, const MpiJob& job, const Knot& knot)
      : scene_(scene), job_(job), knot_(knot) {
    take_involved();
    std::map<std::pair<std::string, std::string>, Group> parties, groups;
    for (const std::size_t i : involved_) {
      const std::string what = what_of(job_.ranks[i]);
      const std::string where = Scene::text_of(scene_.site_of(job_.ranks[i].thread));
      for (Group* group : {&parties[{what, ""}], &groups[{what, where}]}) {
        if (group->ranks.empty()) *group = {{}, what, where};
        group->ranks.push_back(i);
      }
    }
    parties_ = in_order(parties);
    groups_ = in_order(groups);
  }

  bool waited_for() const { return involved_.size() > 1 && !collectives().empty(); }

  Finding make() const;

 private:
  void take_involved();
  std::string what_of(const MpiRank& rank) const;
  std::string names_of(const Group& group) const;
  std::set<std::string> collectives() const;
  std::set<ResourceId> communicators() const;
  Confidence confidence() const;
  Confidence ceiling_by_traffic() const;
  bool others_may_come() const;
  std::string headline() const;
  void tell(Finding& finding) const;
  void tell_outsiders(Finding& finding) const;
  StoryLine traffic_line() const;
  void advise(Finding& finding) const;
  bool has_blocked() const {
    return std::ranges::any_of(
        knot_, [&](std::size_t i) { return job_.ranks[i].doing == Doing::blocked; });
  }

  const Scene& scene_;
  const MpiJob& job_;
  const Knot& knot_;
  std::vector<std::size_t> involved_;  // the knot, and who waits for one of it in a collective
  std::vector<Group> parties_;         // by what they do
  std::vector<Group> groups_;          // and where
};

void Mismatch::take_involved() {
  const std::set<std::size_t> inside(knot_.begin(), knot_.end());
  std::set<ResourceId> here;
  for (const std::size_t i : knot_) {
    if (job_.ranks[i].doing == Doing::collective) here.insert(job_.ranks[i].communicator);
  }
  for (std::size_t i = 0; i < job_.ranks.size(); ++i) {
    const MpiRank& rank = job_.ranks[i];
    const bool waits =
        rank.stuck && rank.doing == Doing::collective &&
        (here.empty() || here.contains(rank.communicator)) &&
        std::ranges::any_of(rank.waits_for, [&](std::size_t o) { return inside.contains(o); });
    if (inside.contains(i) || waits) involved_.push_back(i);
  }
}

std::string Mismatch::what_of(const MpiRank& rank) const {
  if (rank.doing == Doing::collective) {
    return "in " + rank.call +
           (rank.communicator.known() ? " on " + scene_.label_of(rank.communicator) : "");
  }
  const ThreadFact& thread = scene_.thread(rank.thread);
  if (rank.doing == Doing::message) {
    const ProcessId peer =
        thread.wait->on.empty() ? ProcessId{} : thread.wait->on.front().as<RefKind::process>();
    std::string text = "in " + rank.call;
    if (peer.known() && scene_.facts.processes[peer.index].mpi)
      text += ", for a message with rank " +
              std::to_string(scene_.facts.processes[peer.index].mpi->rank);
    return text;
  }
  const Ref on = thread.wait && !thread.wait->on.empty() ? thread.wait->on.front() : Ref{};
  if (on.as<RefKind::resource>().known() || on.as<RefKind::thread>().known())
    return "in no call of MPI: it " + wait_phrase(scene_, rank.thread);
  return "in no call of MPI, and blocked";
}

std::string Mismatch::names_of(const Group& group) const {
  std::vector<std::int64_t> numbers;
  for (const std::size_t i : group.ranks) numbers.push_back(job_.ranks[i].rank);
  std::string text = capital(ranks_text(numbers));
  if (group.ranks.size() == 1)
    text += ", " + scene_.name_of(job_.ranks[group.ranks.front()].thread) + ",";
  return text + (group.ranks.size() == 1 ? " is " : " are ");
}

std::set<std::string> Mismatch::collectives() const {
  std::set<std::string> calls;
  for (const std::size_t i : involved_) {
    if (job_.ranks[i].doing == Doing::collective) calls.insert(job_.ranks[i].call);
  }
  return calls;
}

std::set<ResourceId> Mismatch::communicators() const {
  std::set<ResourceId> found;
  for (const std::size_t i : involved_) {
    if (job_.ranks[i].communicator.known()) found.insert(job_.ranks[i].communicator);
  }
  return found;
}

// Cores taken one after the other from ranks that moved may show ranks in different calls. Only
// the counters of messages tell such a picture from a real one.
Confidence Mismatch::ceiling_by_traffic() const {
  Confidence most = Confidence::proved;
  for (const ResourceId id : communicators()) {
    const auto count = under_way(scene_.resource(id));
    if (count && *count > 0) return Confidence::hypothesis;
    if (!count) most = Confidence::likely;
  }
  return most;
}

// A rank of these communicators that is not in the knot and not stuck, or has no core here: where a
// call may be left before all have entered, it can be the one that all wait for.
bool Mismatch::others_may_come() const {
  if (!job_.missing.empty()) return true;
  const std::set<ResourceId> here = communicators();
  return std::ranges::any_of(job_.ranks, [&](const MpiRank& rank) {
    return !rank.stuck && std::ranges::any_of(here, [&](ResourceId id) {
      const auto& at = scene_.resource(id).at;
      return std::ranges::find(at, rank.process, &Place::process) != at.end();
    });
  });
}

Confidence Mismatch::confidence() const {
  Confidence sure = ceiling_by_traffic();
  for (const std::size_t i : involved_) {
    const MpiRank& rank = job_.ranks[i];
    const auto& wait = scene_.thread(rank.thread).wait;
    if (wait) sure = std::min(sure, wait->confidence);
    // Whom it waits for is not read: any of the others, and none can come.
    if (rank.any_peer || rank.doing == Doing::blocked) sure = std::min(sure, Confidence::likely);
    // On which communicator is not known: with more than two ranks it may be none of the others'.
    if (rank.doing == Doing::collective && !rank.communicator.known() &&
        rank.call != "MPI_Finalize") {
      const bool two = job_.size_known && job_.ranks.size() + job_.missing.size() == 2;
      sure = std::min(sure, two ? Confidence::likely : Confidence::hypothesis);
    }
  }
  const std::set<std::string> calls = collectives();
  if (std::ranges::any_of(calls, [](const std::string& c) { return leaves_early(c); }) &&
      others_may_come())
    sure = Confidence::hypothesis;
  return sure;
}

std::string Mismatch::headline() const {
  const Group& odd = parties_.front();
  const Group& rest = parties_.back();
  const auto numbers = [&](const Group& group) {
    std::vector<std::int64_t> all;
    for (const std::size_t i : group.ranks) all.push_back(job_.ranks[i].rank);
    return ranks_text(all);
  };
  const auto verb = [](const Group& group) { return group.ranks.size() == 1 ? " is " : " are "; };
  const MpiRank& one = job_.ranks[odd.ranks.front()];
  const MpiRank& other = job_.ranks[rest.ranks.front()];
  if (parties_.size() > 2) {
    const std::set<std::string> calls = collectives();
    return as_headline(counted(involved_.size(), "rank") +
                       " of an MPI job wait for each other in " +
                       join({calls.begin(), calls.end()}, ", "));
  }
  if (one.doing == Doing::collective && other.doing == Doing::collective) {
    const std::string tail =
        one.communicator == other.communicator && one.communicator.known()
            ? one.call + " while " + numbers(rest) + verb(rest) + "in " + other.call + ", on " +
                  scene_.label_of(one.communicator)
            : what_of(one).substr(3) + " while " + numbers(rest) + verb(rest) + what_of(other);
    return as_headline(capital(numbers(odd)) + verb(odd) + "in " + tail);
  }
  const Group& waiting = one.doing == Doing::collective ? odd : rest;
  const Group& away = one.doing == Doing::collective ? rest : odd;
  const MpiRank& absent = job_.ranks[away.ranks.front()];
  return as_headline(capital(numbers(away)) + ", " +
                     (absent.call.empty() ? "blocked outside of MPI" : "in " + absent.call) +
                     (away.ranks.size() == 1 ? ", keeps " : ", keep ") + numbers(waiting) +
                     " waiting in " + job_.ranks[waiting.ranks.front()].call);
}

void Mismatch::tell(Finding& finding) const {
  for (const Group& group : groups_) {
    const std::string text =
        names_of(group) + group.what + (group.where.empty() ? "" : ", in " + group.where) + ".";
    StoryLine line{text, {}};
    for (const std::size_t i : group.ranks) {
      const auto& wait = scene_.thread(job_.ranks[i].thread).wait;
      if (wait && line.evidence.size() < 12)
        line.evidence.insert(line.evidence.end(), wait->evidence.begin(), wait->evidence.end());
    }
    finding.story.push_back(std::move(line));
    if (finding.summary.size() < 4) finding.summary.push_back(text);
  }
  const std::string rule =
      has_blocked() ? "A collective ends when every rank of its communicator has entered it, and "
                      "the blocked rank cannot enter it any more."
      : collectives().size() > 1 || parties_.size() == 1 || communicators().size() != 1
          ? "Every rank of a communicator has to make the same collective calls in the same order: "
            "one call does not answer another, so none of these can ever return."
          : "A collective ends when every rank of its communicator has entered it: the ranks in it "
            "and the one that is not wait for each other.";
  finding.story.push_back({rule, {}});
  finding.summary.push_back(rule);
}

// Who is not part of it: held up behind it, without a core, messages on their way.
void Mismatch::tell_outsiders(Finding& finding) const {
  std::vector<std::int64_t> behind;
  for (std::size_t i = 0; i < job_.ranks.size(); ++i) {
    const bool inside = std::ranges::find(involved_, i) != involved_.end();
    if (job_.ranks[i].stuck && !inside) behind.push_back(job_.ranks[i].rank);
  }
  if (!behind.empty())
    finding.story.push_back({capital(ranks_text(behind)) +
                                 (behind.size() == 1 ? " waits" : " wait") +
                                 " in MPI too, held up behind these.",
                             {}});
  if (!job_.missing.empty())
    finding.story.push_back({capital(ranks_text(job_.missing)) +
                                 (job_.missing.size() == 1 ? " has" : " have") +
                                 " no core here: what they do is not known.",
                             {}});
  finding.story.push_back(traffic_line());
}

// What is on its way between the ranks, and how that is known.
StoryLine Mismatch::traffic_line() const {
  StoryLine line;
  bool told = !communicators().empty();
  for (const ResourceId id : communicators()) {
    const auto count = under_way(scene_.resource(id));
    told = told && count.has_value();
    for (std::uint32_t e = 0; count && e < scene_.facts.evidence.size(); ++e) {
      const Evidence& evidence = scene_.facts.evidence[e];
      if (evidence.resource == id && !evidence.thread.known()) line.evidence.push_back({e});
    }
    if (!count || *count == 0) continue;
    line.text = counted(*count, "message") + " on " + scene_.label_of(id) +
                " had been sent and not yet received: the cores are of different moments, or the "
                "ranks still move.";
    return line;
  }
  line.text =
      told ? "Nothing is on its way that could end this: each rank that waits in MPI has received "
             "every message that the others sent it."
           : "Whether messages are still on their way between them is not recorded where "
             "it could be read: cores taken one after the other from ranks that still move "
             "can look alike.";
  return line;
}

void Mismatch::advise(Finding& finding) const {
  const Group& odd = parties_.front();
  const MpiRank& one = job_.ranks[odd.ranks.front()];
  const bool alone = parties_.size() > 1 && odd.ranks.size() < parties_.back().ranks.size();
  std::vector<std::int64_t> numbers;
  for (const std::size_t i : odd.ranks) numbers.push_back(job_.ranks[i].rank);
  const auto location = Scene::location_of(scene_.site_of(one.thread));
  finding.location = location;
  const std::string to = odd.where.empty() ? "here" : "to " + odd.where;
  const std::string& elsewhere = parties_.back().where;
  std::string find = alone ? "Find why " + ranks_text(numbers) + " came " + to
                           : "Find where the ways of these ranks part before they come " + to;
  if (parties_.size() > 1 && !elsewhere.empty() && elsewhere != odd.where)
    find += (alone ? ", where the others came to " : " and ") + elsewhere;
  finding.advice.push_back(
      {find + ": usually a condition on a rank's own data (a cache hit, an error, a file that is "
              "not there) decides whether a collective is called.",
       location, ""});
  finding.advice.push_back(
      {"Let all ranks decide together before they branch: one rank decides and broadcasts it, or "
       "the condition goes through MPI_Allreduce.",
       std::nullopt, ""});
  if (!job_.missing.empty())
    finding.advice.push_back(
        {"Give the cores of all ranks at once: " + ranks_text(job_.missing) + " may be the cause.",
         std::nullopt, ""});
}

Finding Mismatch::make() const {
  Finding finding;
  finding.pattern = "collective-mismatch";
  finding.kind = FindingKind::deadlock;
  finding.confidence = confidence();
  finding.headline = headline();
  for (const std::size_t i : involved_) {
    finding.threads.push_back(job_.ranks[i].thread);
    finding.processes.push_back(job_.ranks[i].process);
  }
  for (const ResourceId id : communicators()) finding.resources.push_back(id);
  tell(finding);
  tell_outsiders(finding);
  advise(finding);
  if (!has_blocked()) {
    take_rank_ring(scene_, job_, find_rank_ring(job_, knot_), finding);
    return finding;
  }
  // Not a ring: who waits for the one that cannot come.
  for (const std::size_t i : involved_) {
    const MpiRank& rank = job_.ranks[i];
    if (rank.doing != Doing::collective || !rank.communicator.known()) continue;
    const Wait& wait = *scene_.thread(rank.thread).wait;
    finding.path.push_back(
        {rank.thread, Relation::waits_for, rank.communicator, wait.confidence, wait.evidence});
    finding.path.push_back({rank.communicator,
                            Relation::ended_by,
                            job_.ranks[knot_.front()].thread,
                            finding.confidence,
                            {}});
    break;
  }
  return finding;
}

}  // namespace

std::vector<Finding> detect_collective_mismatch(const Scene& scene) {
  std::vector<Finding> findings;
  for (const MpiJob& job : find_jobs(scene)) {
    for (const Knot& knot : find_knots(job)) {
      const Mismatch mismatch(scene, job, knot);
      if (mismatch.waited_for()) findings.push_back(mismatch.make());
    }
  }
  return findings;
}

}  // namespace coldcase
