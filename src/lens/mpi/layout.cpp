// size: table
#include "lens/mpi/layout.hpp"

#include <array>

namespace coldcase::mpi {
namespace {

constexpr std::array open_mpi{
    OpenMpiLayout{.measured = "Open MPI 4.1.4 (Debian 12)",
                  .table_size = 88,
                  .table_slots = 112,
                  .comm_name = 160,
                  .name_is_pointer = false,
                  .comm_id = 224,
                  .comm_rank = 228,
                  .comm_group = 248,
                  .comm_pml = 328,
                  .group_size = 16,
                  .group_procs = 32,
                  .proc_name = 40,
                  .request_complete = 88,
                  .request_state = 96,
                  .request_object = 152,
                  .request_type = 168,
                  .request_comm = 176,
                  .request_peer = 472,
                  .request_tag = 476,
                  .pml_peers = 216,
                  .pml_size = 224,
                  .peer_expected = 24,
                  .peer_sent = 28},
    // From 5.0 on the context id is 16 bytes and agreed on otherwise; c_index, the place in the
    // table, is what the ranks have in common.
    OpenMpiLayout{.measured = "Open MPI 5.0.11 (PyPI)",
                  .table_size = 88,
                  .table_slots = 112,
                  .comm_name = 160,
                  .name_is_pointer = true,
                  .comm_id = 216,
                  .comm_rank = 220,
                  .comm_group = 264,
                  .comm_pml = 328,
                  .group_size = 16,
                  .group_procs = 32,
                  .proc_name = 40,
                  .request_complete = 88,
                  .request_state = 96,
                  .request_object = 152,
                  .request_type = 168,
                  .request_comm = 176,
                  .request_peer = 488,
                  .request_tag = 492,
                  .pml_peers = 216,
                  .pml_size = 224,
                  .peer_expected = 24,
                  .peer_sent = 28},
};

constexpr std::array mpich{
    MpichLayout{.measured = "MPICH 4.0.2 (Debian 12)",
                .handle = 0,
                .references = 4,
                .context = 64,
                .receive_context = 66,
                .rank = 72,
                .size = 88,
                .name = 116},
    MpichLayout{.measured = "MPICH 5.0.2 (PyPI)",
                .handle = 0,
                .references = 4,
                .context = 12,
                .receive_context = 16,
                .rank = 20,
                .size = 24,
                .name = 200},
};

}  // namespace

std::span<const OpenMpiLayout> open_mpi_layouts() {
  return open_mpi;
}

std::span<const MpichLayout> mpich_layouts() {
  return mpich;
}

}  // namespace coldcase::mpi
