// Reading integers and text out of a span of bytes: every offset is checked, nothing is cast.
#pragma once

#include <bit>
#include <concepts>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <optional>
#include <span>
#include <string_view>
#include <type_traits>

namespace coldcase {

using Bytes = std::span<const std::byte>;

template <class T>
concept Plain = std::is_trivially_copyable_v<T> && !std::is_pointer_v<T>;

// The value at `offset`, or nothing when it does not lie whole inside the bytes.
template <Plain T>
std::optional<T> parse_at(Bytes bytes, std::uint64_t offset) {
  if (offset > bytes.size() || bytes.size() - offset < sizeof(T)) return std::nullopt;
  T value;
  std::memcpy(&value, bytes.data() + offset, sizeof(T));
  return value;
}

// The part that exists of [offset, offset + size).
inline Bytes slice(Bytes bytes, std::uint64_t offset, std::uint64_t size) {
  if (offset >= bytes.size()) return {};
  return bytes.subspan(offset, std::min<std::uint64_t>(size, bytes.size() - offset));
}

// Text up to the first NUL, or to the end of the bytes.
inline std::string_view text_at(Bytes bytes, std::uint64_t offset) {
  const Bytes rest = slice(bytes, offset, bytes.size());
  if (rest.empty()) return {};
  const auto* start = reinterpret_cast<const char*>(rest.data());
  return {start, ::strnlen(start, rest.size())};
}

}  // namespace coldcase
