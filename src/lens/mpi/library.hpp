// The MPI library of one process: which it is, its communicators, and what a thread's pending
// message is, read from its memory as far as a layout fits.
#pragma once

#include <coldcase/facts.hpp>
#include <optional>
#include <string>
#include <vector>

#include "lens/mpi/layout.hpp"
#include "lens/view.hpp"

namespace coldcase::mpi {

enum class Implementation : std::uint8_t { open_mpi, mpich };

struct Communicator {
  Addr at;
  std::uint64_t id = 0;  // context id: the same in all its ranks, and in disjoint communicators too
  std::int64_t rank = 0, size = 0;
  std::string name;                   // as the program or the library set it, cleaned; may be empty
  bool named = false;                 // by the program, or predefined
  std::vector<std::int64_t> members;  // world ranks in the communicator's order; empty: not read
  std::uint32_t handle = 0;           // MPICH
};

// A pending send or receive of Open MPI's ob1 component.
struct Request {
  Addr at;
  Addr communicator;
  bool receives = false;
  std::int64_t peer = -1;  // rank in the communicator; -1: any
  std::int64_t tag = -1;   // below -1: the library's own, of a collective; -1: any
};

// What one rank of a communicator has sent to another and got from it, in messages (ob1).
struct Traffic {
  std::uint32_t sent = 0;
  std::uint16_t received = 0;
};

class Library {
 public:
  // Nothing when the process has none. `place` is what its launcher said.
  static std::optional<Library> find(const View& view, const std::optional<MpiFact>& place);

  Implementation implementation() const { return implementation_; }
  const Module& module() const { return *module_; }
  std::string version() const;
  bool fits() const { return open_mpi_ != nullptr || mpich_ != nullptr; }
  std::string_view source() const;  // for evidence: the layout it was read by

  const std::vector<Communicator>& communicators() const { return communicators_; }
  const Communicator* find_world() const;
  // The communicator whose object this is.
  const Communicator* find_communicator(Addr at) const;
  // The request at this address, when there is one and it is not complete.
  std::optional<Request> read_request(Addr at) const;
  // There are more communicators, or members, than are kept of one library.
  bool cut() const { return cut_; }
  // Nothing when it cannot be read; a peer never spoken to has an empty one.
  std::optional<Traffic> read_traffic(const Communicator& with, std::int64_t peer) const;

 private:
  Library(const View& view, const Module& module, Implementation implementation)
      : view_(&view), module_(&module), implementation_(implementation) {}
  void read_open_mpi(const std::optional<MpiFact>& place);
  void read_mpich(const std::optional<MpiFact>& place);
  // What may still be kept: the sizes are numbers of the core, and many communicators may name one
  // group.
  struct Budget {
    std::int64_t members = 1 << 20;
    std::size_t communicators = 4096;
    bool cut = false;
    bool take(std::int64_t more_members);
  };
  std::vector<Communicator> read_table(const OpenMpiLayout& layout, Addr table,
                                       Budget& budget) const;
  std::optional<Communicator> read_communicator(const OpenMpiLayout& layout, Addr at,
                                                Budget& budget) const;
  std::vector<std::int64_t> read_members(const OpenMpiLayout& layout, Addr group, std::int64_t size,
                                         Budget& budget) const;
  std::vector<Communicator> scan_for_communicators(const MpichLayout& layout, Budget& budget) const;
  std::optional<Communicator> read_communicator(const MpichLayout& layout, Addr at,
                                                Budget& budget) const;

  const View* view_;
  const Module* module_;
  Implementation implementation_;
  const OpenMpiLayout* open_mpi_ = nullptr;  // the rows that fit; null: none
  const MpichLayout* mpich_ = nullptr;
  bool cut_ = false;
  std::vector<Communicator> communicators_;  // by address
};

}  // namespace coldcase::mpi
