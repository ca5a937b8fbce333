// The table at the end of a .zst in the zstd seekable format (facebook/zstd, contrib/
// seekable_format, zstd_seekable_compression_format.md 0.1.0): where each frame lies, packed and
// plain. A pure function of the file's bytes; decodes nothing.
#pragma once

#include <optional>
#include <vector>

#include "bytes/view.hpp"

namespace coldcase {

// 16 bytes of memory each. More of them (at 2 MiB a frame: a core of 2 TiB) and the file is read as
// one stream.
inline constexpr std::uint32_t most_seek_frames = std::uint32_t{1} << 20;

// Each frame begins where the one before it ends.
struct SeekFrame {
  std::uint64_t packed_end = 0;
  std::uint64_t plain_end = 0;
};

struct SeekTable {
  std::vector<SeekFrame> frames;         // never empty, nor is their content
  std::vector<std::uint32_t> checksums;  // low half of XXH64 of each frame's content, or empty

  std::uint64_t plain_bytes() const { return frames.back().plain_end; }
  SeekFrame begin_of(std::size_t frame) const {
    return frame == 0 ? SeekFrame{} : frames[frame - 1];
  }
  // The frame that holds this byte of the content; `offset` lies in it.
  std::size_t find(std::uint64_t offset) const;
};

// Nothing when there is no table, or when it does not agree with the file: the packed sizes must
// fill it up to the table, and each frame's own header, where it tells its content's size, must
// tell the same. A table that lies about a frame whose header does not is found out when that frame
// is unpacked, and not before.
std::optional<SeekTable> parse_seek_table(Bytes file);

}  // namespace coldcase
