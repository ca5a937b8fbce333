// Fuzzes the reader of Go's unwind tables: any bytes give depths that are no nonsense, or nothing.
#include <cstdlib>

#include "modules/go_table.hpp"

using namespace coldcase;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t text = 0x401000;
  const auto table = GoTable::parse(std::as_bytes(std::span(data, size)), text);
  if (!table) return 0;
  for (std::uint64_t at = table->text(); at < table->text() + 0x200; at += 3) {
    const auto function = table->find(at);
    if (function && (function->depth % 8 != 0 || function->depth >> 31 != 0)) std::abort();
  }
  return 0;
}
