// The ranks of an MPI job as the detectors need them: what each is in, for which others it waits,
// and which of them can still go on.
#pragma once

#include <string>
#include <vector>

#include "diagnose/scene.hpp"

namespace coldcase {

enum class Doing : std::uint8_t {
  collective,  // waits in a call that every rank of a communicator has to enter
  message,     // waits in MPI for one or some other ranks
  blocked,     // in no call of MPI that waits: held up by something without end
  free,        // runs, or waits for what may still come
};

struct MpiRank {
  ProcessId process;
  std::int64_t rank = 0;
  ThreadId thread;  // the one in MPI, else the main thread
  Doing doing = Doing::free;
  std::string call;                    // "MPI_Bcast"; empty: in none
  ResourceId communicator;             // of a collective; unknown: not read
  std::vector<std::size_t> waits_for;  // indices into the job's ranks: each of them has to come
  bool any_peer = false;               // any of `waits_for` would do: which is not known
  bool stuck = false;                  // for ever, as far as the ranks here tell
};

struct MpiJob {
  std::vector<MpiRank> ranks;         // those with a core here, by rank
  std::vector<std::int64_t> missing;  // ranks without a core here, when the size is known
  bool size_known = false;
};

std::vector<MpiJob> find_jobs(const Scene& scene);

// Stuck ranks that wait for each other, or one that is blocked by something else; everybody else
// who is stuck waits, through others, for one of these.
using Knot = std::vector<std::size_t>;
std::vector<Knot> find_knots(const MpiJob& job);

// A shortest ring of `waits_for` inside the knot, from its lowest rank; empty when there is none.
std::vector<std::size_t> find_rank_ring(const MpiJob& job, const Knot& knot);

// Some rank waits for others that all wait too, whether or not it can be told for whom.
bool has_stuck_ranks(const Facts& facts);

// The calls that some ranks may leave before others have entered: there a rank in the next
// collective and one still in this are no contradiction by themselves.
bool leaves_early(std::string_view call);

// How many messages are on their way between the ranks here of the communicator; nothing when the
// library does not tell.
std::optional<std::uint64_t> under_way(const ResourceFact& communicator);

// "rank 2", "ranks 0, 1 and 3"; of many the first.
std::string ranks_text(const std::vector<std::int64_t>& ranks);

// Edges of the ring for a finding's path; sets `cyclic` when every wait of it is known.
void take_rank_ring(const Scene& scene, const MpiJob& job, const std::vector<std::size_t>& ring,
                    Finding& finding);

}  // namespace coldcase
