// One resource for a communicator over all the ranks that have it.
#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "lens/mpi/rank.hpp"

namespace coldcase::mpi {
namespace {

constexpr std::size_t most_pairs = 1'000'000;

using Key = std::tuple<Implementation, std::string, std::uint64_t, std::int64_t,
                       std::vector<std::int64_t>, std::string>;

// A name is each rank's own affair (MPI_Comm_set_name is local): it tells two apart only where the
// members are not known. Disjoint communicators of one split have the same context id.
Key key_of(const Rank& rank, const Communicator& communicator) {
  return {rank.library.implementation(),
          rank.place ? rank.place->job : std::string{},
          communicator.id,
          communicator.size,
          communicator.members,
          communicator.members.empty() ? communicator.name : std::string{}};
}

std::string label_of(const Communicator& communicator) {
  if (communicator.named && communicator.name.starts_with("MPI_COMM_")) return communicator.name;
  if (communicator.named) return "communicator \"" + communicator.name + "\"";
  return "communicator " + std::to_string(communicator.id) + " of " +
         counted(static_cast<std::uint64_t>(communicator.size), "rank");
}

// Two processes of one rank: two communicators that look the same from here.
bool ambiguous(const std::vector<Shared::Member>& members) {
  std::set<std::int64_t> ranks;
  return std::ranges::any_of(members, [&](const Shared::Member& member) {
    return !ranks.insert(member.communicator->rank).second;
  });
}

bool waits(const Rank& rank) {
  return std::ranges::any_of(rank.calls, [](const RankCall& of) { return of.call.waiting; });
}

// Messages that one rank has sent and a waiting one not received, over all pairs that are here;
// nothing when the library does not tell. Who is not in MPI receives nothing, and that ends no
// wait.
std::optional<std::uint64_t> count_under_way(const std::vector<Shared::Member>& members) {
  if (members.size() < 2 || members.size() * members.size() > most_pairs) return std::nullopt;
  std::uint64_t under_way = 0;
  for (const Shared::Member& from : members) {
    for (const Shared::Member& to : members) {
      if (from.rank == to.rank || !waits(*to.rank)) continue;
      const auto sent = from.rank->library.read_traffic(*from.communicator, to.communicator->rank);
      const auto received =
          to.rank->library.read_traffic(*to.communicator, from.communicator->rank);
      if (!sent || !received) return std::nullopt;
      under_way += static_cast<std::uint16_t>(sent->sent - received->received);
    }
  }
  return under_way;
}

void describe(const Shared& shared, Ledger& ledger) {
  const Communicator& communicator = *shared.members.front().communicator;
  ResourceFact& resource = ledger.resource(shared.resource);
  const auto size = static_cast<std::uint64_t>(communicator.size);
  resource.label = label_of(communicator);
  resource.state = LockState::waiting;
  resource.owner_unknown_code = "no_owner";
  resource.owner_unknown_text =
      "nobody owns it: each of its " + counted(size, "rank") + " has to enter the same call";
  resource.words = {{"size", Addr{}, size, counted(size, "rank")},
                    {"context id", Addr{}, communicator.id, ""}};
  if (const auto under_way = count_under_way(shared.members)) {
    const std::string means =
        *under_way == 0 ? "each rank here that waits has received all that the others here sent it"
                        : "sent by one rank here and not yet received by another that waits";
    resource.words.push_back({"messages under way", Addr{}, *under_way, means});
    Evidence evidence;
    evidence.claim = "on " + resource.label + " " +
                     (*under_way == 0 ? means : counted(*under_way, "message") + " " + means);
    evidence.basis = Basis::memory;
    evidence.resource = shared.resource;
    evidence.source = "mca_pml_ob1_comm_proc_t.send_sequence, expected_sequence; " +
                      std::string(shared.members.front().rank->library.source());
    ledger.add_evidence(std::move(evidence));
  }
}

}  // namespace

std::vector<Shared> share_communicators(const std::vector<Rank>& ranks, Ledger& ledger) {
  std::map<Key, std::vector<Shared::Member>> all;
  std::set<Key> wanted;
  for (const Rank& rank : ranks) {
    for (const Communicator& communicator : rank.library.communicators())
      all[key_of(rank, communicator)].push_back({&rank, &communicator});
    for (const RankCall& call : rank.calls) {
      if (call.call.waiting && call.call.communicator != nullptr)
        wanted.insert(key_of(rank, *call.call.communicator));
    }
  }
  std::vector<Shared> shared;
  for (const Key& key : wanted) {
    std::vector<std::vector<Shared::Member>> groups{all[key]};
    if (ambiguous(groups.front())) {
      groups.clear();
      for (const Shared::Member& member : all[key]) groups.push_back({member});
      ledger.add_note("mpi-communicators-alike", Severity::warning,
                      "several communicators of this job have the same context id, size and name, "
                      "and their members are not recorded where they could be read: their ranks "
                      "are not matched",
                      {}, "give each communicator a name of its own with MPI_Comm_set_name");
    }
    for (auto& members : groups) {
      Shared one;
      one.members = std::move(members);
      const Shared::Member& first = one.members.front();
      one.resource = ledger.resource_at(first.rank->process(), first.communicator->at,
                                        WaitKind::collective, "MPI communicator");
      for (const Shared::Member& member : one.members)
        ledger.share(one.resource, member.rank->process(), member.communicator->at);
      describe(one, ledger);
      shared.push_back(std::move(one));
    }
  }
  return shared;
}

}  // namespace coldcase::mpi
