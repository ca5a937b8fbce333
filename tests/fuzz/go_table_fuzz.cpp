// Fuzzes the reader of Go's unwind tables: any bytes give depths that are no nonsense, or nothing.
#include <cstdlib>

#include "modules/go_table.hpp"

using namespace coldcase;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t text = 0x401000;
  const auto table = GoTable::parse(std::as_bytes(std::span(data, size)), text);
  if (!table) return 0;
  for (std::uint64_t offset = 0; offset < 0x200; offset += 3) {
    const auto function = table->find(table->text() + offset);
    if (function && (function->depth % 8 != 0 || function->depth >> 31 != 0)) std::abort();
  }
  return 0;
}
