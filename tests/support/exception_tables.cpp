#include "support/exception_tables.hpp"

namespace coldcase::test {
namespace {

void append_bytes(Blob& blob, std::initializer_list<unsigned> bytes) {
  for (const unsigned byte : bytes) append(blob, static_cast<std::uint8_t>(byte));
}

}  // namespace

Tables sample_tables() {
  Tables tables;
  Blob& bytes = tables.bytes;
  const auto here = [&] { return tables.base + bytes.size(); };
  const auto relative = [&](std::uint64_t target) {
    append(bytes, static_cast<std::int32_t>(target - here()));
  };
  // The parent: "zPLR", personality, LSDA and code all pcrel|sdata4.
  append(bytes, std::uint32_t{24});
  append(bytes, std::uint32_t{0});
  append(bytes, std::uint8_t{1});
  append_bytes(bytes, {'z', 'P', 'L', 'R', 0});
  append_bytes(bytes, {1u, 0x78u, 16u, 7u, 0x1bu});
  relative(0x1234);
  append_bytes(bytes, {0x1bu, 0x1bu});
  bytes.resize(28);
  tables.entry = here();
  const std::uint64_t lsda = here() + 24;
  append(bytes, std::uint32_t{20});
  append(bytes, static_cast<std::uint32_t>(bytes.size()));  // back to the parent at 0
  relative(0x1000);
  append(bytes, std::uint32_t{0x80});
  append(bytes, std::uint8_t{4});
  relative(lsda);
  bytes.resize(tables.entry - tables.base + 24);
  tables.lsda = here();
  // No own start; types announced and absent; call sites as uleb128: start, length, pad, action.
  append_bytes(bytes, {0xffu, 0x9bu, 0x20u, 0x01u, 13u, 0x10u, 5u, 0u, 0u, 0x20u, 5u, 0x60u, 0u,
                       0x30u, 5u, 0xacu, 0x02u, 1u});
  bytes.resize(bytes.size() + 16);
  return tables;
}

}  // namespace coldcase::test
