// Python objects written out by hand, for readers of them: dicts, strings, numbers, tuples, in the
// shapes of the versions that differ.
#pragma once

#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lens/cpython/objects.hpp"
#include "support/core_builder.hpp"

namespace coldcase::test {

// Dead memory in one range, words put where they belong. Addresses are handed out in steps.
class PythonHeap {
 public:
  explicit PythonHeap(int minor) : layout_(*cpython::find_layout(minor)), bytes_(0x8000) {
    image_ = MemoryImage{
        {{{Addr{base}, Addr{base + bytes_.size()}}, bytes_, Source::core, Absence::not_saved}}};
  }
  static constexpr std::uint64_t base = 0x7f0000000000;

  const cpython::Layout& layout() const { return layout_; }
  bool old() const { return layout_.minor <= 10; }
  cpython::Objects objects() const { return {image_, layout_}; }  // after the last put

  template <class T>
  void put(std::uint64_t at, std::int64_t offset, T value) {
    patch(bytes_, at + static_cast<std::uint64_t>(offset) - base, value);
  }
  void put_bytes(std::uint64_t at, std::int64_t offset, std::string_view text) {
    for (std::size_t i = 0; i < text.size(); ++i)
      put(at, offset + static_cast<std::int64_t>(i), text[i]);
  }
  std::uint64_t room(std::uint64_t size) {
    const std::uint64_t at = next_ + 0x40;  // space in front for what lies before an object
    next_ = at + ((size + 15) & ~std::uint64_t{15});
    return at;
  }
  std::uint64_t raw(std::string_view text) {
    const std::uint64_t at = room(text.size() + 1);
    put_bytes(at, 0, text);
    return at;
  }

  // PyTypeObject: tp_name 24, tp_basicsize 32, tp_flags 168, tp_dictoffset 288.
  std::uint64_t type(std::string_view name, std::uint64_t flags, std::int64_t basic_size = 16,
                     std::int64_t dict_offset = 0) {
    const std::uint64_t at = room(1024);
    put(at, 24, raw(name));
    put(at, 32, basic_size);
    put(at, 168, flags);
    put(at, 288, dict_offset);
    return at;
  }
  std::uint64_t builtin(std::string_view name, std::uint64_t flags) {
    const auto [entry, fresh] = types_.try_emplace(std::string(name));
    if (fresh) entry->second = type(name, flags);
    return entry->second;
  }
  std::uint64_t object(std::uint64_t type, std::uint64_t size) {
    const std::uint64_t at = room(size);
    put(at, 0, std::uint64_t{1});
    put(at, 8, type);
    return at;
  }

  // length 16; state 32: interned 2 bits, kind 3, compact 1, ascii 1. The data follows the struct:
  // PyASCIIObject has 48 bytes to 3.11 and 40 after; PyCompactUnicodeObject 72 and 56.
  std::uint64_t str(const std::vector<std::uint32_t>& points, int kind, bool ascii = false) {
    const std::uint64_t at = object(builtin("str", cpython::flag_unicode), 128 + points.size() * 4);
    put(at, 16, std::uint64_t{points.size()});
    put(at, 32, static_cast<std::uint8_t>(1 | kind << 2 | 1 << 5 | (ascii ? 1 << 6 : 0)));
    const std::int64_t small = layout_.minor <= 11 ? 48 : 40, large = layout_.minor <= 11 ? 72 : 56;
    for (std::size_t i = 0; i < points.size(); ++i) {
      const auto to = (ascii ? small : large) + static_cast<std::int64_t>(i) * kind;
      if (kind == 1) put(at, to, static_cast<std::uint8_t>(points[i]));
      if (kind == 2) put(at, to, static_cast<std::uint16_t>(points[i]));
      if (kind == 4) put(at, to, points[i]);
    }
    return at;
  }
  std::uint64_t ascii(std::string_view text) {
    return str(std::vector<std::uint32_t>(text.begin(), text.end()), 1, true);
  }

  // ob_size or lv_tag at 16, then digits of 30 bits. To 3.11 a negative size is a negative number;
  // from 3.12 on the low two bits tell the sign (0, 1 zero, 2 negative) and the count starts at
  // bit 3.
  std::uint64_t integer(const std::vector<std::uint32_t>& digits, bool negative = false) {
    const std::uint64_t at = object(builtin("int", cpython::flag_long), 64);
    const auto count = static_cast<std::int64_t>(digits.size());
    const std::int64_t sign = digits.empty() ? 1 : negative ? 2 : 0;
    put(at, 16, layout_.minor <= 11 ? (negative ? -count : count) : count << 3 | sign);
    for (std::size_t i = 0; i < digits.size(); ++i)
      put(at, 24 + static_cast<std::int64_t>(i) * 4, digits[i]);
    return at;
  }

  std::uint64_t tuple(const std::vector<std::uint64_t>& items) {
    const std::int64_t first = layout_.minor <= 13 ? 24 : 32;  // from 3.14 after its hash
    const std::uint64_t at = object(builtin("tuple", cpython::flag_tuple), 32 + items.size() * 8);
    put(at, 16, std::uint64_t{items.size()});
    for (std::size_t i = 0; i < items.size(); ++i)
      put(at, first + static_cast<std::int64_t>(i) * 8, items[i]);
    return at;
  }
  std::uint64_t bytes(const std::vector<std::byte>& content) {
    const std::uint64_t at = object(builtin("bytes", cpython::flag_bytes), 40 + content.size());
    put(at, 16, std::uint64_t{content.size()});
    for (std::size_t i = 0; i < content.size(); ++i)
      put(at, 32 + static_cast<std::int64_t>(i), content[i]);
    return at;
  }

  using Items = std::vector<std::pair<std::uint64_t, std::uint64_t>>;

  // PyDictKeysObject with room for eight. To 3.10: dk_size 8, dk_nentries 32, indices 40, entries
  // of three words (hash, key, value). From 3.11: log2 of the size 8, of the index's bytes 9, kind
  // 10, dk_nentries 24, indices 32; kind 0 has three words an entry, 1 (text keys only) and 2
  // (split) have two.
  std::uint64_t keys(const Items& items, int kind, bool with_values = true) {
    const std::uint64_t at = room(64 + items.size() * 24);
    std::int64_t entries = 48;
    if (old()) {
      put(at, 8, std::uint64_t{8});
      put(at, 32, std::uint64_t{items.size()});
    } else {
      put(at, 8, std::uint8_t{3});
      put(at, 9, std::uint8_t{3});
      put(at, 10, static_cast<std::uint8_t>(kind));
      put(at, 24, std::uint64_t{items.size()});
      entries = 40;
    }
    const bool hashed = old() || kind == 0;
    for (std::size_t i = 0; i < items.size(); ++i) {
      const std::int64_t entry = entries + static_cast<std::int64_t>(i) * (hashed ? 24 : 16);
      if (hashed) put(at, entry, std::uint64_t{0x4a5b});
      put(at, entry + (hashed ? 8 : 0), items[i].first);
      if (with_values) put(at, entry + (hashed ? 16 : 8), items[i].second);
    }
    return at;
  }
  // The values of a split table; from 3.13 on eight bytes of sizes come first.
  std::uint64_t values(const Items& items) {
    const std::uint64_t at = room(16 + items.size() * 8);
    const std::int64_t first = layout_.minor >= 13 ? 8 : 0;
    if (first != 0) put(at, 0, std::uint64_t{0x0101080808080808});
    for (std::size_t i = 0; i < items.size(); ++i)
      put(at, first + static_cast<std::int64_t>(i) * 8, items[i].second);
    return at;
  }
  // ma_keys 32, ma_values 40.
  std::uint64_t dict(std::uint64_t keys, std::uint64_t values = 0) {
    const std::uint64_t at = object(builtin("dict", cpython::flag_dict), 48);
    put(at, 16, std::uint64_t{3});
    put(at, 32, keys);
    put(at, 40, values);
    return at;
  }

 private:
  const cpython::Layout& layout_;
  Blob bytes_;
  MemoryImage image_;
  std::uint64_t next_ = base;
  std::map<std::string, std::uint64_t> types_;
};

}  // namespace coldcase::test
