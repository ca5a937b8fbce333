// Packed streams: which they are, by their first bytes, and what is in them. zstd is decoded here,
// the others by libarchive.
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "bytes/spool.hpp"
#include "bytes/view.hpp"

namespace coldcase {

enum class Compression : std::uint8_t { none, zstd, xz, lz4, gzip, bzip2 };
std::string_view word(Compression compression);

// More is never unpacked from one file, zeros included: what a bomb may cost.
inline constexpr std::uint64_t most_unpacked = std::uint64_t{1} << 39;

// By the magic number: RFC 8878 3.1 (also the skippable frames zstd files may begin with),
// .xz 2.1.1, LZ4 frame format (and its legacy one), RFC 1952 2.3, bzip2's "BZh1" to "BZh9" before a
// block.
Compression compression_of(Bytes head);

// Why it stopped before the end of the data; empty when it did not. What came before is in `spool`.
std::string unpack_stream(Bytes packed, Compression compression, Spool& spool);

// The first bytes of the content, at most `size`: less where there is less or it cannot be decoded.
std::vector<std::byte> peek(Bytes packed, std::size_t size);

}  // namespace coldcase
