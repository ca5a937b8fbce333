#include "lens/mpi/library.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "core/elf_format.hpp"

namespace coldcase::mpi {
namespace {

constexpr std::int64_t largest_communicator = 1 << 20;
constexpr std::uint32_t most_slots = 1 << 16;
constexpr std::string_view world_name = "MPI_COMM_WORLD";

// MPI_COMM_WORLD as the launcher and the name have it.
bool is_world(const Communicator& communicator, const std::optional<MpiFact>& place) {
  if (communicator.name != world_name) return false;
  if (!place) return true;
  return communicator.rank == place->rank && (!place->size || communicator.size == *place->size);
}

// Printable to the first NUL: what is no name is no communicator either.
std::optional<std::string> read_name(const MemoryImage& image, Addr at) {
  const auto text = image.read_text(at, 128);
  if (!text) return std::nullopt;
  const bool fine = std::ranges::all_of(
      *text, [](char c) { return static_cast<unsigned char>(c) >= 0x20 && c != 0x7f; });
  return fine ? std::optional(clean_text(*text, 128)) : std::nullopt;
}

// Open MPI names what the program did not: "MPI COMMUNICATOR 3 SPLIT FROM 0".
bool is_own_name(std::string_view name) {
  return !name.empty() && !name.starts_with("MPI COMMUNICATOR ");
}

template <class T>
std::optional<T> value_at(const MemoryImage& image, Addr base, std::uint32_t offset) {
  const auto read = image.read<T>(offset_by(base, offset));
  return read ? std::optional<T>(*read) : std::nullopt;
}

bool exports(const Module& module, std::string_view name) {
  return module.find_symbol(name).has_value();
}

std::optional<Implementation> implementation_of(const Module& module) {
  if (!module.name().starts_with("libmpi")) return std::nullopt;
  if (exports(module, "ompi_mpi_communicators")) return Implementation::open_mpi;
  if (exports(module, "MPII_Version_string") || exports(module, "MPIR_Err_create_code"))
    return Implementation::mpich;
  return std::nullopt;
}

}  // namespace

std::optional<Library> Library::find(const View& view, const std::optional<MpiFact>& place) {
  for (const Module& module : view.modules.in_lookup_order()) {
    const auto implementation = implementation_of(module);
    if (!implementation) continue;
    Library library(view, module, *implementation);
    if (implementation == Implementation::open_mpi)
      library.read_open_mpi(place);
    else
      library.read_mpich(place);
    std::ranges::sort(library.communicators_, {}, &Communicator::at);
    return library;
  }
  return std::nullopt;
}

std::string Library::version() const {
  const auto at = module_->find_symbol(
      implementation_ == Implementation::open_mpi ? "ompi_version_string" : "MPII_Version_string");
  const auto text = at ? view_->image.read_text(*at, 32) : Read<std::string>{};
  return text ? clean_text(*text, 32) : std::string{};
}

std::string_view Library::source() const {
  if (open_mpi_ != nullptr) return open_mpi_->measured;
  return mpich_ != nullptr ? mpich_->measured : std::string_view{};
}

const Communicator* Library::find_world() const {
  const auto at = std::ranges::find(communicators_, world_name, &Communicator::name);
  return at == communicators_.end() ? nullptr : &*at;
}

const Communicator* Library::find_communicator(Addr at) const {
  const auto found = std::ranges::lower_bound(communicators_, at, {}, &Communicator::at);
  return found != communicators_.end() && found->at == at ? &*found : nullptr;
}

bool Library::Budget::take(std::int64_t more_members) {
  cut = cut || more_members > members;
  if (more_members > members) return false;
  members -= more_members;
  return true;
}

// Open MPI

// A pointer to ompi_proc_t, or (its lowest bit set) a name packed into the pointer's bits, vpid in
// the upper half (ompi/proc/proc.h, since 2.0), for a process never spoken to.
std::vector<std::int64_t> Library::read_members(const OpenMpiLayout& layout, Addr group,
                                                std::int64_t size, Budget& budget) const {
  const MemoryImage& image = view_->image;
  const auto procs = value_at<std::uint64_t>(image, group, layout.group_procs);
  if (!procs || !budget.take(size)) return {};
  std::vector<std::int64_t> members;
  for (std::int64_t i = 0; i < size; ++i) {
    const auto proc = image.read<std::uint64_t>(offset_by(Addr{*procs}, i * 8));
    if (!proc || *proc == 0) return {};
    std::uint64_t rank = *proc >> 32;
    if ((*proc & 1) == 0) {
      const auto vpid = value_at<std::uint32_t>(image, Addr{*proc}, layout.proc_name + 4);
      if (!vpid) return {};
      rank = *vpid;
    }
    members.push_back(static_cast<std::int64_t>(rank));
  }
  return members;
}

std::optional<Communicator> Library::read_communicator(const OpenMpiLayout& layout, Addr at,
                                                       Budget& budget) const {
  const MemoryImage& image = view_->image;
  const auto id = value_at<std::uint32_t>(image, at, layout.comm_id);
  const auto rank = value_at<std::int32_t>(image, at, layout.comm_rank);
  const auto group = value_at<std::uint64_t>(image, at, layout.comm_group);
  if (!id || !rank || !group || *rank < 0) return std::nullopt;
  const auto size = value_at<std::int32_t>(image, Addr{*group}, layout.group_size);
  if (!size || *size <= *rank || *size > largest_communicator) return std::nullopt;
  Addr name_at = offset_by(at, layout.comm_name);
  if (layout.name_is_pointer) name_at = image.read_pointer(name_at).value_or(Addr{});
  const auto name = read_name(image, name_at);
  if (!name) return std::nullopt;
  Communicator communicator;
  communicator.at = at;
  communicator.id = *id;
  communicator.rank = *rank;
  communicator.size = *size;
  communicator.name = *name;
  communicator.named = is_own_name(*name);
  communicator.members = read_members(layout, Addr{*group}, *size, budget);
  return communicator;
}

std::vector<Communicator> Library::read_table(const OpenMpiLayout& layout, Addr table,
                                              Budget& budget) const {
  const MemoryImage& image = view_->image;
  const auto size = value_at<std::uint32_t>(image, table, layout.table_size);
  const auto slots = value_at<std::uint64_t>(image, table, layout.table_slots);
  std::vector<Communicator> found;
  if (!size || !slots || *size > most_slots) return found;
  for (std::uint32_t i = 0; i < *size; ++i) {
    const auto slot = image.read_pointer(offset_by(Addr{*slots}, std::int64_t{i} * 8));
    if (!slot) break;
    if (slot->value == 0) continue;
    if (found.size() == budget.communicators) {
      budget.cut = true;
      break;
    }
    // Its place in the table is its id; one that is still being made has another (or none).
    auto communicator = read_communicator(layout, *slot, budget);
    if (communicator && communicator->id == i) found.push_back(std::move(*communicator));
  }
  return found;
}

void Library::read_open_mpi(const std::optional<MpiFact>& place) {
  const auto table = module_->find_symbol("ompi_mpi_communicators");
  if (!table) return;
  for (const OpenMpiLayout& layout : open_mpi_layouts()) {
    Budget budget;
    std::vector<Communicator> found = read_table(layout, *table, budget);
    // The first slot is MPI_COMM_WORLD's in every version (ompi/communicator/comm_init.c).
    if (found.empty() || !is_world(found.front(), place)) continue;
    open_mpi_ = &layout;
    cut_ = budget.cut;
    communicators_ = std::move(found);
    return;
  }
}

std::optional<Request> Library::read_request(Addr at) const {
  if (open_mpi_ == nullptr || at.value < 4096 || at.value % 8 != 0) return std::nullopt;
  const MemoryImage& image = view_->image;
  const OpenMpiLayout& layout = *open_mpi_;
  const auto object = value_at<std::uint64_t>(image, at, layout.request_object);
  const auto of = value_at<std::uint64_t>(image, at, layout.request_comm);
  if (!object || !of || *object != *of) return std::nullopt;
  const Communicator* communicator = find_communicator(Addr{*of});
  if (communicator == nullptr) return std::nullopt;
  const auto complete = value_at<std::uint64_t>(image, at, layout.request_complete);
  const auto state = value_at<std::uint32_t>(image, at, layout.request_state);
  const auto type = value_at<std::uint32_t>(image, at, layout.request_type);
  const auto peer = value_at<std::int32_t>(image, at, layout.request_peer);
  const auto tag = value_at<std::int32_t>(image, at, layout.request_tag);
  // REQUEST_COMPLETED is 1 in req_complete, OMPI_REQUEST_ACTIVE 2 (ompi/request/request.h);
  // MCA_PML_REQUEST_SEND 1 and _RECV 2 (pml_base_request.h).
  if (!complete || !state || !type || !peer || !tag || *complete == 1 || *state != 2 ||
      (*type != 1 && *type != 2) || *peer < -1 || *peer >= communicator->size)
    return std::nullopt;
  return Request{at, Addr{*of}, *type == 2, *peer, *tag};
}

std::optional<Traffic> Library::read_traffic(const Communicator& with, std::int64_t peer) const {
  if (open_mpi_ == nullptr || peer < 0 || peer >= with.size) return std::nullopt;
  const MemoryImage& image = view_->image;
  const OpenMpiLayout& layout = *open_mpi_;
  const auto pml = value_at<std::uint64_t>(image, with.at, layout.comm_pml);
  const auto size = pml ? value_at<std::uint64_t>(image, Addr{*pml}, layout.pml_size) : pml;
  const auto peers = pml ? value_at<std::uint64_t>(image, Addr{*pml}, layout.pml_peers) : pml;
  if (!size || !peers || *size != static_cast<std::uint64_t>(with.size)) return std::nullopt;
  const auto entry = image.read_pointer(offset_by(Addr{*peers}, peer * 8));
  if (!entry) return std::nullopt;
  if (entry->value == 0) return Traffic{};
  const auto expected = value_at<std::uint16_t>(image, *entry, layout.peer_expected);
  const auto sent = value_at<std::int32_t>(image, *entry, layout.peer_sent);
  if (!expected || !sent) return std::nullopt;
  // The next to come: the first message has number 1.
  return Traffic{static_cast<std::uint32_t>(*sent), static_cast<std::uint16_t>(*expected - 1)};
}

// MPICH

std::optional<Communicator> Library::read_communicator(const MpichLayout& layout, Addr at,
                                                       Budget& budget) const {
  constexpr std::uint32_t builtin = 0x44,
                          direct = 0x84;  // handle kind and object kind, mpir_objects.h
  const MemoryImage& image = view_->image;
  const auto handle = value_at<std::uint32_t>(image, at, layout.handle);
  if (!handle || (*handle >> 24 != builtin && *handle >> 24 != direct)) return std::nullopt;
  const auto references = value_at<std::uint32_t>(image, at, layout.references);
  const auto context = value_at<std::uint16_t>(image, at, layout.context);
  const auto receiving = value_at<std::uint16_t>(image, at, layout.receive_context);
  const auto rank = value_at<std::int32_t>(image, at, layout.rank);
  const auto size = value_at<std::int32_t>(image, at, layout.size);
  if (!references || !context || !receiving || !rank || !size || *references == 0 ||
      *references > 0xffff || *context != *receiving || *rank < 0 || *size <= *rank ||
      *size > largest_communicator)
    return std::nullopt;
  const auto name = read_name(image, offset_by(at, layout.name));
  if (!name) return std::nullopt;
  Communicator communicator;
  communicator.at = at;
  communicator.id = *context;
  communicator.rank = *rank;
  communicator.size = *size;
  communicator.name = *name;
  communicator.named = !name->empty();
  communicator.handle = *handle;
  if (communicator.name == world_name && budget.take(*size)) {
    for (std::int64_t i = 0; i < communicator.size; ++i) communicator.members.push_back(i);
  }
  return communicator;
}

// The objects of MPIR_Comm lie in the library's own data, predefined and first ones alike
// (MPIR_Comm_builtin, MPIR_Comm_direct); neither array has a symbol in a stripped library.
std::vector<Communicator> Library::scan_for_communicators(const MpichLayout& layout,
                                                          Budget& budget) const {
  Size left = Size{64} << 20;  // bytes, of all segments together
  std::vector<Communicator> found;
  for (const elf::ProgramHeader& header : module_->headers) {
    if (header.type != elf::pt_load || (header.flags & elf::flag_w) == 0 || header.memsz > left)
      continue;
    left -= header.memsz;
    for (std::uint64_t offset = 0; offset + 8 <= header.memsz; offset += 8) {
      auto communicator =
          read_communicator(layout, module_->to_process(header.vaddr + offset), budget);
      if (!communicator) continue;
      if (found.size() == budget.communicators) {
        budget.cut = true;
        return found;
      }
      found.push_back(std::move(*communicator));
    }
  }
  return found;
}

void Library::read_mpich(const std::optional<MpiFact>& place) {
  constexpr std::uint32_t world_handle = 0x44000000;
  for (const MpichLayout& layout : mpich_layouts()) {
    Budget budget;
    std::vector<Communicator> found = scan_for_communicators(layout, budget);
    const bool fits = std::ranges::any_of(found, [&](const Communicator& communicator) {
      return communicator.handle == world_handle && is_world(communicator, place);
    });
    if (!fits) continue;
    mpich_ = &layout;
    cut_ = budget.cut;
    communicators_ = std::move(found);
    return;
  }
}

}  // namespace coldcase::mpi
