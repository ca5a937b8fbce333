// Fuzzes what makes demangled names readable: any text gives text that is hardly longer.
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "base/function_name.hpp"
#include "base/readable_name.hpp"
#include "base/rings.hpp"

using namespace coldcase;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const std::string_view name(reinterpret_cast<const char*>(data), size);
  const std::string readable = readable_name(name);
  // A comma gets a space, what is cut gets three dots.
  if (readable.size() > 6 * size + 8) std::abort();
  (void)is_library_glue(readable);
  (void)is_standard_library(name);
  (void)plain_function(std::string(name));
  (void)spoken_function(std::string(name));
  return 0;
}
