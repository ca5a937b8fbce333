// Small text helpers every stage uses. Nothing here knows about cores.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coldcase {

// "0x" and lower-case digits without padding.
std::string hex(std::uint64_t value);

// Text from a core, made harmless and valid UTF-8: a byte that is not UTF-8, every control
// character and every bidirectional override becomes the text \xNN (one per byte); longer than
// `limit` bytes is cut at a character and ends in an ellipsis.
std::string clean_text(std::string_view raw, std::size_t limit = 1024);

// The last component of a path; the path itself when it has none.
std::string_view base_name(std::string_view path);

std::string join(const std::vector<std::string>& parts, std::string_view between);

// "1 thread", "3 threads".
std::string counted(std::uint64_t count, std::string_view noun);

// "4.1 s", "0.3 s"; from a minute on "75 s".
std::string seconds_text(std::uint64_t ms);

bool starts_with_any(std::string_view text, std::initializer_list<std::string_view> prefixes);

}  // namespace coldcase
