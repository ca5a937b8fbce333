// ZeroMQ contexts in synthetic memory: what is believed, what is refused, and that damaged ones
// cost little. The shapes are this file's own, written from libzmq's sources.
#include "lens/zmq/context.hpp"

#include "support/catch.hpp"
#include "support/core_builder.hpp"

namespace coldcase {
namespace {

using test::Blob;

constexpr std::uint64_t heap = 0x10000, heap_size = 0x40000, library = 0x800000;
constexpr std::uint64_t context_at = heap, vector_at = heap + 0x1000, text_at_ = heap + 0x1800,
                        sockets_at = heap + 0x2000, socket_step = 0x1000;

// A heap with a context at its start, and a library with the vtable and names of a socket type.
struct Memory {
  Blob bytes = Blob(heap_size), code = Blob(0x1000);
  Core core;
  Modules modules;
  MemoryImage image;
  std::uint64_t saved = heap_size;

  explicit Memory(std::uint64_t sockets = 2) {
    put<std::uint32_t>(context_at + 136, 0xabadcafe);
    put(context_at + 144, vector_at);
    put(context_at + 152, vector_at + sockets * 8);
    put(context_at + 160, vector_at + sockets * 8);
    put<std::uint8_t>(context_at + 193, 1);  // terminating
    put<std::int32_t>(context_at + 136 + 272, 7);
    put<std::int32_t>(context_at + 136 + 276, 7);
    put<std::int32_t>(context_at + 136 + 280, 42);
    for (std::uint64_t i = 0; i < std::min<std::uint64_t>(sockets, 32); ++i) add_socket(i);
    test::patch(code, 0x100 - 8, library + 0x200);  // before the vtable: its type information
    test::patch(code, 0x208, library + 0x300);      // the name of the type
    set_name("N3zmq6push_tE");
    core.process = ProcessInfo{};
    core.process->pid = 42;
    Module module;
    module.path = "/usr/lib/libzmq.so.5";
    module.range = {Addr{library}, Addr{library + 0x1000}};
    modules.list.push_back(std::move(module));
  }

  template <class T>
  void put(std::uint64_t at, T value) {
    test::patch(bytes, at - heap, value);
  }
  void set_name(std::string_view name) {
    for (std::size_t i = 0; i < name.size(); ++i) code[0x300 + i] = static_cast<std::byte>(name[i]);
  }
  void add_socket(std::uint64_t i) {
    const std::uint64_t at = sockets_at + i * socket_step;
    put(vector_at + i * 8, at);
    put(at, library + 0x100);
    put(at + 8, context_at);
    put<std::int32_t>(at + 332, 8);    // options: type PUSH,
    put<std::int32_t>(at + 336, -1);   // linger,
    put<std::int32_t>(at + 352, 100);  // and the interval to try again
    put<std::uint32_t>(at + 1560, i == 0 ? 0xbaddecaf : 0xdeadbeef);
    set_endpoint(i, "tcp://10.1.2.3:5555");
  }
  void set_endpoint(std::uint64_t i, std::string_view endpoint) {
    const std::uint64_t at = text_at_ + i * 64;
    for (std::size_t k = 0; k < endpoint.size(); ++k)
      bytes[at - heap + k] = static_cast<std::byte>(endpoint[k]);
    put(sockets_at + i * socket_step + 1664, at);
    put<std::uint64_t>(sockets_at + i * socket_step + 1672, endpoint.size());
  }

  std::optional<zmq::Context> find(std::uint64_t candidate = context_at,
                                   std::int32_t descriptor = 7) {
    std::size_t budget = zmq::most_looks;
    return find(candidate, descriptor, budget);
  }
  std::optional<zmq::Context> find(std::uint64_t candidate, std::int32_t descriptor,
                                   std::size_t& budget) {
    image = MemoryImage(
        {{{Addr{heap}, Addr{heap + heap_size}}, slice(bytes, 0, saved), Source::core, {}},
         {{Addr{library}, Addr{library + 0x1000}}, code, Source::core, {}}});
    const Threads threads{Rules(modules), {}, {}};
    const View view{core, image, modules, threads, ProcessId{0}};
    return zmq::find_context(view, Addr{candidate}, descriptor, budget);
  }
};

TEST_CASE("a context with an open and a closed socket", "[zmq]") {
  Memory memory;
  const auto context = memory.find();
  REQUIRE(context);
  CHECK(context->at == Addr{context_at});
  CHECK(context->count == 2);
  CHECK(context->whole());
  CHECK(context->open() == 1);
  CHECK(context->terminating);
  CHECK(context->own_signal);
  CHECK_FALSE(memory.find(context_at, 9)->own_signal);
}

std::string text_of(const zmq::Socket& socket) {
  return socket.type + (socket.open ? " open " : " closed ") +
         (socket.linger ? std::to_string(*socket.linger) : "unknown") + " " + socket.endpoint;
}

TEST_CASE("type, state, linger and endpoint of a context's sockets", "[zmq]") {
  Memory memory;
  const auto context = memory.find();
  REQUIRE(context);
  REQUIRE(context->sockets.size() == 2);
  CHECK(text_of(context->sockets[0]) == "PUSH open -1 tcp port 5555");  // and not the host
  CHECK(text_of(context->sockets[1]) == "PUSH closed -1 tcp port 5555");
}

TEST_CASE("of an endpoint only the scheme and a port leave the process", "[zmq]") {
  Memory memory;
  const std::vector<std::pair<std::string_view, std::string_view>> told{
      {"ipc:///home/ada/secret.sock", "ipc"},
      {"inproc://private-name", "inproc"},
      {"tcp://[fe80::1]:65535", "tcp port 65535"},
      {"tcp://host:99999", "tcp"},
      {"tcp://*:*", "tcp"},
      {"evil\033[31m://x:1", ""},
      {"no scheme at all", ""}};
  for (const auto& [endpoint, expected] : told) {
    memory.set_endpoint(0, endpoint);
    const auto context = memory.find();
    CHECK((context && context->sockets[0].endpoint == expected));
  }
}

TEST_CASE("addresses that lead to no context", "[zmq]") {
  Memory memory;
  CHECK_FALSE(memory.find(0));
  CHECK_FALSE(memory.find(context_at + 1));
  CHECK_FALSE(memory.find(heap + 0x3f000));
  CHECK_FALSE(memory.find(0xdead0000));
}

TEST_CASE("what only looks like a context is refused", "[zmq]") {
  Memory memory;
  switch (GENERATE(range(0, 5))) {
    case 0:  // sockets of another context
      memory.put(sockets_at + 8, heap + 0x30000);
      memory.put(sockets_at + socket_step + 8, heap + 0x30000);
      break;
    case 1:
      memory.set_name("N3zmq6evil_tE");
      break;
    case 2:  // a vtable outside every module
      memory.put(sockets_at, heap + 0x30000);
      memory.put(sockets_at + socket_step, heap + 0x30000);
      break;
    case 3:  // a vector that ends before it begins
      memory.put(context_at + 152, vector_at - 8);
      break;
    default:  // sockets without a tag
      memory.put<std::uint32_t>(sockets_at + 1560, 0);
      memory.put<std::uint32_t>(sockets_at + socket_step + 1560, 0);
      break;
  }
  CHECK_FALSE(memory.find());
}

TEST_CASE("a socket that cannot be read leaves the others", "[zmq]") {
  Memory memory;
  memory.put<std::uint64_t>(vector_at + 8, 0xdead0000);
  const auto context = memory.find();
  REQUIRE(context);
  CHECK(context->count == 2);
  CHECK(context->sockets.size() == 1);
  CHECK_FALSE(context->whole());
}

TEST_CASE("a linger that two places could hold is not told", "[zmq]") {
  Memory memory;
  memory.put<std::int32_t>(sockets_at + 412, 8);
  memory.put<std::int32_t>(sockets_at + 432, 100);
  CHECK(memory.find()->sockets[0].linger == std::nullopt);
}

TEST_CASE("a heap cut at every word", "[zmq][hostile]") {
  Memory memory;
  for (std::uint64_t size = 0; size < heap_size; size += size < 0x3000 ? 4 : 512) {
    memory.saved = size;
    const auto context = memory.find();
    if (context) CHECK(context->sockets.size() <= 2);
  }
}

TEST_CASE("a vector of sockets longer than libzmq allows", "[zmq][hostile]") {
  Memory memory;
  memory.put<std::uint64_t>(context_at + 152, vector_at + (std::uint64_t{1} << 40));
  memory.put<std::uint64_t>(context_at + 160, vector_at + (std::uint64_t{1} << 40));
  CHECK_FALSE(memory.find());
}

TEST_CASE("a vector of sockets as long as libzmq allows", "[zmq][hostile]") {
  Memory memory;
  memory.put(context_at + 152, vector_at + 60'000 * 8);
  memory.put(context_at + 160, vector_at + 60'000 * 8);
  const auto context = memory.find();
  REQUIRE(context);
  CHECK(context->count == 60'000);
  CHECK(context->sockets.size() <= zmq::most_sockets);
}

TEST_CASE("nothing but tags: the budget ends it", "[zmq][hostile]") {
  Memory memory;
  for (std::uint64_t at = heap; at < heap + heap_size; at += 4)
    memory.put<std::uint32_t>(at, 0xabadcafe);
  std::size_t budget = 100, found = 0;
  for (std::uint64_t at = heap; at < heap + 0x8000; at += 8)
    found += memory.find(at, 7, budget) ? 1 : 0;
  CHECK(found == 0);
  CHECK(budget == 0);
}

}  // namespace
}  // namespace coldcase
