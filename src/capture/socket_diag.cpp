#include "capture/socket_diag.hpp"

#include <linux/netlink.h>
#include <linux/sock_diag.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <vector>

namespace coldcase::capture {
namespace {

constexpr std::size_t most_messages = std::size_t{1} << 16;
constexpr std::chrono::seconds most_time{5};

bool send_request(int fd, Answer request) {
  nlmsghdr header{};
  std::vector<std::byte> message(sizeof header + request.size());
  header.nlmsg_len = static_cast<std::uint32_t>(message.size());
  header.nlmsg_type = SOCK_DIAG_BY_FAMILY;
  header.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
  std::memcpy(message.data(), &header, sizeof header);
  std::ranges::copy(request, message.begin() + sizeof header);
  return ::send(fd, message.data(), message.size(), 0) == static_cast<ssize_t>(message.size());
}

// False at the end of the answer.
bool take_messages(Answer bytes, const std::function<void(Answer)>& take) {
  while (bytes.size() >= sizeof(nlmsghdr)) {
    const auto header = read_at<nlmsghdr>(bytes, 0);
    if (header.nlmsg_len < sizeof(nlmsghdr) || header.nlmsg_len > bytes.size()) return false;
    if (header.nlmsg_type == NLMSG_DONE || header.nlmsg_type == NLMSG_ERROR) return false;
    if (header.nlmsg_type == SOCK_DIAG_BY_FAMILY)
      take(bytes.subspan(sizeof(nlmsghdr), header.nlmsg_len - sizeof(nlmsghdr)));
    bytes = bytes.subspan(std::min<std::size_t>(NLMSG_ALIGN(header.nlmsg_len), bytes.size()));
  }
  return true;
}

}  // namespace

void ask_sockets(Answer request, const std::function<void(Answer)>& take) {
  const int fd = ::socket(AF_NETLINK, SOCK_DGRAM | SOCK_CLOEXEC, NETLINK_SOCK_DIAG);
  if (fd < 0) return;
  const timeval patience{2, 0};
  ::setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
  const auto end = std::chrono::steady_clock::now() + most_time;
  bool more = send_request(fd, request);
  std::vector<std::byte> buffer(std::size_t{64} << 10);
  for (std::size_t i = 0; more && i < most_messages; ++i) {
    if (std::chrono::steady_clock::now() > end) break;
    const ssize_t got = ::recv(fd, buffer.data(), buffer.size(), 0);
    if (got < 0 && errno == EINTR) continue;
    more = got > 0 && take_messages(std::span(buffer).first(static_cast<std::size_t>(got)), take);
  }
  ::close(fd);
}

void each_attribute(Answer answer, std::size_t fixed,
                    const std::function<void(unsigned, Answer)>& take) {
  std::size_t at = NLMSG_ALIGN(fixed);
  while (at <= answer.size() && answer.size() - at >= sizeof(nlattr)) {
    const auto attribute = read_at<nlattr>(answer, at);
    if (attribute.nla_len < sizeof(nlattr) || attribute.nla_len > answer.size() - at) return;
    take(attribute.nla_type,
         answer.subspan(at + sizeof(nlattr), attribute.nla_len - sizeof(nlattr)));
    at += NLA_ALIGN(attribute.nla_len);
  }
}

}  // namespace coldcase::capture
