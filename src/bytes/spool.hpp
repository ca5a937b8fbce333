// A sparse, unlinked temporary file that a stream is written to: pages of zeros become holes, so
// the disk holds what the process really had and nothing is left behind when we are killed.
#pragma once

#include <cstdint>
#include <string>

#include "bytes/handles.hpp"
#include "bytes/mapping.hpp"
#include "bytes/view.hpp"

namespace coldcase {

class Spool {
 public:
  Spool();  // in TMPDIR, else /var/tmp, else /tmp; throws Error when none can be written
  void append(Bytes bytes);
  std::uint64_t size() const { return size_; }
  // For content that comes in pieces, in any order: the length first, then each byte once.
  void extend(std::uint64_t size) { size_ = size; }
  void write(std::uint64_t at, Bytes bytes);
  Mapping map();  // sets the file's length and maps it; what is written later shows

 private:
  FileHandle file_;
  std::uint64_t size_ = 0;
};

// Both read `fd` to its end, after `head`, which was read from it already.
void copy_plain(Bytes head, int fd, const std::string& path, Spool& spool);

// Returns why it stopped before the end of the data; empty when it did not. Bounded by the disk
// alone: output is written as it comes, never held.
std::string decompress_zstd(Bytes head, int fd, const std::string& path, Spool& spool);

}  // namespace coldcase
