// A core to .zst in the zstd seekable format: independent frames of 2 MiB and a table of their
// sizes in a skippable frame at the end, so that a reader may inflate only what it needs; every
// zstd program reads it as one stream (facebook/zstd, contrib/seekable_format).
#pragma once

#include <atomic>
#include <cstdint>
#include <functional>

namespace coldcase::capture {

inline constexpr std::size_t pack_frame_bytes = std::size_t{2} << 20;

enum class PackEnd : std::uint8_t { done, stopped, read_error, write_error };

struct Packed {
  PackEnd end = PackEnd::done;
  int error = 0;
  std::uint64_t plain_bytes = 0, packed_bytes = 0;
};

// From one open file to the other, both from their beginnings.
Packed pack(int from, int to, const std::function<void(std::uint64_t done)>& progress,
            const std::atomic<bool>& stop);

}  // namespace coldcase::capture
