#include "base/text.hpp"

#include <array>
#include <charconv>

namespace coldcase {
namespace {

constexpr char digits[] = "0123456789abcdef";

// Length of the well-formed UTF-8 character at the start of `text`, 0 when there is none. Overlong
// forms, surrogates and values above U+10FFFF are not well formed.
std::size_t utf8_length(std::string_view text, std::uint32_t& point) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  std::size_t length = 0;
  if (lead < 0x80) {
    point = lead;
    return 1;
  }
  if (lead >= 0xc2 && lead <= 0xdf) length = 2;
  if (lead >= 0xe0 && lead <= 0xef) length = 3;
  if (lead >= 0xf0 && lead <= 0xf4) length = 4;
  if (length == 0 || text.size() < length) return 0;
  point = lead & (0xffu >> (length + 1));
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return 0;
    point = (point << 6) | (byte(i) & 0x3fu);
  }
  static constexpr std::array<std::uint32_t, 5> smallest{0, 0, 0x80, 0x800, 0x10000};
  if (point < smallest[length] || point > 0x10ffff || (point >= 0xd800 && point <= 0xdfff))
    return 0;
  return length;
}

bool harmful(std::uint32_t point) {
  return point < 0x20 || (point >= 0x7f && point < 0xa0) || (point >= 0x202a && point <= 0x202e) ||
         (point >= 0x2066 && point <= 0x2069) || (point >= 0x200b && point <= 0x200f) ||
         point == 0x2028 || point == 0x2029 || point == 0x061c || point == 0xfeff;
}

}  // namespace

std::string hex(std::uint64_t value) {
  std::array<char, 18> buffer{'0', 'x'};
  const auto end = std::to_chars(buffer.data() + 2, buffer.data() + buffer.size(), value, 16).ptr;
  return {buffer.data(), end};
}

std::string clean_text(std::string_view raw, std::size_t limit) {
  std::string clean;
  clean.reserve(std::min(raw.size(), limit));
  while (!raw.empty()) {
    std::uint32_t point = 0;
    std::size_t length = utf8_length(raw, point);
    const bool escape = length == 0 || harmful(point);
    if (length == 0) length = 1;
    if (clean.size() + (escape ? 4 * length : length) > limit) return clean + "…";
    for (const char c : raw.substr(0, length)) {
      if (!escape) {
        clean += c;
        continue;
      }
      const auto byte = static_cast<unsigned char>(c);
      clean += "\\x";
      clean += digits[byte >> 4];
      clean += digits[byte & 15];
    }
    raw.remove_prefix(length);
  }
  return clean;
}

std::string_view base_name(std::string_view path) {
  const auto slash = path.rfind('/');
  if (slash == std::string_view::npos || slash + 1 == path.size()) return path;
  return path.substr(slash + 1);
}

std::string join(const std::vector<std::string>& parts, std::string_view between) {
  std::string all;
  for (const std::string& part : parts) {
    if (&part != &parts.front()) all += between;
    all += part;
  }
  return all;
}

std::string counted(std::uint64_t count, std::string_view noun) {
  const std::string_view ending = count == 1 ? "" : noun.ends_with('s') ? "es" : "s";
  return std::to_string(count) + " " + std::string(noun) + std::string(ending);
}

std::string seconds_text(std::uint64_t ms) {
  constexpr std::uint64_t minute = 60'000;
  std::string text = std::to_string(ms / 1000);
  if (ms < minute) text += "." + std::to_string(ms % 1000 / 100);
  return text + " s";
}

bool starts_with_any(std::string_view text, std::initializer_list<std::string_view> prefixes) {
  for (const std::string_view prefix : prefixes) {
    if (text.substr(0, prefix.size()) == prefix) return true;
  }
  return false;
}

}  // namespace coldcase
