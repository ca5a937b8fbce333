// Which unix sockets are the two ends of one connection: /proc does not tell, the kernel's socket
// diagnosis does (Linux include/uapi/linux/unix_diag.h, UDIAG_SHOW_PEER; it is what `ss -x` asks).
#pragma once

#include <cstdint>
#include <map>

namespace coldcase::capture {

// Inode to the other end's inode, of this program's own network namespace. Empty when the kernel
// does not answer.
std::map<std::uint64_t, std::uint64_t> find_unix_peers();

}  // namespace coldcase::capture
