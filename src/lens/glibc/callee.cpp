// What a frame called: the name of the function a return address came back from, for calls whose
// own frame has no name (a stripped C library's local functions) or is gone (a tail call).
#include "base/text.hpp"
#include "lens/glibc/parts.hpp"
#include "modules/plt.hpp"
#include "modules/symbols.hpp"

namespace coldcase::glibc {
namespace {

std::optional<Addr> read_slot(const MemoryImage& image, Addr instruction_end, Addr displacement) {
  const auto offset = image.read<std::int32_t>(displacement);
  if (!offset) return std::nullopt;
  const auto target = image.read_pointer(offset_by(instruction_end, std::int64_t{*offset}));
  return target ? std::optional(*target) : std::nullopt;
}

// Through the slot the loader filled, when the call lands on a stub.
Addr through_plt(const MemoryImage& image, Addr at) {
  const auto slot = find_plt_slot(image, at);
  return slot ? image.read_pointer(*slot).value_or(at) : at;
}

// call rel32, or call *disp32(%rip), right in front of the return address.
std::optional<Addr> called_from(const MemoryImage& image, Addr after) {
  const auto direct = image.read<std::uint8_t>(Addr{after.value - 5});
  if (direct && *direct == 0xe8) {
    const auto offset = image.read<std::int32_t>(Addr{after.value - 4});
    if (offset) return through_plt(image, offset_by(after, std::int64_t{*offset}));
  }
  const auto indirect = image.read<std::array<std::uint8_t, 2>>(Addr{after.value - 6});
  if (indirect && (*indirect)[0] == 0xff && (*indirect)[1] == 0x15)
    return read_slot(image, after, Addr{after.value - 4});
  return std::nullopt;
}

}  // namespace

std::string callee_of(const View& view, std::size_t core_thread, std::size_t frame) {
  const Walk& walk = view.threads.walks[core_thread];
  if (frame == 0 || frame >= walk.frames.size()) return {};
  const auto target = called_from(view.image, view.threads.pc_of(walk.frames[frame]));
  if (!target || view.modules.find(*target) == nullptr) return {};
  const std::array<Addr, 1> address{*target};
  const CodeName name = name_code(view.modules, address).front();
  return name.start == *target ? name.symbol : std::string();
}

}  // namespace coldcase::glibc
