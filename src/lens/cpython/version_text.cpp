#include "lens/cpython/version_text.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace coldcase::cpython {
namespace {

constexpr Size most_of_a_part = 1u << 26;

// "3.11.2" at this place of the text: digits, then within a few characters " (".
std::string version_at(std::string_view text, std::size_t at, std::string_view start) {
  const auto end = text.find_first_not_of("0123456789", at + start.size());
  if (end == std::string_view::npos || end == at + start.size()) return {};
  // "3.11.2 (main, ...", "3.14.0rc1 (...", "3.9.18+ (..."
  const auto bracket = text.substr(end, 64).find(" (");
  return bracket != std::string_view::npos && bracket < 48 ? clean_text(text.substr(at, end - at))
                                                           : std::string{};
}

}  // namespace

std::optional<int> minor_from_name(std::string_view name) {
  const auto at = name.find("python3.");
  if (at == std::string_view::npos) return std::nullopt;
  int minor = 0;
  std::size_t digits = 0;
  for (std::size_t i = at + 8; i < name.size() && name[i] >= '0' && name[i] <= '9' && digits < 3;
       ++i, ++digits) {
    minor = minor * 10 + (name[i] - '0');
  }
  return digits > 0 ? std::optional(minor) : std::nullopt;
}

std::vector<Range> writable_parts(const View& view, const Module& module) {
  std::vector<Range> parts;
  for (const auto& load : module.headers) {
    if (load.type != elf::pt_load || (load.flags & elf::flag_w) == 0 || load.memsz > most_of_a_part)
      continue;
    const Addr begin = module.to_process(load.vaddr);
    if (const auto end = checked_add(begin, load.memsz)) parts.push_back({begin, *end});
  }
  if (!module.headers.empty()) return parts;
  for (const Segment& segment : view.core.segments) {
    // .bss goes on behind what the file is mapped to.
    const bool own =
        segment.range.begin >= module.range.begin && segment.range.begin <= module.range.end;
    if (own && segment.writable && segment.range.size() <= most_of_a_part)
      parts.push_back(segment.range);
  }
  return parts;
}

std::string find_version_text(const View& view, const Module& module, int minor) {
  const std::string start = "3." + std::to_string(minor) + ".";
  for (const Range& part : writable_parts(view, module)) {
    for (Size done = 0; done < part.size();) {
      const Bytes bytes = view.image.view(Addr{part.begin.value + done}, part.size() - done);
      const std::string_view text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
      for (auto at = text.find(start); at != std::string_view::npos;
           at = text.find(start, at + 1)) {
        std::string version = version_at(text, at, start);
        if (!version.empty()) return version;
      }
      done += std::max<Size>(bytes.size(), 4096);
    }
  }
  return {};
}

}  // namespace coldcase::cpython
