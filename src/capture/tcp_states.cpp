#include "capture/tcp_states.hpp"

#include <linux/inet_diag.h>
#include <netinet/in.h>
#include <sys/socket.h>

namespace coldcase::capture {
namespace {

constexpr std::size_t most_sockets = std::size_t{1} << 18;

// struct tcp_info, which only ever grew at its end: times in ms since then (2.6), bytes
// (4.1, 4.19).
constexpr std::size_t last_sent_at = 44, last_received_at = 52, received_at = 128, sent_at = 200;

template <class T>
std::optional<std::uint64_t> field(Answer info, std::size_t offset) {
  if (info.size() < offset + sizeof(T)) return std::nullopt;
  return std::uint64_t{read_at<T>(info, offset)};
}

}  // namespace

std::optional<TcpAnswer> parse_tcp_answer(Answer answer) {
  constexpr std::uint8_t listen = 10;  // TCP_LISTEN: its queues count connections
  if (answer.size() < sizeof(inet_diag_msg)) return std::nullopt;
  const auto message = read_at<inet_diag_msg>(answer, 0);
  if (message.idiag_inode == 0) return std::nullopt;
  TcpAnswer found;
  found.inode = message.idiag_inode;
  if (message.idiag_state == listen) return found;
  found.state.unread_bytes = message.idiag_rqueue;
  found.state.untaken_bytes = message.idiag_wqueue;
  each_attribute(answer, sizeof message, [&](unsigned type, Answer info) {
    if (type != INET_DIAG_INFO) return;
    found.state.sent_ms = field<std::uint32_t>(info, last_sent_at);
    found.state.received_ms = field<std::uint32_t>(info, last_received_at);
    found.state.received_bytes = field<std::uint64_t>(info, received_at);
    found.state.sent_bytes = field<std::uint64_t>(info, sent_at);
  });
  return found;
}

std::map<std::uint64_t, TcpState> find_tcp_states() {
  std::map<std::uint64_t, TcpState> states;
  for (const int family : {AF_INET, AF_INET6}) {
    inet_diag_req_v2 request{};
    request.sdiag_family = static_cast<std::uint8_t>(family);
    request.sdiag_protocol = IPPROTO_TCP;
    request.idiag_ext = 1u << (INET_DIAG_INFO - 1);
    request.idiag_states = ~std::uint32_t{0};
    ask_sockets(std::as_bytes(std::span(&request, 1)), [&](Answer answer) {
      const auto found = parse_tcp_answer(answer);
      if (found && states.size() < most_sockets) states.emplace(found->inode, found->state);
    });
  }
  return states;
}

}  // namespace coldcase::capture
