#include "capture/proc_text.hpp"

#include <sys/sysmacros.h>

#include <array>
#include <charconv>

namespace coldcase::capture {
namespace {

// Walks over the words of a text.
class Words {
 public:
  explicit Words(std::string_view text) : rest_(text) {}
  std::string_view next() {
    const auto begin = rest_.find_first_not_of(" \t");
    if (begin == std::string_view::npos) {
      rest_ = {};
      return {};
    }
    rest_.remove_prefix(begin);
    const std::string_view word = rest_.substr(0, rest_.find_first_of(" \t"));
    rest_.remove_prefix(word.size());
    return word;
  }
  // What follows the blanks, to the end.
  std::string_view rest() const {
    const auto begin = rest_.find_first_not_of(" \t");
    return begin == std::string_view::npos ? std::string_view{} : rest_.substr(begin);
  }
  void skip(int count) {
    for (int i = 0; i < count; ++i) next();
  }

 private:
  std::string_view rest_;
};

template <class T>
std::optional<T> number(std::string_view text, int base = 10) {
  T value{};
  const char* end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, value, base);
  if (text.empty() || error != std::errc{} || at != end) return std::nullopt;
  return value;
}

template <class Visit>
void each_line(std::string_view text, const Visit& visit) {
  while (!text.empty()) {
    const auto end = text.find('\n');
    visit(text.substr(0, end));
    text.remove_prefix(end == std::string_view::npos ? text.size() : end + 1);
  }
}

// "08:01", hexadecimal.
std::optional<std::uint64_t> device(std::string_view text) {
  const auto colon = text.find(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const auto major = number<unsigned>(text.substr(0, colon), 16);
  const auto minor = number<unsigned>(text.substr(colon + 1), 16);
  if (!major || !minor) return std::nullopt;
  return makedev(*major, *minor);
}

// maps writes a newline in a path as \012 (seq_path's escapes), and nothing else so.
std::string unescape_newlines(std::string_view path) {
  std::string plain;
  while (!path.empty()) {
    const bool newline = path.starts_with("\\012");
    plain += newline ? '\n' : path.front();
    path.remove_prefix(newline ? 4 : 1);
  }
  return plain;
}

std::optional<MappedFile> parse_mapping(std::string_view line) {
  Words words(line);
  const std::string_view range = words.next();
  const auto dash = range.find('-');
  if (dash == std::string_view::npos) return std::nullopt;
  const auto begin = number<std::uint64_t>(range.substr(0, dash), 16);
  const auto end = number<std::uint64_t>(range.substr(dash + 1), 16);
  const std::string_view permissions = words.next();
  const auto offset = number<std::uint64_t>(words.next(), 16);
  const auto dev = device(words.next());
  const auto inode = number<std::uint64_t>(words.next());
  if (!begin || !end || *end <= *begin || !offset || !dev || !inode || permissions.size() < 4)
    return std::nullopt;
  MappedFile mapping;
  mapping.range = {Addr{*begin}, Addr{*end}};
  mapping.offset = *offset;
  mapping.device = *dev;
  mapping.inode = *inode;
  mapping.shared = permissions[3] == 's';
  mapping.path = unescape_newlines(words.rest());
  if (mapping.inode == 0 && !mapping.shared) return std::nullopt;  // anonymous, [heap], [vdso]
  return mapping;
}

// "1: -> POSIX  ADVISORY  WRITE 812 08:01:1534 0 EOF"; the arrow stands for a waiter.
std::optional<FileLock> parse_lock(std::string_view line) {
  Words words(line);
  std::string_view id = words.next();
  if (!id.ends_with(':')) return std::nullopt;
  id.remove_suffix(1);
  FileLock lock;
  std::string_view kind = words.next();
  while (kind == "->") {  // one arrow for each level of waiting, since Linux 5.0
    lock.waiting = true;
    kind = words.next();
  }
  lock.kind = kind == "FLOCK" ? "flock" : kind == "POSIX" ? "posix" : kind == "OFDLCK" ? "ofd" : "";
  if (lock.kind.empty()) return std::nullopt;  // LEASE, DELEG
  words.next();                                // ADVISORY
  lock.write = words.next() == "WRITE";
  const auto ordinal = number<std::int64_t>(id);
  const auto pid = number<std::int64_t>(words.next());
  const std::string_view file = words.next();
  const auto last = file.rfind(':');
  if (last == std::string_view::npos) return std::nullopt;
  const auto dev = device(file.substr(0, last));
  const auto inode = number<std::uint64_t>(file.substr(last + 1));
  const auto start = number<std::uint64_t>(words.next());
  const std::string_view end = words.next();
  if (!ordinal || !pid || !dev || !inode || !start || end.empty()) return std::nullopt;
  lock.id = *ordinal;
  lock.pid = *pid;
  lock.device = *dev;
  lock.inode = *inode;
  lock.start = *start;
  if (end != "EOF") lock.end = number<std::uint64_t>(end);
  return lock;
}

// An address of /proc/net/tcp is 32-bit words as the machine holds them.
std::string endpoint(std::string_view text) {
  const auto colon = text.find(':');
  if (colon != 8 && colon != 32) return {};
  const auto port = number<unsigned>(text.substr(colon + 1), 16);
  std::array<unsigned, 16> bytes{};
  for (std::size_t i = 0; i < colon / 8; ++i) {
    const auto part = number<std::uint32_t>(text.substr(i * 8, 8), 16);
    if (!part) return {};
    for (std::size_t k = 0; k < 4; ++k) bytes[i * 4 + k] = (*part >> (8 * k)) & 0xff;
  }
  if (!port) return {};
  std::string result;
  if (colon == 8) {
    for (std::size_t i = 0; i < 4; ++i) result += (i ? "." : "") + std::to_string(bytes[i]);
  } else {
    constexpr char digits[] = "0123456789abcdef";
    result = "[";
    for (std::size_t i = 0; i < 16; ++i) {
      if (i != 0 && i % 2 == 0) result += ':';
      result += digits[bytes[i] >> 4];
      result += digits[bytes[i] & 15];
    }
    result += "]";
  }
  return result + ":" + std::to_string(*port);
}

std::string state_name(unsigned state) {
  // Linux include/net/tcp_states.h; udp uses 1 and 7.
  static constexpr std::array<std::string_view, 13> names{
      "",      "ESTABLISHED", "SYN_SENT", "SYN_RECV", "FIN_WAIT1", "FIN_WAIT2",   "TIME_WAIT",
      "CLOSE", "CLOSE_WAIT",  "LAST_ACK", "LISTEN",   "CLOSING",   "NEW_SYN_RECV"};
  return std::string(state < names.size() ? names[state] : "");
}

}  // namespace

std::optional<Stat> parse_stat(std::string_view text) {
  const auto open = text.find('(');
  const auto close = text.rfind(')');
  if (open == std::string_view::npos || close == std::string_view::npos || close < open || open < 2)
    return std::nullopt;
  Stat stat;
  const auto pid = number<std::int64_t>(text.substr(0, open - 1));
  stat.name = text.substr(open + 1, close - open - 1);
  std::string_view tail = text.substr(close + 1);
  if (tail.ends_with('\n')) tail.remove_suffix(1);
  Words words(tail);
  const std::string_view state = words.next();  // field 3
  const auto ppid = number<std::int64_t>(words.next());
  words.skip(4);                                           // 5 pgrp to 8 tpgid
  const auto flags = number<std::uint64_t>(words.next());  // 9
  words.skip(4);                                           // 10 minflt to 13 cmajflt
  const auto user = number<std::uint64_t>(words.next());   // 14
  const auto system = number<std::uint64_t>(words.next());
  words.skip(6);                                           // 16 cutime to 21 itrealvalue
  const auto start = number<std::uint64_t>(words.next());  // 22
  words.skip(29);                                          // 23 vsize to 51 env_end
  const auto status = number<std::int32_t>(words.next());  // 52
  if (!pid || state.size() != 1 || !ppid || !flags || !user || !system || !start)
    return std::nullopt;
  stat.pid = *pid;
  stat.ppid = *ppid;
  stat.state = state[0];
  stat.flags = *flags;
  stat.user_ticks = *user;
  stat.system_ticks = *system;
  stat.start = *start;
  stat.exit_status = status;
  return stat;
}

Status parse_status(std::string_view text) {
  Status status;
  each_line(text, [&](std::string_view line) {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return;
    const std::string_view key = line.substr(0, colon);
    Words words(line.substr(colon + 1));
    if (key == "Name") status.name = words.rest();
    if (key == "State") status.state = words.next();
    if (key == "Tgid") status.tgid = number<std::int64_t>(words.next()).value_or(0);
    if (key == "TracerPid") status.tracer = number<std::int64_t>(words.next()).value_or(0);
    if (key == "Uid") status.uid = number<std::int64_t>(words.next()).value_or(-1);
    if (key == "CapEff") status.capabilities = number<std::uint64_t>(words.next(), 16).value_or(0);
    if (key != "NSpid") return;
    words.next();  // ours
    for (auto word = words.next(); !word.empty(); word = words.next())
      status.inner_pid = number<std::int64_t>(word).value_or(0);
  });
  return status;
}

std::vector<MappedFile> parse_maps(std::string_view text) {
  std::vector<MappedFile> mappings;
  each_line(text, [&](std::string_view line) {
    if (auto mapping = parse_mapping(line)) mappings.push_back(std::move(*mapping));
  });
  return mappings;
}

KernelFile parse_fdinfo(std::string_view text, OpenFile& file) {
  KernelFile kernel;
  each_line(text, [&](std::string_view line) {
    const auto colon = line.find(':');
    if (colon == std::string_view::npos) return;
    const std::string_view key = line.substr(0, colon);
    Words words(line.substr(colon + 1));
    if (key == "pos") file.position = number<std::int64_t>(words.next());
    if (key == "flags") file.flags = number<std::uint64_t>(words.next(), 8).value_or(0);
    if (key == "eventfd-count") file.eventfd = number<std::uint64_t>(words.next(), 16);
    if (key == "Pid") file.child = number<std::int64_t>(words.next());
    if (key == "mnt_id") kernel.mount = number<std::int64_t>(words.next()).value_or(0);
    if (key == "ino") kernel.inode = number<std::uint64_t>(words.next()).value_or(0);
    if (key != "tfd") return;
    if (const auto fd = number<std::int32_t>(words.next())) file.polls.push_back(*fd);
  });
  return kernel;
}

// "36 35 98:0 /mnt1 /mnt2 rw,noatime - ext3 /dev/root rw": the device is decimal here.
std::map<std::int64_t, std::uint64_t> parse_mountinfo(std::string_view text) {
  std::map<std::int64_t, std::uint64_t> mounts;
  each_line(text, [&](std::string_view line) {
    Words words(line);
    const auto id = number<std::int64_t>(words.next());
    words.next();  // parent
    const std::string_view pair = words.next();
    const auto colon = pair.find(':');
    if (!id || colon == std::string_view::npos) return;
    const auto major = number<unsigned>(pair.substr(0, colon));
    const auto minor = number<unsigned>(pair.substr(colon + 1));
    if (major && minor) mounts[*id] = makedev(*major, *minor);
  });
  return mounts;
}

std::vector<FileLock> parse_locks(std::string_view text) {
  std::vector<FileLock> locks;
  each_line(text, [&](std::string_view line) {
    if (auto lock = parse_lock(line)) locks.push_back(std::move(*lock));
  });
  return locks;
}

// "Num RefCount Protocol Flags Type St Inode Path"; __SO_ACCEPTCON is 0x10000.
std::vector<SocketInfo> parse_net_unix(std::string_view text) {
  std::vector<SocketInfo> sockets;
  each_line(text, [&](std::string_view line) {
    Words words(line);
    words.skip(3);
    const auto flags = number<std::uint64_t>(words.next(), 16);
    words.next();
    const auto state = number<unsigned>(words.next(), 16);
    const auto inode = number<std::uint64_t>(words.next());
    if (!flags || !state || !inode) return;
    static constexpr std::array<std::string_view, 5> states{"", "UNCONNECTED", "CONNECTING",
                                                            "CONNECTED", "DISCONNECTING"};
    SocketInfo socket;
    socket.protocol = "unix";
    socket.inode = *inode;
    socket.local = words.rest();
    socket.state = (*flags & 0x10000) != 0  ? "LISTEN"
                   : *state < states.size() ? std::string(states[*state])
                                            : "";
    sockets.push_back(std::move(socket));
  });
  return sockets;
}

std::vector<SocketInfo> parse_net_inet(std::string_view text, std::string_view protocol) {
  std::vector<SocketInfo> sockets;
  each_line(text, [&](std::string_view line) {
    Words words(line);
    words.next();
    SocketInfo socket;
    socket.protocol = protocol;
    socket.local = endpoint(words.next());
    socket.remote = endpoint(words.next());
    const auto state = number<unsigned>(words.next(), 16);
    words.skip(5);  // tx_queue:rx_queue, tr:when, retrnsmt, uid, timeout
    const auto inode = number<std::uint64_t>(words.next());
    if (socket.local.empty() || !state || !inode || *inode == 0) return;
    socket.inode = *inode;
    socket.state = state_name(*state);
    sockets.push_back(std::move(socket));
  });
  return sockets;
}

std::string plain_endpoint(const std::string& endpoint) {
  constexpr std::string_view mapped = "[0000:0000:0000:0000:0000:ffff:";
  constexpr std::size_t groups = 9;  // "7f00:0001"
  if (!endpoint.starts_with(mapped) || endpoint.size() < mapped.size() + groups + 2)
    return endpoint;
  const std::string_view rest(endpoint.data() + mapped.size(), endpoint.size() - mapped.size());
  const auto high = number<std::uint32_t>(rest.substr(0, 4), 16);
  const auto low = number<std::uint32_t>(rest.substr(5, 4), 16);
  if (!high || !low || rest[groups] != ']') return endpoint;
  return std::to_string(*high >> 8) + "." + std::to_string(*high & 255) + "." +
         std::to_string(*low >> 8) + "." + std::to_string(*low & 255) +
         std::string(rest.substr(groups + 1));
}

std::vector<std::int64_t> parse_numbers(std::string_view text) {
  std::vector<std::int64_t> numbers;
  each_line(text, [&](std::string_view line) {
    Words words(line);
    for (auto word = words.next(); !word.empty(); word = words.next()) {
      if (const auto value = number<std::int64_t>(word)) numbers.push_back(*value);
    }
  });
  return numbers;
}

}  // namespace coldcase::capture
