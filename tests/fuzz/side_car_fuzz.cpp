// Fuzzes parse_side_car: any bytes give a value that can be written and read again, or a reason.
#include <cstdio>
#include <cstdlib>

#include "support/side_car_sample.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coldcase;
  const auto read = parse_side_car({reinterpret_cast<const char*>(data), size});
  if (!read) {
    if (read.error().empty()) std::abort();
    return 0;
  }
  const std::string text = test::text_of_side_car(*read);
  const auto again = parse_side_car(text);
  if (again && test::text_of_side_car(*again) == text) return 0;
  std::fprintf(stderr, "does not stay the same: %s\n", again ? "" : again.error().c_str());
  std::abort();
}
