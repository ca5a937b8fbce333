// What must hold of every Core, whatever the bytes were; for the hostile tests and the fuzz target.
#pragma once

#include <algorithm>
#include <string_view>

#include "core/core.hpp"

namespace coldcase::test {

inline bool inside(Bytes part, Bytes whole) {
  return part.empty() ||
         (part.data() >= whole.data() && part.data() + part.size() <= whole.data() + whole.size());
}

inline bool inside(std::string_view part, Bytes whole) {
  return inside(std::as_bytes(std::span(part)), whole);
}

// The first promise that is broken; empty when none is.
inline std::string_view broken_promise(const Core& core, Bytes file) {
  for (const Segment& segment : core.segments) {
    if (segment.range.begin >= segment.range.end) return "an empty or inverted segment";
    if (segment.bytes.size() > segment.saved) return "more bytes than saved";
    if (segment.saved > segment.range.size()) return "more saved than mapped";
    if (!inside(segment.bytes.bytes(), file)) return "a segment's bytes lie outside the file";
  }
  for (const FileMapping& mapping : core.files) {
    if (mapping.range.begin >= mapping.range.end) return "an empty or inverted mapping";
    if (mapping.path.empty() || !inside(mapping.path, file)) return "a path outside the file";
  }
  for (const Bytes part : core.identity) {
    if (!inside(part, file)) return "identity outside the file";
  }
  if (core.process && !inside(core.process->name, file)) return "a name outside the file";
  const auto begin = [](const auto& item) { return item.range.begin; };
  if (!std::ranges::is_sorted(core.segments, {}, begin)) return "segments not sorted";
  if (!std::ranges::is_sorted(core.files, {}, begin)) return "files not sorted";
  // Bounded: what is found costs at least its own note in the file.
  if (core.threads.size() > file.size() / 336) return "more threads than the file can hold";
  if (core.files.size() > file.size() / 24) return "more mappings than the file can hold";
  if (core.segments.size() > file.size() / 56) return "more segments than the file can hold";
  return {};
}

}  // namespace coldcase::test
