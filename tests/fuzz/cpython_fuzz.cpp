// Fuzzes what reads CPython's objects and tables: any memory gives values within bounds, or
// nothing.
#include <cstdlib>

#include "lens/cpython/opcodes.hpp"

using namespace coldcase;
using namespace coldcase::cpython;

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

// The input is the memory at `base`; its first bytes choose the version and the objects' places.
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  constexpr std::uint64_t base = 0x10000;
  if (size < 8) return 0;
  const Bytes bytes = std::as_bytes(std::span(data, size));
  const MemoryImage image{
      {{{Addr{base}, Addr{base + size}}, bytes, Source::core, Absence::not_saved}}};
  const Layout& layout = layouts()[data[0] % layouts().size()];
  const Objects objects(image, layout);
  const Addr object{base + data[1] * 8u};
  (void)objects.read_str(object);
  (void)objects.read_int(object);
  (void)objects.read_tuple(object);
  (void)objects.each_item(object, [](Addr, Addr) { return true; });
  (void)objects.each_attribute(object, [](Addr, Addr) { return true; });
  (void)read_self_description(image, object);
  (void)fits(image, object, layout);
  Code code = read_code(objects, object).value_or(Code{});
  if (code.line_table.empty()) code.line_table.assign(bytes.begin() + 8, bytes.end());
  if (code.exception_table.empty()) code.exception_table.assign(bytes.begin() + 8, bytes.end());
  code.instructions = Addr{base + data[2]};
  code.monitoring = Addr{base + data[3] * 8u};
  for (std::int64_t offset = -2; offset < 600; offset += 2) {
    (void)line_at(layout, code, offset);
    (void)original_opcode(objects, code, offset);
    if (const auto handler = find_handler(code, offset))
      (void)original_opcode(objects, code, handler->target);
  }
  return 0;
}
