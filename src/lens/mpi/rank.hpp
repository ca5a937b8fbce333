// One process as a rank of its job, and what the ranks of one job share. Parts of the MPI lens.
#pragma once

#include <map>
#include <tuple>

#include "lens/ledger.hpp"
#include "lens/mpi/call.hpp"
#include "lens/seen.hpp"

namespace coldcase::mpi {

struct RankCall {
  std::size_t core_thread = 0;
  Call call;
};

struct Rank {
  const Seen* seen = nullptr;
  Library library;
  std::optional<MpiFact> place;
  RuntimeId runtime;
  std::vector<RankCall> calls;
  ProcessId process() const { return seen->view.process; }
};

// A communicator over the ranks that were dumped: the same in all of them by job, context id and
// members (by size and name where the members are not read).
struct Shared {
  ResourceId resource;
  struct Member {
    const Rank* rank;
    const Communicator* communicator;
  };
  std::vector<Member> members;
};

// Makes a resource of every communicator that a thread waits on, shared by the ranks that have it,
// with its size, context id and what is on its way between them.
std::vector<Shared> share_communicators(const std::vector<Rank>& ranks, Ledger& ledger);

}  // namespace coldcase::mpi
