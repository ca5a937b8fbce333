// Fuzzes the readers of .eh_frame entries and .gcc_except_table: any bytes give values whose ranges
// are no nonsense, or nothing.
#include <cstdlib>

#include "holders/exception_table.hpp"

using namespace coldcase;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t base = 0x2000;
  const Bytes bytes = std::as_bytes(std::span(data, size));
  for (std::uint64_t at = base; at <= base + std::min<std::size_t>(size, 256); at += 4) {
    const auto entry = parse_frame_entry(bytes, base, at);
    if (entry && entry->begin > entry->end) std::abort();
    const std::uint64_t lsda = entry ? entry->lsda : at;
    for (const CallSite& site : parse_call_sites(bytes, base, lsda, entry ? entry->begin : base)) {
      if (site.begin > site.end) std::abort();
    }
  }
  return 0;
}
