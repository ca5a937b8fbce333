#include "lens/glibc/descriptors.hpp"

#include <algorithm>
#include <charconv>

#include "base/text.hpp"

namespace coldcase {
namespace {

struct Shown {
  std::string key;  // equal for the same object
  WaitKind kind = WaitKind::unknown;
  std::string label;
};

// Hosts and paths of sockets are private: protocol and port alone.
std::string port_of(std::string_view endpoint) {
  const auto colon = endpoint.rfind(':');
  const std::string_view port = colon == std::string_view::npos ? "" : endpoint.substr(colon + 1);
  const bool digits = !port.empty() && port.size() <= 5 &&
                      std::ranges::all_of(port, [](char c) { return c >= '0' && c <= '9'; });
  return digits && port != "0" ? std::string(port) : std::string();
}

std::string label_of_socket(const SocketInfo& socket) {
  if (socket.protocol == "unix") return "a unix socket";
  std::string label = socket.protocol.starts_with("tcp") ? "a TCP " : "a UDP ";
  const bool listens = socket.state == "LISTEN";
  label += listens ? "socket listening" : "socket";
  const std::string port = port_of(listens ? socket.local : socket.remote);
  if (!port.empty()) label += (listens ? " on port " : " to port ") + port;
  return label;
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
    const std::string label = socket == nullptr ? "a socket" : label_of_socket(*socket);
    return {target, WaitKind::socket, label + number};
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
  fact.state = LockState::waiting;
  fact.owner_unknown_code = file == nullptr ? "not_in_core" : "no_owner";
  fact.owner_unknown_text = file == nullptr
                                ? "a core does not say what a file descriptor is connected to"
                                : "nobody owns it: somebody at its other end has to act";
  return id;
}

}  // namespace coldcase
