// A place in a span of debug information that reads on. Past the end everything reads as 0 and
// good() stays false: who reads in a loop asks good() in its condition.
#pragma once

#include <algorithm>

#include "bytes/view.hpp"

namespace coldcase::dwarf {

class Cursor {
 public:
  explicit Cursor(Bytes bytes, std::uint64_t at = 0)
      : bytes_(bytes), at_(at), good_(at <= bytes.size()) {}

  bool good() const { return good_; }
  bool at_end() const { return at_ >= bytes_.size(); }
  std::uint64_t at() const { return at_; }
  Bytes rest() const { return slice(bytes_, at_, bytes_.size()); }

  void seek(std::uint64_t at) {
    at_ = at;
    good_ = good_ && at <= bytes_.size();
  }

  void skip(std::uint64_t count) {
    if (!good_ || bytes_.size() - at_ < count)
      good_ = false;
    else
      at_ += count;
  }

  template <Plain T>
  T take() {
    T value{};
    if (!good_ || bytes_.size() - at_ < sizeof(T)) {
      good_ = false;
      return value;
    }
    std::memcpy(&value, bytes_.data() + at_, sizeof(T));
    at_ += sizeof(T);
    return value;
  }

  // An integer of 1 to 8 bytes.
  std::uint64_t take_sized(unsigned size) {
    std::uint64_t value = 0;
    if (!good_ || size > 8 || bytes_.size() - at_ < size) {
      good_ = false;
      return 0;
    }
    std::memcpy(&value, bytes_.data() + at_, size);
    at_ += size;
    return value;
  }

  // An offset into another section: 8 bytes in the 64-bit format of DWARF, else 4.
  std::uint64_t take_offset(bool wide) { return take_sized(wide ? 8 : 4); }

  std::uint64_t take_unsigned() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; good_ && at_ < bytes_.size(); shift += 7) {
      const auto byte = std::to_integer<std::uint8_t>(bytes_[at_++]);
      if (shift < 64) value |= std::uint64_t{byte & 0x7fU} << shift;
      if ((byte & 0x80) == 0) return value;
    }
    good_ = false;
    return 0;
  }

  std::int64_t take_signed() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; good_ && at_ < bytes_.size();) {
      const auto byte = std::to_integer<std::uint8_t>(bytes_[at_++]);
      if (shift < 64) value |= std::uint64_t{byte & 0x7fU} << shift;
      shift += 7;
      if ((byte & 0x80) != 0) continue;
      if (shift < 64 && (byte & 0x40) != 0) value |= ~std::uint64_t{0} << shift;
      return static_cast<std::int64_t>(value);
    }
    good_ = false;
    return 0;
  }

  // Text up to its NUL, which is passed.
  std::string_view take_text() {
    if (!good_) return {};
    const std::string_view text = text_at(bytes_, at_);
    skip(text.size() + 1);
    return text;
  }

 private:
  Bytes bytes_;
  std::uint64_t at_;
  bool good_;
};

// Steps that may still be taken in one file: what a damaged one makes endless, or does again and
// again, ends.
class Budget {
 public:
  explicit Budget(std::uint64_t steps) : steps_(steps) {}
  bool left() const { return steps_ > 0; }
  // False when there are none left.
  bool spend(std::uint64_t steps) {
    steps_ -= std::min(steps, steps_);
    return steps_ > 0;
  }

 private:
  std::uint64_t steps_;
};

// What opens a unit, a table of lines, ranges or addresses: its length, which also tells the
// format. Nothing when it does not fit the bytes.
struct Length {
  std::uint64_t end = 0;  // of what follows, as an offset
  bool wide = false;      // the 64-bit format
};
inline std::optional<Length> take_length(Cursor& cursor, Bytes bytes) {
  std::uint64_t size = cursor.take<std::uint32_t>();
  const bool wide = size == 0xffffffff;
  if (wide) size = cursor.take<std::uint64_t>();
  if (!cursor.good() || (!wide && size >= 0xfffffff0) || size > bytes.size() - cursor.at())
    return std::nullopt;
  return Length{cursor.at() + size, wide};
}

}  // namespace coldcase::dwarf
