#include "base/digest.hpp"

#include <sha256.h>

#include <array>

namespace coldcase {

std::string sha256_hex(const std::vector<std::span<const std::byte>>& parts) {
  SHA2_CTX context;
  SHA256Init(&context);
  for (const auto part : parts) {
    SHA256Update(&context, reinterpret_cast<const std::uint8_t*>(part.data()), part.size());
  }
  std::array<std::uint8_t, SHA256_DIGEST_LENGTH> digest{};
  SHA256Final(digest.data(), &context);
  std::string text;
  for (const std::uint8_t byte : digest) {
    constexpr char digits[] = "0123456789abcdef";
    text += digits[byte >> 4];
    text += digits[byte & 15];
  }
  return text;
}

std::string sha256_hex(std::string_view text) {
  return sha256_hex({std::as_bytes(std::span(text.data(), text.size()))});
}

}  // namespace coldcase
