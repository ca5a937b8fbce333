// Addresses of the dead process. An Addr never converts to or from an integer by itself, so a file
// offset, a size and an address cannot be mixed up; arithmetic that can overflow says so.
#pragma once

#include <compare>
#include <cstdint>
#include <optional>

namespace coldcase {

// A virtual address in the dead process, in bytes. 0 is a valid value of the type ("null").
struct Addr {
  std::uint64_t value = 0;
  friend auto operator<=>(Addr, Addr) = default;
};

// Bytes between two addresses.
using Size = std::uint64_t;

inline std::optional<Addr> checked_add(Addr base, Size size) {
  std::uint64_t sum = 0;
  if (__builtin_add_overflow(base.value, size, &sum)) return std::nullopt;
  return Addr{sum};
}

// For addresses derived from addresses, where wrapping round is as wrong as any other bad address
// and the following read will say so.
inline Addr offset_by(Addr base, std::int64_t offset) {
  return Addr{base.value + static_cast<std::uint64_t>(offset)};
}

// Half open: begin <= address < end. Empty when begin == end; never inverted once built.
struct Range {
  Addr begin;
  Addr end;
  Size size() const { return end.value - begin.value; }
  bool contains(Addr at) const { return begin <= at && at < end; }
  friend bool operator==(Range, Range) = default;
};

}  // namespace coldcase
