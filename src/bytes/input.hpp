// One input file as a read-only span: the first stage of the path. A plain file is mapped and never
// read whole. A packed one becomes an unlinked sparse file, pages of zeros skipped, which is
// mapped: frame by frame as it is read, when it is a .zst that ends with a seek table that agrees
// with it
// (`coldcase capture` writes one), else from its beginning to its end. What is missing at the end
// is recorded, not an error. A damaged frame that nobody reads is not noticed in the first way.
//
// A tar or zip gives the cores in it, and the ELF files and side-cars beside them. A folder of
// ABRT's gives its core, a report of Apport's the core packed in its text.
#pragma once

#include <coldcase/result.hpp>
#include <cstdint>
#include <memory>
#include <string>
#include <vector>

#include "bytes/companions.hpp"
#include "bytes/file_span.hpp"
#include "bytes/frames.hpp"
#include "bytes/packing.hpp"
#include "bytes/stored.hpp"

namespace coldcase {

// When the process was dumped, and who says so.
struct Taken {
  std::int64_t at = 0;      // seconds since 1970, UTC; 0: unknown
  std::string_view source;  // mtime, name, xattr
};

struct Input {
  std::string path;  // as it was given; ARCHIVE:MEMBER of an archive's
  Compression compression = Compression::none;
  std::uint64_t file_bytes = 0;  // of the file on disk, compressed or not
  Taken taken;
  std::string executable;  // that the collector recorded; empty when it did not
  std::string cut_short;   // why decompression stopped early; empty when it did not
  Stored stored;
  std::unique_ptr<Frames> frames;  // in place of `stored`: unpacked as it is read
  std::shared_ptr<const Companions> beside;
  FileSpan content() const {
    return frames ? FileSpan(frames->range(), frames.get()) : FileSpan(stored.bytes);
  }
};

enum class Unpack : std::uint8_t { as_read, first };

// Opens `path` ("-" reads standard input into an unlinked sparse file): one input, or each core of
// an archive, or the one of them that ARCHIVE:MEMBER names. Throws Error: no such file, no
// permission, a directory without a core, empty, an archive without a core, or a packed file that
// yields nothing. Reading what was opened `as_read` may throw BadFrame.
std::vector<Input> open_inputs(const std::string& path, Unpack unpack = Unpack::as_read);

// The same for who wants one: an archive of several cores is an Error that names them.
Input open_input(const std::string& path, Unpack unpack = Unpack::as_read);

// Packed or an archive, by its first bytes, without opening it; false also when it cannot be read.
bool is_packed(const std::string& path);

// False for a packed file whose content begins neither like a core nor like an archive: a log, told
// without unpacking it. True also where that cannot be seen.
bool may_hold_core(const std::string& path);

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
