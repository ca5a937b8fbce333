#include "base/xxh64.hpp"

#include <algorithm>
#include <bit>
#include <cstring>

namespace coldcase {
namespace {

constexpr std::uint64_t prime_1 = 0x9e3779b185ebca87, prime_2 = 0xc2b2ae3d27d4eb4f,
                        prime_3 = 0x165667b19e3779f9, prime_4 = 0x85ebca77c2b2ae63,
                        prime_5 = 0x27d4eb2f165667c5;

template <class T>
std::uint64_t word_at(const std::byte* at) {
  T word;
  std::memcpy(&word, at, sizeof word);
  return word;
}

std::uint64_t round(std::uint64_t lane, std::uint64_t word) {
  return std::rotl(lane + word * prime_2, 31) * prime_1;
}

}  // namespace

std::array<std::uint64_t, 4> Xxh64::first_lanes() {
  return {prime_1 + prime_2, prime_2, 0, 0 - prime_1};  // of seed 0
}

void Xxh64::add_stripe(const std::byte* stripe) {
  for (std::size_t i = 0; i < lanes_.size(); ++i)
    lanes_[i] = round(lanes_[i], word_at<std::uint64_t>(stripe + 8 * i));
}

void Xxh64::add(std::span<const std::byte> bytes) {
  if (bytes.empty()) return;
  total_ += bytes.size();
  if (rest_size_ > 0) {
    const std::size_t taken = std::min(rest_.size() - rest_size_, bytes.size());
    std::memcpy(rest_.data() + rest_size_, bytes.data(), taken);
    rest_size_ += taken;
    bytes = bytes.subspan(taken);
    if (rest_size_ < rest_.size()) return;
    add_stripe(rest_.data());
    rest_size_ = 0;
  }
  for (; bytes.size() >= rest_.size(); bytes = bytes.subspan(rest_.size()))
    add_stripe(bytes.data());
  rest_size_ = bytes.size();
  std::memcpy(rest_.data(), bytes.data(), rest_size_);
}

std::uint64_t Xxh64::value() const {
  std::uint64_t hash = lanes_[2] + prime_5;  // fewer than 32 bytes: the seed, which lane 2 still is
  if (total_ >= rest_.size()) {
    hash = std::rotl(lanes_[0], 1) + std::rotl(lanes_[1], 7) + std::rotl(lanes_[2], 12) +
           std::rotl(lanes_[3], 18);
    for (const std::uint64_t lane : lanes_) hash = (hash ^ round(0, lane)) * prime_1 + prime_4;
  }
  hash += total_;
  std::size_t at = 0;
  for (; at + 8 <= rest_size_; at += 8) {
    hash ^= round(0, word_at<std::uint64_t>(&rest_[at]));
    hash = std::rotl(hash, 27) * prime_1 + prime_4;
  }
  for (; at + 4 <= rest_size_; at += 4) {
    hash ^= word_at<std::uint32_t>(&rest_[at]) * prime_1;
    hash = std::rotl(hash, 23) * prime_2 + prime_3;
  }
  for (; at < rest_size_; ++at) {
    hash ^= word_at<std::uint8_t>(&rest_[at]) * prime_5;
    hash = std::rotl(hash, 11) * prime_1;
  }
  hash = (hash ^ hash >> 33) * prime_2;
  hash = (hash ^ hash >> 29) * prime_3;
  return hash ^ hash >> 32;
}

}  // namespace coldcase
