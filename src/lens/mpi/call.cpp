#include "lens/mpi/call.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "base/text.hpp"
#include "lens/glibc/waits.hpp"

namespace coldcase::mpi {
namespace {

// By the MPI standard: the blocking ones of chapters 6 to 8, 12 and 14. "_all" and "_ordered" of
// MPI_File_ are told by their endings.
constexpr std::array collectives{"Allgather",
                                 "Allgatherv",
                                 "Allreduce",
                                 "Alltoall",
                                 "Alltoallv",
                                 "Alltoallw",
                                 "Barrier",
                                 "Bcast",
                                 "Cart_create",
                                 "Cart_sub",
                                 "Comm_accept",
                                 "Comm_connect",
                                 "Comm_create",
                                 "Comm_disconnect",
                                 "Comm_dup",
                                 "Comm_dup_with_info",
                                 "Comm_free",
                                 "Comm_spawn",
                                 "Comm_spawn_multiple",
                                 "Comm_split",
                                 "Comm_split_type",
                                 "Dist_graph_create",
                                 "Dist_graph_create_adjacent",
                                 "Exscan",
                                 "File_close",
                                 "File_open",
                                 "File_set_size",
                                 "File_set_view",
                                 "File_sync",
                                 "Finalize",
                                 "Gather",
                                 "Gatherv",
                                 "Graph_create",
                                 "Intercomm_create",
                                 "Intercomm_merge",
                                 "Neighbor_allgather",
                                 "Neighbor_allgatherv",
                                 "Neighbor_alltoall",
                                 "Neighbor_alltoallv",
                                 "Neighbor_alltoallw",
                                 "Reduce",
                                 "Reduce_scatter",
                                 "Reduce_scatter_block",
                                 "Scan",
                                 "Scatter",
                                 "Scatterv",
                                 "Win_allocate",
                                 "Win_allocate_shared",
                                 "Win_create",
                                 "Win_create_dynamic",
                                 "Win_fence",
                                 "Win_free"};
constexpr std::array messages{
    "Mprobe",           "Mrecv", "Probe", "Recv",    "Rsend",   "Send",    "Sendrecv",
    "Sendrecv_replace", "Ssend", "Wait",  "Waitall", "Waitany", "Waitsome"};

// Tags of ompi/mca/coll/base/coll_tags.h; 4.1 and 5.0 agree on these.
constexpr int first_tag = -10;
constexpr std::array tags{"allgather",      "allgatherv",
                          "allreduce",      "alltoall",
                          "alltoallv",      "alltoallw",
                          "barrier",        "broadcast",
                          "exscan",         "gather",
                          "gatherv",        "reduce",
                          "reduce_scatter", "reduce_scatter_block",
                          "scan",           "scatter",
                          "scatterv"};

// Open MPI's public functions that end in a jump leave no frame: what they jump to stands for them
// (4.1.4, -O2). Only where no public name is on the stack.
struct TailCall {
  std::string_view symbol, name;
};
constexpr std::array tail_calls{TailCall{"ompi_mpi_finalize", "Finalize"},
                                TailCall{"ompi_request_default_wait_all", "Waitall"},
                                TailCall{"ompi_request_default_wait_any", "Waitany"},
                                TailCall{"ompi_request_default_wait_some", "Waitsome"},
                                TailCall{"ompi_request_default_wait", "Wait"},
                                TailCall{"mca_pml_ob1_recv", "Recv"},
                                TailCall{"mca_pml_ob1_send", "Send"},
                                TailCall{"mca_pml_ob1_probe", "Probe"}};

constexpr Size largest_stack = 64 * 1024;  // of the library's frames, looked through for pointers

CallKind kind_of(std::string_view name) {
  const auto is = [name](std::string_view other) { return name == other; };
  if (std::ranges::any_of(collectives, is)) return CallKind::collective;
  if (name.starts_with("File_") && (name.ends_with("_all") || name.ends_with("_ordered")))
    return CallKind::collective;
  return std::ranges::any_of(messages, is) ? CallKind::message : CallKind::other;
}

// "PMPI_Bcast" and its alias "MPI_Bcast" -> "Bcast"; empty for everything else.
std::string_view name_of_call(std::string_view symbol) {
  if (symbol.starts_with('P')) symbol.remove_prefix(1);
  if (!symbol.starts_with("MPI_") || symbol.size() < 6) return {};
  symbol.remove_prefix(4);
  const auto letter = [](char c) {
    return (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || c == '_';
  };
  return symbol.front() >= 'A' && symbol.front() <= 'Z' && std::ranges::all_of(symbol, letter)
             ? symbol
             : std::string_view{};
}

// The library and what carries its messages.
bool is_transport(const Module* module) {
  return module != nullptr &&
         starts_with_any(module->name(),
                         {"libmpi", "libopen-pal", "libopen-rte", "libpmix", "libpmi", "mca_",
                          "libucp", "libuct", "libucs", "libucm", "libfabric", "libpsm"});
}

// Between the call and the innermost frame: in the library's loop that lets messages in, or asleep
// there. Its arithmetic (ompi_op_*) and copies (memcpy in the C library) are work.
bool is_waiting(const View& view, const Walk& walk, std::size_t core_thread) {
  const CodeName& name = view.threads.name_of(walk.frames.front());
  const Module* module = view.threads.rules.row(walk.frames.front().row).module;
  if (is_transport(module)) return !name.symbol.starts_with("ompi_op_");
  const SystemCall call = parse_system_call(view.core.threads[core_thread].registers);
  if (call.state != CallState::user_code) return true;
  return starts_with_any(
      without_underscores(name.symbol),
      {"sched_yield", "poll", "epoll_", "usleep", "nanosleep", "clock_", "vdso_clock", "select"});
}

// What the frames hold that could be a pointer: registers as each frame has them and the words of
// the stack between, from the innermost out.
struct Pointers {
  std::vector<Addr> all;
  std::vector<Addr> at_call;  // registers of the call's own frame
};

Pointers pointers_below(const View& view, Rules& rules, std::size_t core_thread,
                        std::size_t frame) {
  static constexpr std::array<std::size_t, 6> kept{dw_rbx, dw_rbp, dw_r12, dw_r13, dw_r14, dw_r15};
  Pointers pointers;
  const Registers& registers = view.core.threads[core_thread].registers;
  for (const auto index : {Registers::rdi, Registers::rsi, Registers::rdx, Registers::rax})
    pointers.all.push_back(registers.at(index));
  std::size_t depth = 0;
  Unwinder(view.image, rules)
      .walk(
          registers,
          [&](const WalkFrame&, const Context& context) {
            for (const std::size_t number : kept) {
              const auto value = context.get(number);
              if (!value) continue;
              pointers.all.push_back(Addr{*value});
              if (depth == frame) pointers.at_call.push_back(Addr{*value});
            }
            return depth++ < frame;
          },
          frame + 1);
  const std::uint64_t begin = registers[Registers::rsp] & ~std::uint64_t{7};
  const std::uint64_t end = view.threads.walks[core_thread].frames[frame].cfa;
  if (end <= begin) return pointers;
  for (Size at = 0; at < std::min<Size>(end - begin, largest_stack); at += 8) {
    const auto word = view.image.read_pointer(Addr{begin + at});
    if (!word) break;
    pointers.all.push_back(*word);
  }
  return pointers;
}

// A program's tag belongs to a message, a tag of the library's own to a collective.
bool suits(const Request& request, CallKind kind) {
  return kind == CallKind::collective ? request.tag < -1 : request.tag >= -1;
}

// The library works on communicators of its own below the call (MPICH: one for each node), so the
// call's own registers are asked first, then the most frequent one is taken.
void find_communicator(const Library& library, const Pointers& pointers, Call& call) {
  std::vector<const Communicator*> held;
  for (const Addr at : pointers.at_call) {
    const Communicator* found = library.find_communicator(at);
    if (found != nullptr && std::ranges::find(held, found) == held.end()) held.push_back(found);
  }
  if (held.size() == 1) {
    call.communicator = held.front();
    call.basis = Basis::call_site;
    return;
  }
  std::map<const Communicator*, std::size_t> seen;
  for (const Addr at : pointers.all) {
    if (const Communicator* found = library.find_communicator(at)) ++seen[found];
  }
  std::size_t most = 0;
  for (const auto& [communicator, count] : seen) {
    if (count == most) call.communicator = nullptr;
    if (count <= most) continue;
    most = count;
    call.communicator = communicator;
  }
  call.basis = Basis::stack_scan;
}

}  // namespace

std::string_view meaning_of_tag(std::int64_t tag) {
  const std::int64_t index = first_tag - tag;
  if (index < 0 || index >= static_cast<std::int64_t>(tags.size())) return {};
  return tags[static_cast<std::size_t>(index)];
}

namespace {

// The outermost frame with a name that `name_of` knows.
template <class NameOf>
std::optional<Call> outermost_call(const View& view, const Walk& walk, NameOf name_of) {
  std::optional<Call> call;
  for (std::size_t f = 0; f < walk.frames.size(); ++f) {
    const std::string_view name = name_of(view.threads.name_of(walk.frames[f]).symbol);
    if (name.empty()) continue;
    call = Call{};
    call->frame = f;
    call->name = clean_text("MPI_" + std::string(name), 64);
    call->kind = kind_of(name);
  }
  return call;
}

std::string_view name_of_tail_call(std::string_view symbol) {
  const auto at = std::ranges::find(tail_calls, symbol, &TailCall::symbol);
  return at == tail_calls.end() ? std::string_view{} : at->name;
}

}  // namespace

std::optional<Call> read_call(const View& view, const Library& library, Rules& rules,
                              std::size_t core_thread) {
  const Walk& walk = view.threads.walks[core_thread];
  std::optional<Call> call = outermost_call(view, walk, name_of_call);
  if (!call) call = outermost_call(view, walk, name_of_tail_call);
  if (!call || call->kind == CallKind::other) return call;
  const Pointers pointers = pointers_below(view, rules, core_thread, call->frame);
  for (const Addr at : pointers.all) {
    const auto request = library.read_request(at);
    if (!request || !suits(*request, call->kind)) continue;
    call->request = request;
    call->communicator = library.find_communicator(request->communicator);
    call->basis = Basis::memory;
    break;
  }
  call->waiting = call->request.has_value() || is_waiting(view, walk, core_thread);
  if (call->name == "MPI_Finalize" && call->communicator == nullptr) {
    call->communicator = library.find_world();
    call->basis = Basis::call_site;
  } else if (call->communicator == nullptr) {
    find_communicator(library, pointers, *call);
  }
  return call;
}

}  // namespace coldcase::mpi
