// Sockets: what kind of address, what the kernel's diagnosis answers, and which ends belong
// together.
#include <linux/inet_diag.h>
#include <linux/netlink.h>

#include <cstddef>

#include "capture/proc_text.hpp"
#include "capture/tcp_states.hpp"
#include "lens/glibc/endpoints.hpp"
#include "support/catch.hpp"
#include "support/core_builder.hpp"

namespace coldcase::test {
namespace {

using capture::parse_tcp_answer;
using capture::plain_endpoint;

TEST_CASE("ports and kinds of networks", "[sockets]") {
  using Scope = AddressScope;
  CHECK(port_of("10.0.0.1:443") == 443u);
  CHECK(port_of("[0000:0000:0000:0000:0000:0000:0000:0001]:80") == 80u);
  for (const char* none : {"", "10.0.0.1", "10.0.0.1:", "10.0.0.1:0", "a:70000", "a:+1", "a:1 "})
    CHECK_FALSE(port_of(none));
  CHECK(scope_of("127.0.0.1:80") == Scope::loopback);
  CHECK(scope_of("127.8.9.1:80") == Scope::loopback);
  for (const char* inside :
       {"10.1.2.3:1", "172.16.0.1:1", "172.31.9.9:1", "192.168.0.1:1", "100.64.0.1:1"})
    CHECK(scope_of(inside) == Scope::private_network);
  for (const char* outside : {"172.32.0.1:1", "192.169.0.1:1", "8.8.8.8:1", "100.128.0.1:1"})
    CHECK(scope_of(outside) == Scope::public_network);
  CHECK(scope_of("169.254.1.1:1") == Scope::link_local);
  for (const char* none : {"0.0.0.0:0", "224.0.0.1:1", "255.255.255.255:1", "", ":1", "1.2.3:1",
                           "1.2.3.4.5:1", "1.2.3.256:1", "host:1", "1.2.3.4", "[1.2.3.4]:1"})
    CHECK_FALSE(scope_of(none));
}

TEST_CASE("kinds of networks of IPv6", "[sockets]") {
  using Scope = AddressScope;
  const auto scope = [](const std::string& first, const std::string& last) {
    return scope_of("[" + first + ":0000:0000:0000:0000:0000:0000:" + last + "]:443");
  };
  CHECK(scope("0000", "0001") == Scope::loopback);
  CHECK_FALSE(scope("0000", "0000"));
  CHECK(scope("fe80", "0001") == Scope::link_local);
  CHECK(scope("fd12", "0001") == Scope::private_network);
  CHECK(scope("2001", "0001") == Scope::public_network);
  CHECK_FALSE(scope("ff02", "0001"));
  CHECK_FALSE(scope("xyz", "0001"));
  CHECK(scope_of("[0000:0000:0000:0000:0000:ffff:7f00:0001]:80") == Scope::loopback);
  CHECK(scope_of("[0000:0000:0000:0000:0000:ffff:c0a8:0001]:80") == Scope::private_network);
  CHECK_FALSE(scope_of("[0000:0000:0000:0000:0000:0000:0001]:80"));
  CHECK_FALSE(scope_of("[0000:0000:0000:0000:0000:0000:0000:0000:0001]:80"));
}

TEST_CASE("an IPv4 address in an IPv6 socket is the IPv4 address", "[sockets]") {
  CHECK(plain_endpoint("[0000:0000:0000:0000:0000:ffff:7f00:0001]:8080") == "127.0.0.1:8080");
  CHECK(plain_endpoint("127.0.0.1:8080") == "127.0.0.1:8080");
  for (const std::string other :
       {"[2001:0db8:0000:0000:0000:0000:0000:0001]:443", "[0000:0000:0000:0000:0000:ffff:7f00",
        "[0000:0000:0000:0000:0000:ffff:zz00:0001]:1", ""})
    CHECK(plain_endpoint(other) == other);
}

// An answer of the kernel for a socket: the fixed part, then one attribute with tcp_info.
Blob answer(std::uint8_t state, std::size_t info_size) {
  inet_diag_msg message{};
  message.idiag_state = state;
  message.idiag_rqueue = 5;
  message.idiag_wqueue = 7;
  message.idiag_inode = 4711;
  Blob bytes;
  append(bytes, message);
  Blob info(info_size);
  if (info_size >= 56) {
    patch(info, 44, std::uint32_t{1500});
    patch(info, 52, std::uint32_t{2500});
  }
  if (info_size >= 136) patch(info, 128, std::uint64_t{1} << 33);
  if (info_size >= 208) patch(info, 200, std::uint64_t{6});
  append(bytes, static_cast<std::uint16_t>(sizeof(nlattr) + info_size));
  append(bytes, std::uint16_t{INET_DIAG_INFO});
  bytes.insert(bytes.end(), info.begin(), info.end());
  return bytes;
}

TEST_CASE("what the kernel says of a TCP connection", "[sockets]") {
  const auto found = parse_tcp_answer(answer(1, 280));
  REQUIRE(found);
  CHECK(found->inode == 4711);
  CHECK(found->state.sent_ms == 1500);
  CHECK(found->state.received_ms == 2500);
  CHECK(found->state.received_bytes == std::uint64_t{1} << 33);
  CHECK(found->state.sent_bytes == 6);
  CHECK(found->state.unread_bytes == 5);
  CHECK(found->state.untaken_bytes == 7);
}

TEST_CASE("an older kernel says less", "[sockets]") {
  const auto found = parse_tcp_answer(answer(1, 104));
  REQUIRE(found);
  CHECK(found->state.received_ms == 2500);
  CHECK_FALSE(found->state.received_bytes);
  CHECK_FALSE(found->state.sent_bytes);
}

TEST_CASE("a socket that listens has no data, but connections", "[sockets]") {
  const auto found = parse_tcp_answer(answer(10, 280));
  REQUIRE(found);
  CHECK_FALSE(found->state.unread_bytes);
  CHECK_FALSE(found->state.received_ms);
}

TEST_CASE("an answer cut at every offset", "[sockets]") {
  const Blob whole = answer(1, 280);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const Blob cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    const auto found = parse_tcp_answer(cut);
    CHECK(found.has_value() == (size >= sizeof(inet_diag_msg)));
    if (found) CHECK_FALSE(found->state.received_ms);
  }
}

}  // namespace
}  // namespace coldcase::test
