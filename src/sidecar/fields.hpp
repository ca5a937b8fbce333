// The fields of a side-car's rows, listed once: writer and reader are both visitors of these.
// whole: an integer; known: one whose 0 is "unknown" and not written; fact: 64 bits, as hexadecimal
// text; word: the same, 0 is "unknown"; text, flag, wholes (a list), digest (16 hexadecimal
// digits): not written when empty, false.
#pragma once

#include "sidecar/side_car.hpp"

namespace coldcase::sidecar {

inline constexpr std::int64_t largest =
    (std::int64_t{1} << 53) - 1;  // what every JSON reader holds

template <class Io>
void describe(Io& io, TaskInfo& task) {
  io.whole("tid", task.tid);
  io.known("inner_tid", task.inner_tid);
  io.text("name", task.name);
  io.text("state", task.state);
  io.text("wchan", task.wchan);
  io.maybe_count("cpu_ms", task.cpu_ms);
  io.maybe_count("cpu_system_ms", task.cpu_system_ms);
  io.maybe_count("age_ms", task.age_ms);
}

template <class Io>
void describe(Io& io, OpenFile& file) {
  io.whole("fd", file.fd);
  io.text("target", file.target);
  io.word("device", file.device);
  io.word("inode", file.inode);
  io.fact("flags", file.flags);
  io.maybe_whole("position", file.position);
  io.wholes("polls", file.polls);
  io.maybe_word("eventfd", file.eventfd);
  io.maybe_whole("child", file.child);
}

template <class Io>
void describe(Io& io, SocketInfo& socket) {
  io.word("inode", socket.inode);
  io.text("protocol", socket.protocol);
  io.text("local", socket.local);
  io.text("remote", socket.remote);
  io.text("state", socket.state);
  io.word("peer", socket.peer);
  io.known("peer_pid", socket.peer_pid);
  io.text("peer_name", socket.peer_name);
  io.maybe_count("received_ms", socket.tcp.received_ms);
  io.maybe_count("sent_ms", socket.tcp.sent_ms);
  io.maybe_count("received_bytes", socket.tcp.received_bytes);
  io.maybe_count("sent_bytes", socket.tcp.sent_bytes);
  io.maybe_count("unread_bytes", socket.tcp.unread_bytes);
  io.maybe_count("untaken_bytes", socket.tcp.untaken_bytes);
}

template <class Io>
void describe(Io& io, MappedFile& mapping) {
  io.fact("begin", mapping.range.begin.value);
  io.fact("end", mapping.range.end.value);
  io.fact("offset", mapping.offset);
  io.word("device", mapping.device);
  io.word("inode", mapping.inode);
  io.flag("shared", mapping.shared);
  io.text("path", mapping.path);
}

template <class Io>
void describe(Io& io, FileLock& lock) {
  io.whole("id", lock.id);
  io.text("kind", lock.kind);
  io.flag("write", lock.write);
  io.flag("waiting", lock.waiting);
  io.whole("pid", lock.pid);
  io.word("device", lock.device);
  io.word("inode", lock.inode);
  io.fact("start", lock.start);
  io.maybe_word("end", lock.end);
}

// A child that has ended and was not waited for.
struct Zombie {
  std::int64_t pid = 0;
  std::optional<std::int64_t> status;
};

template <class Io>
void describe(Io& io, Zombie& zombie) {
  io.whole("pid", zombie.pid);
  io.maybe_whole("status", zombie.status);
}

// The object "namespaces".
struct Namespaces {
  SideCar& side_car;
};

template <class Io>
void describe(Io& io, Namespaces& spaces) {
  io.digest("mnt", spaces.side_car.mount_space);
  io.digest("pid", spaces.side_car.pid_space);
  io.digest("ipc", spaces.side_car.ipc_space);
  io.digest("net", spaces.side_car.net_space);
}

// The object "process"; its zombies are a list of their own.
template <class Io>
void describe(Io& io, SideCar& side_car) {
  io.whole("pid", side_car.pid);
  io.whole("ppid", side_car.ppid);
  io.known("inner_pid", side_car.inner_pid);
  io.text("name", side_car.name);
  io.text("executable", side_car.executable);
  io.wholes("children", side_car.children);
}

}  // namespace coldcase::sidecar
