// Where the MPI libraries keep what we read: offsets in bytes, x86_64, one row for each build they
// were measured on. A row is used only when MPI_COMM_WORLD reads right through it (its name, and
// the rank and size the launcher gave); a library that fits none is told by its frames alone.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>

namespace coldcase::mpi {

struct OpenMpiLayout {
  std::string_view measured;
  // opal_pointer_array_t ompi_mpi_communicators: how many slots, and where they are
  std::uint32_t table_size, table_slots;
  // ompi_communicator_t
  std::uint32_t comm_name;  // char[64], or a pointer
  bool name_is_pointer;
  std::uint32_t comm_id, comm_rank, comm_group, comm_pml;
  // ompi_group_t, ompi_proc_t: opal_process_name_t {jobid u32, vpid u32}
  std::uint32_t group_size, group_procs, proc_name;
  // ompi_request_t
  std::uint32_t request_complete, request_state, request_object;
  // mca_pml_base_request_t of the ob1 component
  std::uint32_t request_type, request_comm, request_peer, request_tag;
  // mca_pml_ob1_comm_t, mca_pml_ob1_comm_proc_t
  std::uint32_t pml_peers, pml_size, peer_expected, peer_sent;
};

// MPIR_Comm; handles are those of mpi.h (MPI_COMM_WORLD is 0x44000000 in every MPICH).
struct MpichLayout {
  std::string_view measured;
  std::uint32_t handle, references, context, receive_context, rank, size, name;
};

std::span<const OpenMpiLayout> open_mpi_layouts();
std::span<const MpichLayout> mpich_layouts();

}  // namespace coldcase::mpi
