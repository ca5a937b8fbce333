#include "modules/plt.hpp"

#include <algorithm>

namespace coldcase {

std::optional<Addr> find_plt_slot(const MemoryImage& image, Addr stub) {
  const Bytes bytes = image.view(stub, 16);
  const auto is = [&](std::uint64_t offset, std::initializer_list<unsigned> pattern) {
    return std::ranges::equal(
        slice(bytes, offset, pattern.size()), pattern,
        [](std::byte one, unsigned other) { return std::to_integer<unsigned>(one) == other; });
  };
  std::uint64_t offset = is(0, {0xf3, 0x0f, 0x1e, 0xfa}) ? 4 : 0;
  if (is(offset, {0xf2})) ++offset;
  if (!is(offset, {0xff, 0x25})) return std::nullopt;
  const auto displacement = parse_at<std::int32_t>(bytes, offset + 2);
  if (!displacement) return std::nullopt;
  return Addr{stub.value + offset + 6 + static_cast<std::uint64_t>(std::int64_t{*displacement})};
}

}  // namespace coldcase
