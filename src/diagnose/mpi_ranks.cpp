#include "diagnose/mpi_ranks.hpp"

#include <algorithm>
#include <array>
#include <deque>
#include <map>
#include <set>

namespace coldcase {
namespace {

bool in_mpi(const ThreadFact& thread) {
  return thread.api && thread.api->name.starts_with("MPI_");
}

// Whether its wait can end by itself or from outside: time, files, sockets, other processes.
bool can_go_on(const ThreadFact& thread) {
  if (thread.state != ThreadState::blocked && thread.state != ThreadState::idle) return true;
  if (!thread.wait || thread.wait->ends != Ends::never) return true;
  const WaitKind kind = thread.wait->kind;
  return kind == WaitKind::io || kind == WaitKind::sleep || kind == WaitKind::unknown ||
         kind == WaitKind::process_exit;
}

// What one process does as a rank: its thread that waits in MPI, a collective before a message.
class RankReader {
 public:
  explicit RankReader(const Scene& scene) : scene_(scene) {}

  MpiRank read(ProcessId process) const {
    MpiRank rank;
    rank.process = process;
    rank.rank = scene_.facts.processes[process.index].mpi->rank;
    bool runs = scene_.facts.processes[process.index].dump_reason == DumpReason::signal;
    for (std::uint32_t i = 0; i < scene_.facts.threads.size(); ++i) {
      const ThreadFact& thread = scene_.facts.threads[i];
      if (thread.process != process) continue;
      if (!rank.thread.known()) rank.thread = ThreadId{i};  // the main thread is a core's first
      take_call(ThreadId{i}, rank);
      runs = runs || thread.state == ThreadState::running ||
             (thread.state == ThreadState::spinning && !in_mpi(thread));
    }
    if (rank.doing == Doing::collective) return rank;
    // Another thread that runs may still make the call.
    if (runs) {
      rank.doing = Doing::free;
    } else if (rank.doing == Doing::free && rank.thread.known() &&
               !can_go_on(scene_.thread(rank.thread))) {
      rank.doing = Doing::blocked;
    }
    return rank;
  }

 private:
  void take_call(ThreadId id, MpiRank& rank) const {
    const ThreadFact& thread = scene_.thread(id);
    if (!in_mpi(thread) || !thread.wait || thread.state == ThreadState::running) return;
    if (rank.doing == Doing::collective) return;
    rank.thread = id;
    rank.call = thread.api->name;
    rank.doing = thread.wait->kind == WaitKind::collective ? Doing::collective : Doing::message;
    if (!thread.wait->on.empty())
      rank.communicator = thread.wait->on.front().as<RefKind::resource>();
  }

  const Scene& scene_;
};

// It has the communicator; one of all ranks it has even where that was not read.
bool is_member(const Scene& scene, const MpiJob& job, ResourceId communicator, ProcessId process) {
  const ResourceFact& of = scene.resource(communicator);
  if (std::ranges::find(of.at, process, &Place::process) != of.at.end()) return true;
  return job.size_known && std::ranges::any_of(of.words, [&](const MemoryWord& word) {
           return word.name == "size" && word.value == job.ranks.size() + job.missing.size();
         });
}

// Each rank of its communicator that is not in the same call on it.
void wait_in_collective(const Scene& scene, std::size_t self, MpiJob& job) {
  MpiRank& rank = job.ranks[self];
  for (std::size_t i = 0; i < job.ranks.size(); ++i) {
    const MpiRank& other = job.ranks[i];
    if (i == self) continue;
    if (rank.communicator.known() && !is_member(scene, job, rank.communicator, other.process))
      continue;
    const bool there = other.doing == Doing::collective && other.call == rank.call &&
                       (other.communicator == rank.communicator || !rank.communicator.known() ||
                        !other.communicator.known());
    if (!there) rank.waits_for.push_back(i);
  }
}

void wait_for_message(const Scene& scene, std::size_t self, MpiJob& job) {
  MpiRank& rank = job.ranks[self];
  const Wait& wait = *scene.thread(rank.thread).wait;
  const ProcessId peer = wait.on.empty() ? ProcessId{} : wait.on.front().as<RefKind::process>();
  rank.any_peer = !peer.known();
  for (std::size_t i = 0; i < job.ranks.size(); ++i) {
    if (i != self && (rank.any_peer || job.ranks[i].process == peer)) rank.waits_for.push_back(i);
  }
}

// Stuck is who waits for a rank that is stuck; at first all who wait are taken to be, then those
// go whose partners may still come.
void find_stuck(MpiJob& job) {
  for (MpiRank& rank : job.ranks) rank.stuck = rank.doing != Doing::free;
  for (bool changed = true; changed;) {
    changed = false;
    for (MpiRank& rank : job.ranks) {
      if (!rank.stuck || rank.doing == Doing::blocked) continue;
      const auto stuck = [&](std::size_t other) { return job.ranks[other].stuck; };
      const bool held = rank.any_peer ? job.missing.empty() && !rank.waits_for.empty() &&
                                            std::ranges::all_of(rank.waits_for, stuck)
                                      : std::ranges::any_of(rank.waits_for, stuck);
      if (held) continue;
      rank.stuck = false;
      changed = true;
    }
  }
}

std::set<std::size_t> reachable(const MpiJob& job, std::size_t from) {
  std::set<std::size_t> reached;
  std::vector<std::size_t> next{from};
  while (!next.empty()) {
    const std::size_t at = next.back();
    next.pop_back();
    for (const std::size_t other : job.ranks[at].waits_for) {
      if (job.ranks[other].stuck && reached.insert(other).second) next.push_back(other);
    }
  }
  return reached;
}

}  // namespace

std::vector<MpiJob> find_jobs(const Scene& scene) {
  // Hydra gives a job no name: there its size has to do, and two ranks of one number are two jobs.
  using Key = std::tuple<std::string, std::int64_t, std::size_t>;
  std::map<Key, MpiJob> jobs;
  std::map<std::tuple<std::string, std::int64_t, std::int64_t>, std::size_t> times;
  const RankReader reader(scene);
  for (std::uint32_t p = 0; p < scene.facts.processes.size(); ++p) {
    const auto& place = scene.facts.processes[p].mpi;
    if (!place || !scene.facts.processes[p].captured) continue;
    const std::int64_t size = place->size.value_or(-1);
    const std::size_t nth = times[{place->job, size, place->rank}]++;
    MpiJob& job = jobs[{place->job, size, nth}];
    job.size_known = size >= 0;
    job.ranks.push_back(reader.read(ProcessId{p}));
  }
  std::vector<MpiJob> found;
  for (auto& [key, job] : jobs) {
    std::ranges::stable_sort(job.ranks, {}, &MpiRank::rank);
    std::size_t next = 0;
    for (std::int64_t r = 0; r < std::get<1>(key); ++r) {
      if (next < job.ranks.size() && job.ranks[next].rank == r)
        ++next;
      else
        job.missing.push_back(r);
    }
    for (std::size_t i = 0; i < job.ranks.size(); ++i) {
      if (job.ranks[i].doing == Doing::collective) wait_in_collective(scene, i, job);
      if (job.ranks[i].doing == Doing::message) wait_for_message(scene, i, job);
    }
    find_stuck(job);
    found.push_back(std::move(job));
  }
  return found;
}

std::vector<Knot> find_knots(const MpiJob& job) {
  std::vector<std::set<std::size_t>> reach;
  for (std::size_t i = 0; i < job.ranks.size(); ++i)
    reach.push_back(job.ranks[i].stuck ? reachable(job, i) : std::set<std::size_t>{});
  std::vector<Knot> knots;
  std::set<std::size_t> done;
  for (std::size_t i = 0; i < job.ranks.size(); ++i) {
    if (!job.ranks[i].stuck || done.contains(i)) continue;
    // Whoever it leads to leads back: nobody outside is waited for.
    const bool closed =
        std::ranges::all_of(reach[i], [&](std::size_t other) { return reach[other] == reach[i]; });
    if (!closed || (reach[i].empty() && job.ranks[i].doing != Doing::blocked)) continue;
    Knot knot(reach[i].begin(), reach[i].end());
    if (knot.empty()) knot.push_back(i);
    if (std::ranges::find(knot, i) == knot.end()) continue;
    done.insert(knot.begin(), knot.end());
    knots.push_back(std::move(knot));
  }
  return knots;
}

std::vector<std::size_t> find_rank_ring(const MpiJob& job, const Knot& knot) {
  const std::size_t start = knot.front();
  const std::set<std::size_t> inside(knot.begin(), knot.end());
  std::map<std::size_t, std::size_t> came_from;
  std::deque<std::size_t> next{start};
  while (!next.empty()) {
    const std::size_t at = next.front();
    next.pop_front();
    for (const std::size_t other : job.ranks[at].waits_for) {
      if (!inside.contains(other)) continue;
      if (other == start) {
        std::vector<std::size_t> ring;
        for (std::size_t back = at; back != start; back = came_from[back]) ring.push_back(back);
        ring.push_back(start);
        std::ranges::reverse(ring);
        return ring;
      }
      if (came_from.try_emplace(other, at).second) next.push_back(other);
    }
  }
  return {};
}

bool has_stuck_ranks(const Facts& facts) {
  const std::vector<Ring> none;
  const std::vector<bool> nobody(facts.threads.size());
  const std::vector<MpiJob> jobs = find_jobs({facts, none, nobody});
  return std::ranges::any_of(
      jobs, [](const MpiJob& job) { return std::ranges::any_of(job.ranks, &MpiRank::stuck); });
}

bool leaves_early(std::string_view call) {
  static constexpr std::array early{"MPI_Bcast",   "MPI_Scatter", "MPI_Scatterv", "MPI_Gather",
                                    "MPI_Gatherv", "MPI_Reduce",  "MPI_Scan",     "MPI_Exscan"};
  return std::ranges::any_of(early, [call](std::string_view name) { return name == call; });
}

std::optional<std::uint64_t> under_way(const ResourceFact& communicator) {
  for (const MemoryWord& word : communicator.words) {
    if (word.name == "messages under way") return word.value;
  }
  return std::nullopt;
}

std::string ranks_text(const std::vector<std::int64_t>& ranks) {
  constexpr std::size_t listed = 8;
  std::string text = ranks.size() == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < std::min(ranks.size(), listed); ++i) {
    if (i > 0) text += i + 1 == ranks.size() ? " and " : ", ";
    text += std::to_string(ranks[i]);
  }
  if (ranks.size() > listed) text += " and " + std::to_string(ranks.size() - listed) + " more";
  return text;
}

void take_rank_ring(const Scene& scene, const MpiJob& job, const std::vector<std::size_t>& ring,
                    Finding& finding) {
  bool known = !ring.empty();
  for (std::size_t i = 0; i < ring.size(); ++i) {
    const MpiRank& rank = job.ranks[ring[i]];
    const MpiRank& next = job.ranks[ring[(i + 1) % ring.size()]];
    const Wait& wait = *scene.thread(rank.thread).wait;
    if (wait.on.size() != 1) {
      known = false;
      continue;
    }
    const Ref on = wait.on.front();
    finding.path.push_back({rank.thread, Relation::waits_for, on, wait.confidence, wait.evidence});
    const Relation leads = on.kind == RefKind::process ? Relation::runs : Relation::ended_by;
    // The closest word first: what its memory says, then what its stack says.
    const auto& next_wait = scene.thread(next.thread).wait;
    std::vector<EvidenceId> evidence;
    if (next_wait) evidence.assign(next_wait->evidence.rbegin(), next_wait->evidence.rend());
    finding.path.push_back({on, leads, next.thread, finding.confidence, std::move(evidence)});
  }
  finding.cyclic = known;
}

}  // namespace coldcase
