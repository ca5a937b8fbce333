// One input file as a read-only span: the first stage of the path. A plain file is mapped and never
// read whole; a .zst is decompressed once into an unlinked sparse file, pages of zeros skipped, and
// that is mapped. What is missing at the end is recorded, not an error.
#pragma once

#include <coldcase/result.hpp>
#include <cstdint>
#include <string>

#include "bytes/view.hpp"

namespace coldcase {

enum class Compression : std::uint8_t { none, zstd };

// Owns a mapping. Movable, not copyable; the span lives as long as the object.
class Mapping {
 public:
  Mapping() = default;
  enum class Access : std::uint8_t { read_only, copy_on_write };
  // Maps the whole file; throws Error when that fails.
  Mapping(int fd, std::uint64_t size, Access access = Access::read_only);
  Mapping(Mapping&& other) noexcept { *this = static_cast<Mapping&&>(other); }
  Mapping& operator=(Mapping&& other) noexcept;
  Mapping(const Mapping&) = delete;
  Mapping& operator=(const Mapping&) = delete;
  ~Mapping();
  Bytes bytes() const { return {data_, size_}; }

 private:
  const std::byte* data_ = nullptr;
  std::size_t size_ = 0;
};

struct Input {
  std::string path;
  Compression compression = Compression::none;
  std::uint64_t file_bytes = 0;  // of the file on disk, compressed or not
  std::int64_t modified = 0;     // seconds since 1970, UTC; 0 for a stream
  std::string cut_short;         // why decompression stopped early; empty when it did not
  Mapping mapping;
  Bytes bytes() const { return mapping.bytes(); }
};

// Opens `path` ("-" reads standard input into an unlinked sparse file). Throws Error: no such file,
// no permission, a directory, empty, or a compressed file that yields nothing.
Input open_input(const std::string& path);

// Asks the kernel to read [begin, begin + size) ahead of its use: one call for many page faults.
void prefetch(Bytes part);

}  // namespace coldcase
