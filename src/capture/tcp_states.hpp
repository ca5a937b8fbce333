// What the kernel knows of TCP connections and /proc does not tell: when data last came in and went
// out (Linux include/uapi/linux/inet_diag.h, INET_DIAG_INFO; struct tcp_info of linux/tcp.h).
#pragma once

#include <cstdint>
#include <map>
#include <optional>

#include "capture/socket_diag.hpp"
#include "sidecar/side_car.hpp"

namespace coldcase::capture {

// By inode, of this program's own network namespace. Empty when the kernel does not answer.
std::map<std::uint64_t, TcpState> find_tcp_states();

// One answer: its inode and state; nothing when it is too short or of no open socket.
struct TcpAnswer {
  std::uint64_t inode = 0;
  TcpState state;
};
std::optional<TcpAnswer> parse_tcp_answer(Answer answer);

}  // namespace coldcase::capture
