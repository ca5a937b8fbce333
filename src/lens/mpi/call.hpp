// The MPI call a thread is in: its name from the stack, the communicator and the pending message
// from the frames below it.
#pragma once

#include <optional>
#include <string>

#include "lens/mpi/library.hpp"

namespace coldcase::mpi {

enum class CallKind : std::uint8_t {
  collective,  // every rank of a communicator has to enter it
  message,     // waits for one or some other ranks
  other        // returns by itself
};

struct Call {
  std::size_t frame = 0;  // of the walk: the outermost function of MPI
  std::string name;       // "MPI_Bcast"
  CallKind kind = CallKind::other;
  bool waiting = false;                        // in the library's own loop, not in its arithmetic
  const Communicator* communicator = nullptr;  // null: not known
  Basis basis = Basis::inference;              // of the communicator
  std::optional<Request> request;
};

// Nothing when the thread is in none. `rules` is a copy of the process's, for all of its threads:
// walking a stack again may add to them.
std::optional<Call> read_call(const View& view, const Library& library, Rules& rules,
                              std::size_t core_thread);

// What Open MPI's own tag of a collective stands for; empty for the program's tags.
std::string_view meaning_of_tag(std::int64_t tag);

}  // namespace coldcase::mpi
