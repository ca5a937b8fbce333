// SHA-256, for identities and signatures.
#pragma once

#include <cstddef>
#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace coldcase {

// 64 hex digits over the parts in order.
std::string sha256_hex(const std::vector<std::span<const std::byte>>& parts);
std::string sha256_hex(std::string_view text);

}  // namespace coldcase
