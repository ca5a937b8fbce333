// XXH64, the checksum of zstd's frames and seek tables (xxHash, doc/xxhash_spec.md), fed piece by
// piece. Against accidents, not against people: identities are SHA-256 (digest.hpp).
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>

namespace coldcase {

class Xxh64 {
 public:
  void add(std::span<const std::byte> bytes);
  std::uint64_t value() const;

 private:
  void add_stripe(const std::byte* stripe);

  std::array<std::uint64_t, 4> lanes_ = first_lanes();
  std::array<std::byte, 32> rest_{};  // what does not fill a stripe yet
  std::size_t rest_size_ = 0;
  std::uint64_t total_ = 0;

  static std::array<std::uint64_t, 4> first_lanes();
};

}  // namespace coldcase
