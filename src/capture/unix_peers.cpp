#include "capture/unix_peers.hpp"

#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <linux/unix_diag.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstddef>
#include <cstring>
#include <span>
#include <vector>

namespace coldcase::capture {
namespace {

using Peers = std::map<std::uint64_t, std::uint64_t>;
constexpr std::size_t most_messages = std::size_t{1} << 16;

struct Question {
  nlmsghdr header;
  unix_diag_req request;
};

bool ask(int fd) {
  Question question{};
  question.header.nlmsg_len = sizeof question;
  question.header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  question.header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  question.request.sdiag_family = AF_UNIX;
  question.request.udiag_states = ~std::uint32_t{0};
  question.request.udiag_show = UDIAG_SHOW_PEER;
  return ::send(fd, &question, sizeof question, 0) == static_cast<ssize_t>(sizeof question);
}

template <class T>
T read_at(std::span<const std::byte> bytes, std::size_t offset) {
  T value{};
  if (offset + sizeof value <= bytes.size())
    std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

void add_peer(std::span<const std::byte> body, Peers& peers) {
  const auto message = read_at<unix_diag_msg>(body, 0);
  std::size_t at = NLMSG_ALIGN(sizeof message);
  while (at + sizeof(nlattr) <= body.size()) {
    const auto attribute = read_at<nlattr>(body, at);
    if (attribute.nla_len < sizeof(nlattr) || at + attribute.nla_len > body.size()) return;
    if (attribute.nla_type == UNIX_DIAG_PEER && attribute.nla_len >= sizeof(nlattr) + 4) {
      const auto peer = read_at<std::uint32_t>(body, at + sizeof(nlattr));
      if (peer != 0) peers[message.udiag_ino] = peer;
    }
    at += NLA_ALIGN(attribute.nla_len);
  }
}

// False at the end of the answer.
bool take(std::span<const std::byte> bytes, Peers& peers) {
  while (bytes.size() >= sizeof(nlmsghdr)) {
    const auto header = read_at<nlmsghdr>(bytes, 0);
    if (header.nlmsg_len < sizeof(nlmsghdr) || header.nlmsg_len > bytes.size()) return false;
    if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) return false;
    if (header.nlmsg_type == SOCK_DIAG_BY_FAMILY)
      add_peer(bytes.subspan(sizeof(nlmsghdr), header.nlmsg_len - sizeof(nlmsghdr)), peers);
    bytes = bytes.subspan(std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), bytes.size()));
  }
  return true;
}

}  // namespace

std::map<std::uint64_t, std::uint64_t> find_unix_peers() {
  Peers peers;
  const int fd = ::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return peers;
  const timeval patience{2, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  bool more = ask(fd);
  std::vector<std::byte> buffer(std::size_t{64} << 10);
  for (std::size_t i = 0; more && i < most_messages; ++i) {
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    more = got > 0 && take(std::span(buffer).first(static_cast<std::size_t>(got)), peers);
  }
  ::close(fd);
  return peers;
}

}  // namespace coldcase::capture
