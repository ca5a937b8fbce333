#include "capture/unix_peers.hpp"

#include <linux/unix_diag.h>
#include <sys/socket.h>

#include "capture/socket_diag.hpp"

namespace coldcase::capture {

std::map<std::uint64_t, std::uint64_t> find_unix_peers() {
  std::map<std::uint64_t, std::uint64_t> peers;
  unix_diag_req request{};
  request.sdiag_family = AF_UNIX;
  request.udiag_states = ~std::uint32_t{0};
  request.udiag_show = UDIAG_SHOW_PEER;
  ask_sockets(std::as_bytes(std::span(&request, 1)), [&](Answer answer) {
    const std::uint64_t inode = read_at<unix_diag_msg>(answer, 0).udiag_ino;
    each_attribute(answer, sizeof(unix_diag_msg), [&](unsigned type, Answer content) {
      const auto peer = read_at<std::uint32_t>(content, 0);
      if (type == UNIX_DIAG_PEER && peer != 0) peers[inode] = peer;
    });
  });
  return peers;
}

}  // namespace coldcase::capture
