#include "lens/glibc/descriptors.hpp"

#include <algorithm>
#include <charconv>

#include "base/text.hpp"
#include "lens/glibc/endpoints.hpp"

namespace coldcase {
namespace {

struct Shown {
  std::string key;  // equal for the same object
  WaitKind kind = WaitKind::unknown;
  std::string label;
  std::optional<ConnectionFact> connection{};
};

std::string_view place_of(AddressScope scope) {
  switch (scope) {
    case AddressScope::loopback:
      return " of this machine";
    case AddressScope::private_network:
      return " in a private network";
    case AddressScope::link_local:
      return " on the local link";
    case AddressScope::public_network:
      return " at a public address";
  }
  return {};
}

// Hosts and paths of sockets are private, unless they were asked for.
ConnectionFact connection_of(const SocketInfo& socket, bool endpoints) {
  ConnectionFact fact;
  const bool listens = socket.state == "LISTEN";
  const bool unix_socket = socket.protocol == "unix";
  fact.protocol = unix_socket ? "unix" : socket.protocol.starts_with("tcp") ? "tcp" : "udp";
  fact.state = clean_text(socket.state, 32);
  if (endpoints) fact.peer = clean_text(listens ? socket.local : socket.remote, 256);
  if (!unix_socket) {
    fact.port = port_of(listens ? socket.local : socket.remote);
    if (!listens) fact.scope = scope_of(socket.remote);
  }
  fact.received_ms = socket.tcp.received_ms;
  fact.sent_ms = socket.tcp.sent_ms;
  fact.received_bytes = socket.tcp.received_bytes;
  fact.sent_bytes = socket.tcp.sent_bytes;
  fact.unread_bytes = socket.tcp.unread_bytes;
  fact.untaken_bytes = socket.tcp.untaken_bytes;
  return fact;
}

std::string label_of_connection(const ConnectionFact& fact) {
  const std::string peer = fact.peer.empty() ? "" : " " + fact.peer;
  if (fact.protocol == "unix") return "a unix socket" + peer;
  const bool listens = fact.state == "LISTEN";
  std::string label = fact.protocol == "tcp" ? "a TCP " : "a UDP ";
  label += listens ? "socket listening" : "socket";
  if (fact.port) label += (listens ? " on port " : " to port ") + std::to_string(*fact.port);
  if (fact.scope) label += place_of(*fact.scope);
  return label + peer;
}

std::string number_of(std::int64_t fd) {
  if (fd == 0) return "standard input";
  return "file descriptor " + std::to_string(fd);
}

Shown show_open_file(const View& view, const OpenFile& file, std::int64_t fd) {
  const std::string number = " (" + number_of(fd) + ")";
  const std::string target = file.target;
  if (inode_of_target(target, "pipe")) return {target, WaitKind::pipe, "a pipe" + number};
  if (const auto inode = inode_of_target(target, "socket")) {
    const SocketInfo* socket = view.side_car->find_socket(*inode);
    if (socket == nullptr) return {target, WaitKind::socket, "a socket" + number, {}};
    const ConnectionFact connection = connection_of(*socket, view.endpoints);
    return {target, WaitKind::socket, label_of_connection(connection) + number, connection};
  }
  const std::string own = "fd:" + std::to_string(view.process.index) + ":" + std::to_string(fd);
  if (target == "anon_inode:[eventpoll]")
    return {own, WaitKind::event_loop, "an epoll set" + number};
  if (target.starts_with("anon_inode:")) {
    const std::string name = clean_text(target.substr(11), 64);
    return {own, WaitKind::unknown, name + number};
  }
  if (target.starts_with("/dev/")) return {own, WaitKind::unknown, clean_text(target, 64) + number};
  return {own, WaitKind::unknown, "file " + clean_text(base_name(target), 128) + number};
}

}  // namespace

std::optional<std::uint64_t> inode_of_target(std::string_view target, std::string_view kind) {
  if (!target.starts_with(kind) || !target.substr(kind.size()).starts_with(":[")) return {};
  std::uint64_t inode = 0;
  const std::string_view digits = target.substr(kind.size() + 2);
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), inode);
  if (error != std::errc{} || end == digits.data()) return std::nullopt;
  return inode;
}

std::string key_of_file_lock(ProcessId process, const OpenFile& file) {
  return "lock:" + std::to_string(process.index) + ":" + std::to_string(file.device) + ":" +
         std::to_string(file.inode);
}

ResourceId resource_of_descriptor(const View& view, Ledger& ledger, std::int64_t fd,
                                  WaitKind hint) {
  const OpenFile* file = view.side_car != nullptr ? view.side_car->find_file(fd) : nullptr;
  Shown shown{"fd:" + std::to_string(view.process.index) + ":" + std::to_string(fd), hint,
              number_of(fd)};
  if (file != nullptr) shown = show_open_file(view, *file, fd);
  if (hint == WaitKind::file_lock) {
    shown.kind = hint;
    if (file != nullptr && file->inode != 0)
      shown.key = key_of_file_lock(view.process, *file);
    else
      shown.key = "lock:" + shown.key;
    shown.label = "the file lock of " + shown.label;
  } else if (file == nullptr && hint == WaitKind::socket) {
    shown.label = "a socket (" + shown.label + ")";
  }
  const ResourceId id = ledger.named_resource(shown.key, shown.kind, "file descriptor");
  ResourceFact& fact = ledger.resource(id);
  if (!fact.label.empty()) return id;
  fact.label = shown.label;
  fact.connection = shown.connection;
  fact.state = LockState::waiting;
  fact.owner_unknown_code = file == nullptr ? "not_in_core" : "no_owner";
  fact.owner_unknown_text = file == nullptr
                                ? "a core does not say what a file descriptor is connected to"
                                : "nobody owns it: somebody at its other end has to act";
  return id;
}

}  // namespace coldcase
