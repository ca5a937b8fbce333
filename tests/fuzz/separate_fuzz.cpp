// Fuzzes what tells of a file's other files: any bytes give names that are harmless, or nothing.
#include <cstdlib>
#include <span>

#include "modules/separate.hpp"

using namespace coldcase;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes = std::as_bytes(std::span(data, size));
  constexpr std::size_t most = std::size_t{1} << 20;
  const auto link = parse_debug_link(bytes);
  if (link && link->name.find('/') != std::string::npos) std::abort();
  (void)parse_alt_link(bytes);
  const auto package = parse_package_note(bytes);
  if (package && package->name.find_first_of(" ;$`'\"&|<>") != std::string::npos) std::abort();
  if (unpack_debug_data(bytes, most).size() > most) std::abort();
  return 0;
}
