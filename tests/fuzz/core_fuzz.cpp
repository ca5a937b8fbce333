// Fuzzes parse_core: any bytes give a Core that keeps its promises, or Error and nothing else.
#include <coldcase/result.hpp>
#include <cstdio>
#include <cstdlib>

#include "core/core.hpp"
#include "hostile/core_invariants.hpp"

using namespace coldcase;

namespace {

void demand_promises(Bytes file) {
  const std::string_view broken = test::broken_promise(parse_core(file, "core.fuzz"), file);
  if (broken.empty()) return;
  std::fprintf(stderr, "broken promise: %.*s\n", static_cast<int>(broken.size()), broken.data());
  std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes file = std::as_bytes(std::span(data, size));
  (void)kind_of_file(file);
  try {
    demand_promises(file);
  } catch (const Error&) {
    return 0;  // the one way to refuse; anything else ends the fuzzer
  }
  return 0;
}
