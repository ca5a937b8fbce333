#include "lens/zmq/context.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/text.hpp"

namespace coldcase::zmq {
namespace {

// Where things lie, in bytes (x86_64). Measured: Debian's libzmq 4.3.4 and what PyPI's pyzmq
// carries, 4.3.2 (pyzmq 19), 4.3.4 (22) and 4.3.5 (27). In all of them a context's tag is at +136
// and its own mailbox's descriptors are at +408; a socket's tag is where the build's options put it
// (+1088 in 4.3.2, +1248 in PyPI's 4.3.4, +1560 in Debian's, +1624 in 4.3.5), so it is searched
// for, and what follows it is found from there.
constexpr std::uint64_t context_reach = 512;     // ctx_t: the tag lies before
constexpr std::uint64_t context_measured = 136;  // and here, as far as was seen
constexpr std::uint64_t mailbox_reach = 768;     // from the context's tag on
constexpr std::uint64_t mailbox_measured = 272;
constexpr std::uint64_t own_context = 8;     // object_t: vtable, context
constexpr std::uint64_t options_from = 312;  // own_t::options: `type` was at +328 and +332
constexpr std::uint64_t options_reach = 440;
constexpr std::uint64_t socket_tag_from = 512;  // socket_base_t: the tag
constexpr std::uint64_t socket_reach = 4096;
constexpr std::uint64_t endpoint_from = 16;  // from the socket's tag: was at +104 in all
constexpr std::uint64_t endpoint_reach = 256;
constexpr std::uint64_t most_socket_count = 65'536;  // libzmq's own limit is 65,535
constexpr std::uint64_t longest_endpoint = 1024;

// The socket types of zmq.h: the number in `options.type`, the class's name and ours.
struct SocketType {
  std::string_view class_name, name;
};
constexpr std::array types{
    SocketType{"pair_t", "PAIR"},       SocketType{"pub_t", "PUB"},
    SocketType{"sub_t", "SUB"},         SocketType{"req_t", "REQ"},
    SocketType{"rep_t", "REP"},         SocketType{"dealer_t", "DEALER"},
    SocketType{"router_t", "ROUTER"},   SocketType{"pull_t", "PULL"},
    SocketType{"push_t", "PUSH"},       SocketType{"xpub_t", "XPUB"},
    SocketType{"xsub_t", "XSUB"},       SocketType{"stream_t", "STREAM"},
    SocketType{"server_t", "SERVER"},   SocketType{"client_t", "CLIENT"},
    SocketType{"radio_t", "RADIO"},     SocketType{"dish_t", "DISH"},
    SocketType{"gather_t", "GATHER"},   SocketType{"scatter_t", "SCATTER"},
    SocketType{"dgram_t", "DGRAM"},     SocketType{"peer_t", "PEER"},
    SocketType{"channel_t", "CHANNEL"},
};

// "N3zmq6push_tE" -> 8, the number of PUSH.
std::optional<std::size_t> type_of_name(std::string_view mangled) {
  for (std::size_t i = 0; i < types.size(); ++i) {
    const std::string_view name = types[i].class_name;
    if (mangled == "N3zmq" + std::to_string(name.size()) + std::string(name) + "E") return i;
  }
  return std::nullopt;
}

// Through the vtable's type information (Itanium C++ ABI: one word before it, its name at +8).
std::optional<std::size_t> read_type(const View& view, Addr socket) {
  const auto vtable = view.image.read_pointer(socket);
  if (!vtable || view.modules.find(*vtable) == nullptr) return std::nullopt;
  const auto info = view.image.read_pointer(offset_by(*vtable, -8));
  const auto name = info ? view.image.read_pointer(offset_by(*info, 8)) : Read<Addr>(Addr{});
  if (!name || name->value == 0) return std::nullopt;
  const auto text = view.image.read_text(*name, 64);
  return text ? type_of_name(*text) : std::nullopt;
}

// options_t has `int8_t type; int linger; int connect_timeout; int tcp_maxrt; int reconnect_ivl;
// ...`. The type is known; where exactly one place looks like these, that is it.
std::optional<std::int32_t> find_linger(Bytes socket, std::size_t type) {
  constexpr std::int32_t longest = 1'000'000'000;
  std::optional<std::int32_t> found;
  for (std::uint64_t at = options_from; at < options_reach; at += 4) {
    const auto kind = parse_at<std::uint8_t>(socket, at);
    const auto words = parse_at<std::array<std::int32_t, 8>>(socket, at);
    if (!words || *kind != type) continue;
    const auto tame = [&](std::size_t i) { return (*words)[i] >= -1 && (*words)[i] <= longest; };
    const bool shape = tame(1) && tame(2) && tame(3) && tame(4) && tame(5) && tame(6);
    // The type's padding is whatever was there. reconnect_ivl and backlog follow, 100 when nobody
    // set them.
    if (!shape || std::ranges::find(words->begin() + 4, words->end(), 100) == words->end())
      continue;
    if (found) return std::nullopt;
    found = (*words)[1];
  }
  return found;
}

// "tcp://10.0.0.1:5555" -> "tcp port 5555": the host, and any path, stay private.
std::string public_part(std::string_view endpoint) {
  constexpr std::array<std::string_view, 13> schemes{"tcp",  "ipc",  "inproc", "udp",   "ws",
                                                     "wss",  "tipc", "vmci",   "vsock", "hyperv",
                                                     "norm", "pgm",  "epgm"};
  const std::size_t end = endpoint.find("://");
  if (end == std::string_view::npos) return {};
  const auto scheme = std::ranges::find(schemes, endpoint.substr(0, end));
  if (scheme == schemes.end()) return {};
  std::string text(*scheme);
  if (text != "tcp" && text != "udp" && text != "ws" && text != "wss") return text;
  const std::size_t colon = endpoint.rfind(':');
  std::uint16_t port = 0;
  const char* last = endpoint.data() + endpoint.size();
  const auto parsed = std::from_chars(endpoint.data() + colon + 1, last, port);
  if (parsed.ec == std::errc{} && colon > end && port != 0) text += " port " + std::to_string(port);
  return text;
}

// A std::string at `at`: {data, size, ...} or, of the ABI before GCC 5, a pointer behind its size.
std::string read_string(const View& view, Addr at) {
  const auto data = view.image.read_pointer(at);
  if (!data || data->value == 0) return {};
  const auto text_of = [&](std::uint64_t size) {
    if (size == 0 || size > longest_endpoint) return std::string{};
    const Bytes bytes = view.image.view(*data, size);
    return bytes.size() == size
               ? std::string(reinterpret_cast<const char*>(bytes.data()), bytes.size())
               : std::string{};
  };
  const auto size = view.image.read<std::uint64_t>(offset_by(at, 8));
  std::string text = size ? text_of(*size) : std::string{};
  if (text.find("://") != std::string::npos) return text;
  const auto old_size = view.image.read<std::uint64_t>(offset_by(*data, -24));
  return old_size ? text_of(*old_size) : std::string{};
}

std::optional<Socket> read_socket(const View& view, Addr at) {
  const auto type = read_type(view, at);
  if (!type) return std::nullopt;
  Socket socket;
  socket.at = at;
  socket.type = std::string(types[*type].name);
  const Bytes bytes = view.image.view(at, socket_reach);
  for (std::uint64_t i = socket_tag_from; i + 4 <= bytes.size() && socket.tag_value == 0; i += 4) {
    const std::uint32_t word = *parse_at<std::uint32_t>(bytes, i);
    if (word != open_tag && word != closed_tag) continue;
    socket.tag = offset_by(at, static_cast<std::int64_t>(i));
    socket.tag_value = word;
  }
  if (socket.tag_value == 0) return std::nullopt;
  socket.open = socket.tag_value == open_tag;
  socket.linger = find_linger(bytes, *type);
  for (std::uint64_t i = endpoint_from; i < endpoint_reach && socket.endpoint.empty(); i += 8) {
    socket.endpoint =
        public_part(read_string(view, offset_by(socket.tag, static_cast<std::int64_t>(i))));
  }
  return socket;
}

// signaler_t in the mailbox of the terminating thread: `fd_t w, r; pid_t pid`; of an eventfd both
// descriptors are one. Builds without HAVE_FORK (PyPI's 4.3.4) have no pid: these are believed at
// the place where it was measured in all builds.
bool has_signal(const View& view, Addr tag, std::int32_t descriptor) {
  const Bytes bytes = view.image.view(tag, mailbox_reach);
  for (std::uint64_t i = 0; i + 12 <= bytes.size() && descriptor >= 0; i += 4) {
    const auto words = *parse_at<std::array<std::int32_t, 3>>(bytes, i);
    if (words[1] != descriptor) continue;
    if (view.core.process && words[2] == view.core.process->pid) return true;
    if (i == mailbox_measured && words[0] == words[1]) return true;
  }
  return false;
}

// After the tag: the vector of sockets, the vector of empty slots, `bool starting, terminating`.
std::optional<Context> read_context(const View& view, Addr tag, Addr candidate,
                                    std::size_t& budget) {
  const MemoryImage& image = view.image;
  const Addr vector = Addr{(tag.value + 4 + 7) & ~std::uint64_t{7}};
  const auto words = image.read<std::array<std::uint64_t, 7>>(vector);
  if (!words) return std::nullopt;
  const auto [begin, end, capacity, slots, slots_end, slots_capacity, flags] = *words;
  const bool ordered = begin <= end && end <= capacity && slots <= slots_end &&
                       slots_end <= slots_capacity && begin % 8 == 0 && (end - begin) % 8 == 0;
  if (!ordered || (end - begin) / 8 > most_socket_count || (flags & 0xff) > 1) return std::nullopt;
  Context context;
  context.tag = tag;
  context.count = (end - begin) / 8;
  context.terminating = (flags >> 8 & 0xff) == 1;
  const std::uint64_t most = std::min<std::uint64_t>(context.count, most_sockets);
  for (std::uint64_t i = 0; i < most && budget > 0; ++i) {
    --budget;
    const auto at = image.read_pointer(Addr{begin + i * 8});
    if (!at || at->value % 8 != 0) continue;
    const auto owner = image.read_pointer(offset_by(*at, own_context));
    const bool near = owner && *owner < tag && tag.value - owner->value < context_reach;
    if (!near || (context.at.value != 0 && *owner != context.at)) continue;
    auto socket = read_socket(view, *at);
    if (!socket) continue;
    context.at = *owner;
    context.sockets.push_back(std::move(*socket));
  }
  if (!context.sockets.empty()) return context;
  // No socket vouches for it: only an empty one at the place that was measured is believed.
  if (context.count != 0 || tag != offset_by(candidate, context_measured)) return std::nullopt;
  context.at = candidate;
  return context;
}

}  // namespace

std::uint64_t Context::open() const {
  return static_cast<std::uint64_t>(std::ranges::count_if(sockets, &Socket::open));
}

std::optional<Context> find_context(const View& view, Addr candidate, std::int32_t descriptor,
                                    std::size_t& budget) {
  if (candidate.value == 0 || candidate.value % 8 != 0) return std::nullopt;
  const Bytes bytes = view.image.view(candidate, context_reach);
  for (std::uint64_t i = 0; i + 4 <= bytes.size(); i += 4) {
    if (*parse_at<std::uint32_t>(bytes, i) != context_tag || budget == 0) continue;
    --budget;
    auto context =
        read_context(view, offset_by(candidate, static_cast<std::int64_t>(i)), candidate, budget);
    if (!context) continue;
    context->own_signal = has_signal(view, context->tag, descriptor);
    return context;
  }
  return std::nullopt;
}

}  // namespace coldcase::zmq
