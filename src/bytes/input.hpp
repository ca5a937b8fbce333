// One input file as a read-only span: the first stage of the path. A plain file is mapped and never
// read whole. A .zst becomes an unlinked sparse file, pages of zeros skipped, which is mapped:
// frame by frame as it is read, when it ends with a seek table that agrees with it (`coldcase
// capture` writes one), else from its beginning to its end. What is missing at the end is recorded,
// not an error. A damaged frame that nobody reads is not noticed in the first way.
#pragma once

#include <coldcase/result.hpp>
#include <cstdint>
#include <memory>
#include <string>

#include "bytes/file_span.hpp"
#include "bytes/frames.hpp"
#include "bytes/mapping.hpp"

namespace coldcase {

enum class Compression : std::uint8_t { none, zstd };

struct Input {
  std::string path;
  Compression compression = Compression::none;
  std::uint64_t file_bytes = 0;  // of the file on disk, compressed or not
  std::int64_t modified = 0;     // seconds since 1970, UTC; 0 for a stream
  std::string cut_short;         // why decompression stopped early; empty when it did not
  Mapping mapping;
  std::unique_ptr<Frames> frames;  // in place of the mapping: unpacked as it is read
  FileSpan content() const {
    return frames ? FileSpan(frames->range(), frames.get()) : FileSpan(mapping.bytes());
  }
};

enum class Unpack : std::uint8_t { as_read, first };

// Opens `path` ("-" reads standard input into an unlinked sparse file). Throws Error: no such file,
// no permission, a directory, empty, or a compressed file that yields nothing. Reading what was
// opened `as_read` may throw BadFrame.
Input open_input(const std::string& path, Unpack unpack = Unpack::as_read);

// work(Unpack::as_read), and when a frame turns out not to be what its file's seek table says, all
// of it again with work(Unpack::first): the result never rests on a table that was found to lie.
template <class Work>
auto reading_frames(const Work& work) {
  try {
    return work(Unpack::as_read);
  } catch (const BadFrame&) {
    return work(Unpack::first);
  }
}

}  // namespace coldcase
