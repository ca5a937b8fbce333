// libzmq's objects in dead memory: a context (zmq::ctx_t) with its sockets (zmq::socket_base_t).
// Found by their tags and held against each other: every socket points back to its context, and its
// type is the name in its vtable's type information. Nothing private leaves this file: of an
// endpoint the scheme and, for TCP, the port.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "lens/view.hpp"

namespace coldcase::zmq {

struct Socket {
  Addr at;
  std::string type;   // "PUSH"
  bool open = false;  // the program has not closed it
  std::optional<std::int32_t>
      linger;            // milliseconds a closed one may go on sending; -1 without end
  std::string endpoint;  // the last one: "tcp port 5555", "ipc", "inproc"; may be empty
  Addr tag;
  std::uint32_t tag_value = 0;
};

struct Context {
  Addr at;
  Addr tag;
  std::uint64_t count = 0;      // sockets that are not gone yet
  std::vector<Socket> sockets;  // those of them that were read: at most most_sockets
  bool terminating = false;
  bool own_signal = false;  // the descriptor asked about is that of its own mailbox

  std::uint64_t open() const;
  bool whole() const { return count == sockets.size(); }  // every socket was read
};

inline constexpr std::uint32_t context_tag = 0xabadcafe, open_tag = 0xbaddecaf,
                               closed_tag = 0xdeadbeef;
inline constexpr std::size_t most_sockets = 256;

// The context that `candidate` points to; nothing when that is none. `descriptor` is what the
// thread polls, or -1. What a damaged core can cost is bounded over all calls: `budget` counts down
// with every tag and every socket that is looked at.
inline constexpr std::size_t most_looks = 65'536;
std::optional<Context> find_context(const View& view, Addr candidate, std::int32_t descriptor,
                                    std::size_t& budget);

}  // namespace coldcase::zmq
