// Addresses of sockets, as side-cars have them ("10.0.0.1:443", "[2001:0db8:...:0001]:443"): the
// port, and what kind of network the host is in. The host itself is private.
#pragma once

#include <coldcase/words.hpp>
#include <optional>
#include <string>
#include <string_view>

namespace coldcase {

// Nothing when the text has none, or 0.
std::optional<std::uint32_t> port_of(std::string_view endpoint);

// Nothing for an address that is none of these, or no address.
std::optional<AddressScope> scope_of(std::string_view endpoint);

}  // namespace coldcase
