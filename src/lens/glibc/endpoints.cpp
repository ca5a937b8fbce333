#include "lens/glibc/endpoints.hpp"

#include <array>
#include <charconv>

namespace coldcase {
namespace {

template <class T>
std::optional<T> whole_number(std::string_view text, int base) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value, base);
  if (error != std::errc{} || end != text.data() + text.size() || text.empty()) return std::nullopt;
  return value;
}

// Cuts the text before the mark off.
std::string_view take(std::string_view& text, char mark) {
  const auto at = text.find(mark);
  const std::string_view part = text.substr(0, at);
  text = at == std::string_view::npos ? std::string_view{} : text.substr(at + 1);
  return part;
}

// RFC 1122, 1918, 3927, 6598.
std::optional<AddressScope> scope_of_v4(const std::array<std::uint8_t, 4>& host) {
  if (host[0] == 127) return AddressScope::loopback;
  if (host[0] == 0 || host[0] >= 224) return std::nullopt;  // none, multicast, broadcast
  if (host[0] == 169 && host[1] == 254) return AddressScope::link_local;
  const bool inside = host[0] == 10 || (host[0] == 172 && (host[1] & 0xf0) == 16) ||
                      (host[0] == 192 && host[1] == 168) ||
                      (host[0] == 100 && (host[1] & 0xc0) == 64);
  return inside ? AddressScope::private_network : AddressScope::public_network;
}

// RFC 4291, 4193.
std::optional<AddressScope> scope_of_v6(const std::array<std::uint16_t, 8>& host) {
  std::uint16_t high = 0;
  for (std::size_t i = 0; i < 5; ++i) high |= host[i];
  if (high == 0 && (host[5] == 0xffff)) {
    return scope_of_v4(
        {static_cast<std::uint8_t>(host[6] >> 8), static_cast<std::uint8_t>(host[6] & 0xff),
         static_cast<std::uint8_t>(host[7] >> 8), static_cast<std::uint8_t>(host[7] & 0xff)});
  }
  if (high == 0 && host[5] == 0 && host[6] == 0 && host[7] <= 1)
    return host[7] == 1 ? std::optional(AddressScope::loopback) : std::nullopt;
  if (host[0] >> 8 == 0xff) return std::nullopt;  // multicast
  if (host[0] >> 6 == 0xfe80 >> 6) return AddressScope::link_local;
  return host[0] >> 9 == 0xfc00 >> 9 ? AddressScope::private_network : AddressScope::public_network;
}

}  // namespace

std::optional<std::uint32_t> port_of(std::string_view endpoint) {
  const auto colon = endpoint.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto port = whole_number<std::uint32_t>(endpoint.substr(colon + 1), 10);
  return port && *port > 0 && *port <= 0xffff ? port : std::nullopt;
}

std::optional<AddressScope> scope_of(std::string_view endpoint) {
  const auto colon = endpoint.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  std::string_view host = endpoint.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) {
    host = host.substr(1, host.size() - 2);
    std::array<std::uint16_t, 8> groups{};
    for (std::uint16_t& group : groups) {
      const auto value = whole_number<std::uint16_t>(take(host, ':'), 16);
      if (!value) return std::nullopt;
      group = *value;
    }
    return host.empty() ? scope_of_v6(groups) : std::nullopt;
  }
  std::array<std::uint8_t, 4> bytes{};
  for (std::uint8_t& byte : bytes) {
    const auto value = whole_number<std::uint8_t>(take(host, '.'), 10);
    if (!value) return std::nullopt;
    byte = *value;
  }
  return host.empty() ? scope_of_v4(bytes) : std::nullopt;
}

}  // namespace coldcase
