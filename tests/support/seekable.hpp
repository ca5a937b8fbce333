// Files in the zstd seekable format for tests, from this file's own idea of the format and with the
// checksums that libzstd computes. What is asked for is written, sense or not.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

#include "support/core_builder.hpp"

namespace coldcase::test {

// A frame, and what the table is to say of it.
struct PackedFrame {
  Blob bytes;
  std::uint32_t plain = 0;
  std::uint32_t checksum = 0;
};

struct SeekableShape {
  std::size_t frame_bytes = 1000;
  bool checksums = false;       // in the table; the frames have none of their own
  bool sizes_in_frames = true;  // as capture and most others do; zstd's own example does not
};

std::vector<PackedFrame> packed_frames(std::span<const std::byte> content,
                                       const SeekableShape& shape = {});
PackedFrame skippable_frame(std::string_view content);

// The frames, then the table.
Blob seekable_file(const std::vector<PackedFrame>& frames, bool checksums = false);
Blob seekable_file(std::span<const std::byte> content, const SeekableShape& shape = {});

}  // namespace coldcase::test
