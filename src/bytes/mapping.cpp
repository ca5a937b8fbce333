#include "bytes/mapping.hpp"

#include <sys/mman.h>

#include <cerrno>
#include <utility>

#include "bytes/messages.hpp"

namespace coldcase {
namespace {

constexpr std::uintptr_t page = 4096;

struct Pages {
  void* begin;
  std::size_t size;
};

Pages pages_of(Bytes part) {
  const auto begin = std::bit_cast<std::uintptr_t>(part.data()) & ~(page - 1);
  const auto end = std::bit_cast<std::uintptr_t>(part.data()) + part.size();
  return {std::bit_cast<void*>(begin), end - begin};
}

// A hint: when the kernel refuses it, reading still works, only slower.
void advise(Bytes part, int advice) {
  if (part.empty()) return;
  const Pages pages = pages_of(part);
  (void)::madvise(pages.begin, pages.size, advice);
}

}  // namespace

Mapping::Mapping(int fd, std::uint64_t size, Access access) : size_(size) {
  if (size == 0) return;
  const int protection = access == Access::copy_on_write ? PROT_READ | PROT_WRITE : PROT_READ;
  const int sharing = access == Access::shared ? MAP_SHARED : MAP_PRIVATE;
  void* at = ::mmap(nullptr, size, protection, sharing | MAP_NORESERVE, fd, 0);
  if (at == MAP_FAILED) throw messages::cannot_map("input", errno);
  data_ = static_cast<const std::byte*>(at);
}

Mapping& Mapping::operator=(Mapping&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(size_, other.size_);
  return *this;
}

Mapping::~Mapping() {
  if (data_ != nullptr) ::munmap(const_cast<std::byte*>(data_), size_);
}

bool allow_writes(Bytes part) {
  if (part.empty()) return true;
  const Pages pages = pages_of(part);
  return ::mprotect(pages.begin, pages.size, PROT_READ | PROT_WRITE) == 0;
}

void prefetch(Bytes part) {
  advise(part, MADV_WILLNEED);
}

void drop_pages(Bytes part) {
  const auto begin = (std::bit_cast<std::uintptr_t>(part.data()) + page - 1) & ~(page - 1);
  const auto end = (std::bit_cast<std::uintptr_t>(part.data()) + part.size()) & ~(page - 1);
  if (begin < end) (void)::madvise(std::bit_cast<void*>(begin), end - begin, MADV_DONTNEED);
}

void expect_scattered_reads(Bytes part) {
  advise(part, MADV_RANDOM);
}

}  // namespace coldcase
