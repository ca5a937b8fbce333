// What holds for every table that is believed, whatever the file.
#pragma once

#include <string_view>

#include "bytes/seek_table.hpp"

namespace coldcase::test {

// Empty when all promises are kept or there is no table.
inline std::string_view broken_table(Bytes file) {
  const auto table = parse_seek_table(file);
  if (!table) return {};
  if (table->frames.empty() || table->plain_bytes() == 0) return "no content";
  if (table->frames.size() > most_seek_frames) return "too many frames";
  if (!table->checksums.empty() && table->checksums.size() != table->frames.size())
    return "not one checksum a frame";
  SeekFrame end;
  for (std::size_t i = 0; i < table->frames.size(); ++i) {
    const SeekFrame frame = table->frames[i];
    if (frame.packed_end <= end.packed_end || frame.plain_end < end.plain_end)
      return "a frame ends before it begins";
    if (frame.plain_end > end.plain_end && table->find(end.plain_end) != i)
      return "a frame is not found by its first byte";
    end = frame;
  }
  if (end.packed_end >= file.size()) return "the frames do not end before the table";
  // A block of 4 bytes yields 128 KiB at most.
  return end.plain_end / (std::uint64_t{32} << 10) > file.size() ? "more than can be in there" : "";
}

}  // namespace coldcase::test
