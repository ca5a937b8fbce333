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

// Reads `fd` to its end. Throws Error when it cannot be read or there is no room.
void copy_stream(int fd, const std::string& path, Spool& spool);

}  // namespace coldcase
