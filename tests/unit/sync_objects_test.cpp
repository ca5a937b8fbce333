// The library's synchronisation objects read from dead memory, and what of it is damaged.
#include "lens/cpython/sync_objects.hpp"

#include "lens/cpython/semlocks.hpp"
#include "lens/cpython/sqlite.hpp"
#include "support/catch.hpp"
#include "support/python_heap.hpp"

namespace coldcase::cpython {
namespace {

using test::PythonHeap;

// Instances keep their dict at the offset their type tells.
struct World : PythonHeap {
  using PythonHeap::PythonHeap;
  using Attributes = std::vector<std::pair<std::string_view, std::uint64_t>>;

  std::uint64_t instance(std::string_view type_name, const Attributes& attributes) {
    Items items;
    for (const auto& [name, value] : attributes) items.emplace_back(ascii(name), value);
    const std::uint64_t at = object(type(type_name, 0, 24, 16), 24);
    put(at, 16, dict(keys(items, 1)));
    return at;
  }
  std::uint64_t number(std::int64_t value) {
    if (value == 0) return integer({});
    return integer({static_cast<std::uint32_t>(value < 0 ? -value : value)}, value < 0);
  }

  // _multiprocessing.SemLock: handle 16, last_tid 24, count 32, maxvalue 36, kind 40.
  std::uint64_t semlock(std::uint64_t handle, std::int32_t count, std::int32_t most,
                        std::int32_t kind) {
    const std::uint64_t at = object(type("_multiprocessing.SemLock", 0, 56), 56);
    put(at, 16, handle);
    put(at, 24, std::uint64_t{0x7f01});
    put(at, 32, count);
    put(at, 36, most);
    put(at, 40, kind);
    return at;
  }
  std::uint64_t sem(std::uint32_t value) {
    const std::uint64_t at = room(32);
    put(at, 0, value);
    return at;
  }
  std::uint64_t wrapped(std::string_view name, std::uint64_t handle, std::int32_t most) {
    return instance(name, {{"_semlock", semlock(handle, 0, most, 1)}});
  }
};

TEST_CASE("objects are told by their attributes", "[cpython]") {
  const int minor = GENERATE(6, 10, 11, 13, 15);
  CAPTURE(minor);
  World world(minor);
  const auto barrier = world.instance("threading.Barrier", {{"_cond", world.number(0)},
                                                            {"_parties", world.number(3)},
                                                            {"_count", world.number(2)},
                                                            {"_state", world.number(0)}});
  const auto broken = world.instance("Rendezvous", {{"_cond", world.number(0)},
                                                    {"_parties", world.number(3)},
                                                    {"_count", world.number(0)},
                                                    {"_state", world.number(-2)}});
  const auto bare = world.instance("threading.Barrier", {{"_cond", world.number(0)}});
  const Objects objects = world.objects();
  REQUIRE(sort_of(objects, Addr{barrier}) == Sort::barrier);
  const SyncState state = read_state(objects, Sort::barrier, Addr{barrier});
  CHECK(state.details == "2 of 3 parties have arrived");
  CHECK(state.summary == LockState::waiting);
  CHECK(type_text(objects, Sort::barrier, Addr{broken}) == "Rendezvous (a threading.Barrier)");
  CHECK(read_state(objects, Sort::barrier, Addr{broken}).summary == LockState::broken);
  CHECK(sort_of(objects, Addr{bare}) == Sort::none);
  CHECK(sort_of(objects, Addr{}) == Sort::none);
  CHECK(sort_of(objects, Addr{PythonHeap::base + 0x7ff8}) == Sort::none);
}

TEST_CASE("a SimpleQueue's ring, and numbers that cannot be", "[cpython]") {
  World world(13);
  // has_threads_waiting 16, next 32, items 40, capacity 48, count 56.
  const auto queue = world.object(world.type("_queue.SimpleQueue", 0, 72), 72);
  const auto items = world.room(8 * 8);
  for (int i = 0; i < 8; ++i) world.put(items, i * 8, std::uint64_t(0x100 + i));
  const auto fill = [&](std::uint64_t next, std::uint64_t room, std::uint64_t count) {
    world.put(queue, 32, next);
    world.put(queue, 40, items);
    world.put(queue, 48, room);
    world.put(queue, 56, count);
  };
  fill(6, 8, 3);
  const auto found = queue_items(world.objects(), Sort::simple_queue, Addr{queue}, 10);
  CHECK(found == std::vector{Addr{0x106}, Addr{0x107}, Addr{0x100}});
  CHECK(queue_items(world.objects(), Sort::simple_queue, Addr{queue}, 2).size() == 2);
  fill(6, 0, 3);  // no room at all
  CHECK(queue_items(world.objects(), Sort::simple_queue, Addr{queue}, 10).empty());
  fill(9, 8, 3);  // begins outside
  CHECK(queue_items(world.objects(), Sort::simple_queue, Addr{queue}, 10).empty());
  fill(0, UINT64_MAX, UINT64_MAX);
  CHECK(queue_items(world.objects(), Sort::simple_queue, Addr{queue}, 10).size() <= 10);
}

TEST_CASE("multiprocessing's semaphores and what they are parts of", "[cpython]") {
  const int minor = GENERATE(6, 11, 13, 15);
  CAPTURE(minor);
  World world(minor);
  constexpr std::int32_t no_limit = INT32_MAX;
  const auto wait = world.sem(0), slept = world.sem(3), woken = world.sem(1), lock = world.sem(0),
             flag = world.sem(0);
  const auto condition = world.instance(
      "Condition", {{"_lock", world.wrapped("RLock", lock, 1)},
                    {"_sleeping_count", world.wrapped("Semaphore", slept, no_limit)},
                    {"_woken_count", world.wrapped("Semaphore", woken, no_limit)},
                    {"_wait_semaphore", world.wrapped("Semaphore", wait, no_limit)}});
  const auto event = world.instance(
      "Event", {{"_cond", condition}, {"_flag", world.wrapped("Semaphore", flag, no_limit)}});
  const Objects objects = world.objects();
  const auto signal = find_semlock_part(objects, Addr{event}, Addr{wait});
  REQUIRE(signal);
  CHECK(signal->path == "_cond._wait_semaphore");
  CHECK(use_of_part(signal->path) == PartUse::signal);
  CHECK(semlock_details(objects, Addr{event}, *signal) == "not set");
  const auto of_condition = find_semlock_part(objects, Addr{condition}, Addr{wait});
  REQUIRE(of_condition);
  CHECK(semlock_details(objects, Addr{condition}, *of_condition) == "2 waiters");
  const auto inner = find_semlock_part(objects, Addr{event}, Addr{lock});
  REQUIRE(inner);
  CHECK(use_of_part(inner->path) == PartUse::lock);
  CHECK_FALSE(find_semlock_part(objects, Addr{event}, Addr{wait + 8}));
  CHECK_FALSE(find_semlock_part(objects, Addr{}, Addr{wait}));
}

TEST_CASE("a SemLock that is none", "[cpython]") {
  World world(11);
  const auto sound = world.semlock(0x1000, 1, 1, 0), strange = world.semlock(0x1000, 1, 1, 7);
  const Objects objects = world.objects();
  REQUIRE(read_semlock(objects, Addr{sound}));
  CHECK(type_of_semlock(*read_semlock(objects, Addr{sound})) == "multiprocessing.RLock");
  CHECK_FALSE(read_semlock(objects, Addr{strange}));
  CHECK_FALSE(read_semlock(objects, Addr{PythonHeap::base + 0x7ff0}));
}

TEST_CASE("a search through objects that refer to themselves ends", "[cpython]") {
  World world(11);
  const auto name = world.ascii("_next");
  const auto type = world.type("Node", 0, 24, 16);
  const auto node = world.object(type, 24);
  world.put(node, 16, world.dict(world.keys({{name, node}, {world.ascii("_other"), node}}, 1)));
  CHECK_FALSE(find_semlock_part(world.objects(), Addr{node}, Addr{0x1234}));
}

// sqlite3: aDb 32, nDb 40; Db: pBt 8; Btree: db 0, pBt 8; BtShared: pPager 0, inTransaction 36,
// max1bytePayload 37; Pager: zFilename and zJournal anywhere.
struct Sqlite : World {
  std::uint64_t connection, handle, tree, shared, pager;

  Sqlite() : World(11) {
    connection = object(type("sqlite3.Connection", 0, 64), 64);
    handle = room(64), tree = room(32), shared = room(64), pager = room(640);
    const std::uint64_t databases = room(64);
    const std::uint64_t names = raw("/srv/orders.db");
    const std::uint64_t journal = raw("/srv/orders.db-journal");
    put(connection, 16, handle);
    put(handle, 32, databases);
    put(handle, 40, std::int32_t{2});
    put(databases, 8, tree);
    put(tree, 0, handle);
    put(tree, 8, shared);
    put(shared, 0, pager);
    put(shared, 36, std::uint8_t{2});
    put(shared, 37, std::uint8_t{127});
    put(pager, 184, names);
    put(pager, 192, journal);
  }
};

TEST_CASE("the file behind an SQLite connection", "[cpython]") {
  Sqlite sqlite;
  const auto found = read_database(sqlite.objects(), Addr{sqlite.connection});
  REQUIRE(found);
  CHECK(found->file == "/srv/orders.db");
  CHECK(found->writes);
  CHECK(found->attached == 0);

  SECTION("of another connection's tree nothing is believed") {
    sqlite.put(sqlite.tree, 0, std::uint64_t{sqlite.handle + 8});
  }
  SECTION("a count that cannot be") {
    sqlite.put(sqlite.handle, 40, std::int32_t{-5});
  }
  SECTION("no journal beside it") {
    sqlite.put(sqlite.pager, 192, std::uint64_t{0});
  }
  SECTION("a pager outside of memory") {
    sqlite.put(sqlite.shared, 0, ~std::uint64_t{0} - 64);
  }
  const auto damaged = read_database(sqlite.objects(), Addr{sqlite.connection});
  REQUIRE(damaged);
  CHECK(damaged->file.empty());
  CHECK_FALSE(damaged->writes);
}

TEST_CASE("a state that SQLite does not have is no write transaction", "[cpython]") {
  Sqlite sqlite;
  sqlite.put(sqlite.shared, 37, std::uint8_t{200});
  CHECK_FALSE(read_database(sqlite.objects(), Addr{sqlite.connection})->writes);
}

}  // namespace
}  // namespace coldcase::cpython
