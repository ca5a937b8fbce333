// Fuzzes what a worker tells of the files that a core lacks: nothing, or what is told so again.
#include <cstdint>
#include <cstdlib>

#include "triage/missing_lines.hpp"

using namespace coldcase;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view text(reinterpret_cast<const char*>(data), size);
  const auto files = triage::parse_missing(text);
  if (files && triage::missing_lines(*files) != text) std::abort();
  return 0;
}
