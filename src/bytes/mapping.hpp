// A file in our address space, for as long as the object lives.
#pragma once

#include <cstdint>

#include "bytes/view.hpp"

namespace coldcase {

// Owns a mapping. Movable, not copyable; the span lives as long as the object, moved or not.
class Mapping {
 public:
  Mapping() = default;
  // `shared` shows what is written to the file after it was mapped.
  enum class Access : std::uint8_t { read_only, shared, copy_on_write };
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

// libelf writes to what it inflates sections in: makes these bytes writable, for this process alone
// (a private mapping, or that of a spool). False when the kernel refuses.
bool allow_writes(Bytes part);

// Asks the kernel to read these bytes ahead of their use: one call for many page faults.
void prefetch(Bytes part);

// Tells the kernel not to read around the pages that are touched.
void expect_scattered_reads(Bytes part);

// Gives back the whole pages among these bytes of a mapped file that nobody wrote to: they are read
// again when they are touched again.
void drop_pages(Bytes part);

}  // namespace coldcase
