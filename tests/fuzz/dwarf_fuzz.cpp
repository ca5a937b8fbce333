// Fuzzes the reader of DWARF. The input: the sizes of the sections, two bytes each, then they
// themselves, the last ones as far as the bytes go.
#include <array>
#include <cstdlib>

#include "modules/dwarf/reader.hpp"

using namespace coldcase;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes input = std::as_bytes(std::span(data, size));
  constexpr std::size_t count = 10;
  if (size < count * 2) return 0;
  std::array<Bytes, count> parts;
  std::uint64_t from = count * 2;
  for (std::size_t at = 0; at < count; ++at) {
    const std::uint64_t length = *parse_at<std::uint16_t>(input, at * 2);
    parts[at] = slice(input, from, length);
    from += length;
  }
  dwarf::Reader reader({parts[0], parts[1], parts[2], parts[3], parts[4], parts[5], parts[6],
                        parts[7], parts[8], parts[9]});
  const std::array<std::uint64_t, 5> wanted{0x1000, 0x1014, 0x103f, 0x1040, UINT64_MAX};
  for (const dwarf::CodePlace& place : reader.places_of(wanted)) {
    if (place.inlines.size() > 65) std::abort();
  }
  return 0;
}
