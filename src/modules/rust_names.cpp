// Rust's mangled names (RFC 2603 "v0", and the legacy form with its hash), through libiberty.
#define HAVE_DECL_BASENAME 1  // else it declares its own, against string.h
#include <libiberty/demangle.h>

#include <csetjmp>
#include <cstring>

#include "modules/symbols.hpp"

namespace coldcase {
namespace {

// Back references may repeat themselves into any length: the text is cut here.
constexpr std::size_t most_text = 2048;

struct Output {
  std::jmp_buf full;
  std::size_t size = 0;
  char text[most_text];
};

// Called by libiberty, which is C: the way out of it when the text is full is a jump.
extern "C" void take_rust_name(const char* part, std::size_t size, void* opaque) {
  auto* output = static_cast<Output*>(opaque);
  const std::size_t room = most_text - output->size;
  std::memcpy(output->text + output->size, part, size < room ? size : room);
  output->size += size < room ? size : room;
  if (size >= room) std::longjmp(output->full, 1);  // NOLINT: no object is skipped
}

}  // namespace

std::string demangle_rust(std::string_view symbol) {
  if (symbol.size() > most_text) return {};
  const std::string plain(symbol);
  Output output;
  if (setjmp(output.full) != 0) return std::string(output.text, output.size);  // NOLINT
  if (rust_demangle_callback(plain.c_str(), 0, take_rust_name, &output) == 0) return {};
  return std::string(output.text, output.size);
}

}  // namespace coldcase
