// CPython's tables and objects, written out by hand for the versions whose shapes differ, and
// counts that a damaged core might hold.
#include "lens/cpython/code.hpp"

#include <map>

#include "support/catch.hpp"
#include "support/core_builder.hpp"
#include "support/python_heap.hpp"

namespace coldcase::cpython {
namespace {

using namespace test;
using Heap = test::PythonHeap;

std::vector<std::byte> table_of(std::initializer_list<int> bytes) {
  std::vector<std::byte> table;
  for (const int byte : bytes) table.push_back(static_cast<std::byte>(byte & 0xff));
  return table;
}

Code code_with_lines(std::int32_t first_line, std::initializer_list<int> bytes) {
  Code code;
  code.first_line = first_line;
  code.line_table = table_of(bytes);
  return code;
}

std::vector<std::uint32_t> lines(int minor, const Code& code,
                                 std::initializer_list<std::int64_t> offsets) {
  std::vector<std::uint32_t> found;
  for (const std::int64_t at : offsets) found.push_back(line_at(*find_layout(minor), code, at));
  return found;
}

using Lines = std::vector<std::uint32_t>;

// ---- line tables

// Objects/lnotab_notes.txt: pairs of address and line increments, lines counted from
// co_firstlineno.
TEST_CASE("lines to 3.9", "[cpython]") {
  const int minor = GENERATE(6, 7, 8, 9);
  const Code code = code_with_lines(10, {6, 1,      // from byte 6 on: line 11
                                         44, 5,     // from 50: 16
                                         8, -2,     // from 58: 14, back up
                                         255, 0,    // more than a byte of code:
                                         5, 3,      // from 318: 17
                                         4, 127,    // more than a byte of lines:
                                         0, 100});  // from 322: 17 + 227
  CHECK(lines(minor, code, {0, 5, 6, 48, 50, 56, 58, 316, 318, 320, 322, 5000}) ==
        Lines{10, 10, 11, 11, 16, 16, 14, 14, 17, 17, 244, 244});
  CHECK(lines(minor, code_with_lines(3, {}), {0, 100}) == Lines{3, 3});
}

// 3.10, PEP 626: pairs of a range's length and its line's increment; -128: no line.
TEST_CASE("lines in 3.10", "[cpython]") {
  const Code code = code_with_lines(10, {6, 0,       // bytes 0-5: line 10
                                         4, 3,       // 6-9: 13
                                         2, -128,    // 10-11: none; the next counts from 13
                                         6, -2,      // 12-17: 11
                                         0, 100,     // no bytes: an increment that did not fit
                                         254, 100,   // 18-271: 211
                                         2, -127});  // 272-273: 84
  CHECK(lines(10, code, {0, 4, 6, 8, 10, 12, 16, 18, 270, 272}) ==
        Lines{10, 10, 13, 13, 0, 11, 11, 211, 211, 84});
  CHECK(lines(10, code, {274, 5000}) == Lines{0, 0});
  CHECK(lines(10, code_with_lines(3, {}), {0}) == Lines{0});
}

// 3.11 on, Objects/locations.md: a byte 1kkkklll - kind k, length l + 1 code units - and what the
// kind needs.
constexpr int entry(int kind, int units) {
  return 0x80 | kind << 3 | (units - 1);
}

TEST_CASE("lines from 3.11 on", "[cpython]") {
  const int minor = GENERATE(11, 12, 13, 14, 15);
  const Code code = code_with_lines(
      20, {entry(15, 1),                       // bytes 0-1: no location at all
           entry(0, 2),  0x12,                 // 2-5: short form, same line 20
           entry(11, 1), 4,    9,              // 6-7: one line form, 21
           entry(12, 3), 0,    3,              // 8-13: two lines on, 23
           entry(10, 1), 0,    1,              // 14-15: the same line 23
           entry(13, 1), 0x0b,                 // 16-17: no columns; 0xb = -5: 18
           entry(14, 8), 0x42, 0x03, 1, 5, 9,  // 18-33: long form, 0x42 0x03 = 194 = +97: 115
           entry(9, 1),  0});                  // 34-35: short form again, 115
  CHECK(lines(minor, code, {0, 2, 4, 6, 8, 12, 14, 16, 18, 32, 34}) ==
        Lines{0, 20, 20, 21, 23, 23, 23, 18, 115, 115, 115});
  CHECK(lines(minor, code, {36, 5000}) == Lines{0, 0});
}

TEST_CASE("before the first instruction a frame is at its first line", "[cpython]") {
  const int minor = GENERATE(6, 8, 10, 11, 13, 15);
  CHECK(lines(minor, code_with_lines(42, {2, 1}), {-1, -2}) == Lines{42, 42});
  CHECK(lines(minor, code_with_lines(-1, {2, 1}), {-1}) == Lines{0});
}

TEST_CASE("a line outside of what a file can have is no line", "[cpython]") {
  CHECK(lines(9, code_with_lines(5, {0, -100}), {0}) == Lines{0});
  CHECK(lines(10, code_with_lines(5, {4, -100}), {0}) == Lines{0});
  CHECK(lines(12, code_with_lines(5, {entry(13, 1), 0x40 | 41, 3}), {0}) == Lines{0});  // -116
  CHECK(lines(9, code_with_lines(INT32_MAX, {0, 1}), {0}) == Lines{0});
}

TEST_CASE("a cut table ends quietly", "[cpython]") {
  const std::vector<std::byte> whole =
      code_with_lines(1, {entry(14, 8), 0x42, 0x03, 1, 0x45, 0x09, entry(11, 8), 1, 2, entry(13, 8),
                          0x7f, 0x7f, 0x7f, 0x01})
          .line_table;
  for (int minor = 6; minor <= 15; ++minor) {
    for (std::size_t size = 0; size <= whole.size(); ++size) {
      Code code;
      code.first_line = 1;
      code.line_table.assign(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
      for (const std::int64_t at : {std::int64_t{0}, std::int64_t{20}, INT64_MAX})
        (void)line_at(*find_layout(minor), code, at);
    }
  }
  CHECK(lines(12, code_with_lines(1, {entry(13, 1)}), {0}) == Lines{1});  // its number is missing
}

// Forty entries, each of almost 2^59 lines: the sum leaves 64 bits. Hidden, as the sanitizer ends
// the run of all tests.
TEST_CASE("line increments beyond any sum", "[cpython]") {
  std::vector<std::byte> table;
  for (int i = 0; i < 40; ++i) {
    const std::vector<std::byte> one =
        table_of({entry(13, 8), 0x7e, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x7f, 0x3f});
    table.insert(table.end(), one.begin(), one.end());
  }
  Code code;
  code.line_table = table;
  CHECK(line_at(*find_layout(12), code, 5000) == 0);
}

// ---- exception tables

// Objects/exception_handling_notes.txt: start, length, target in code units, then depth * 2 +
// lasti, each in groups of six bits, highest first, 64 in all but the last; 128 marks an entry's
// start.
TEST_CASE("the handler that covers an instruction", "[cpython]") {
  Code code;
  code.exception_table =
      table_of({0x80 | 3, 5, 20, 2 << 1,                // units 3-7: to 20, depth 2
                0x80 | 8, 1, 30, 3 << 1 | 1,            // 8: to 30, depth 3, lasti
                0x80 | 0x40 | 1, 36, 4, 0x42, 10, 0});  // 100-103: to 138, depth 0
  CHECK_FALSE(find_handler(code, 0));
  CHECK_FALSE(find_handler(code, 5));
  for (const std::int64_t offset : {6, 7, 14, 15}) {
    CAPTURE(offset);
    REQUIRE(find_handler(code, offset));
    CHECK(find_handler(code, offset)->target == 40);
    CHECK(find_handler(code, offset)->depth == 2);
  }
  REQUIRE(find_handler(code, 16));
  CHECK(find_handler(code, 16)->target == 60);
  CHECK(find_handler(code, 16)->depth == 3);
  CHECK_FALSE(find_handler(code, 18));
  CHECK_FALSE(find_handler(code, 198));
  REQUIRE(find_handler(code, 200));
  CHECK(find_handler(code, 200)->target == 2 * 138);
  CHECK(find_handler(code, 206)->depth == 0);
  CHECK_FALSE(find_handler(code, 208));
}

TEST_CASE("no table, no handler", "[cpython]") {
  CHECK_FALSE(find_handler(Code{}, 0));
  Code code;
  code.exception_table = table_of({0x80 | 0x40, 0x40, 0x40});  // cut within its first number
  CHECK_FALSE(find_handler(code, 0));
  code.exception_table.assign(4000, std::byte{0x7f});  // numbers as long as they can be
  (void)find_handler(code, 0);
  (void)find_handler(code, INT64_MAX);
}

// ---- objects

std::optional<Addr> address(std::uint64_t value) {
  return Addr{value};
}

TEST_CASE("type names and flags", "[cpython]") {
  Heap heap(11);
  const std::uint64_t type = heap.type("_thread.lock", flag_list, 40);
  const std::uint64_t object = heap.object(type, 40);
  const std::uint64_t bare = heap.object(0, 16);
  const Objects objects = heap.objects();
  CHECK(objects.type_name(Addr{object}) == "_thread.lock");
  CHECK(objects.type_basic_size(Addr{object}) == 40);
  CHECK(objects.has_flag(Addr{object}, flag_list));
  CHECK_FALSE(objects.has_flag(Addr{object}, flag_dict));
  CHECK(objects.type_name(Addr{bare}).empty());
  CHECK(objects.type_name(Addr{0x10}).empty());
  CHECK(objects.type_flags(Addr{0x10}) == 0);
}

TEST_CASE("strings of every width", "[cpython]") {
  Heap heap(GENERATE(6, 8, 11, 13, 15));
  const std::uint64_t empty = heap.ascii(""), plain = heap.ascii("worker_3");
  const std::uint64_t latin = heap.str({'n', 0xe4, 0xff}, 1);
  const std::uint64_t two = heap.str({'a', 0x7ff, 0x20ac, 0xffff}, 2);
  const std::uint64_t four = heap.str({'b', 0x1f512, 0x10ffff}, 4);
  const Objects objects = heap.objects();
  CHECK(objects.read_str(Addr{empty}) == "");
  CHECK(objects.read_str(Addr{plain}) == "worker_3");
  CHECK(objects.read_str(Addr{latin}) == "n\xc3\xa4\xc3\xbf");
  CHECK(objects.read_str(Addr{two}) == "a\xdf\xbf\xe2\x82\xac\xef\xbf\xbf");
  CHECK(objects.read_str(Addr{four}) == "b\xf0\x9f\x94\x92\xf4\x8f\xbf\xbf");
}

TEST_CASE("a string whose characters lie elsewhere", "[cpython]") {
  Heap heap(GENERATE(6, 8, 11, 13, 15));
  const std::uint64_t at = heap.object(heap.type("MyStr", flag_unicode), 96);
  heap.put(at, 16, std::uint64_t{5});
  heap.put(at, 32, static_cast<std::uint8_t>(1 << 2 | 1 << 6));  // not compact, ASCII
  heap.put(at, heap.layout().minor <= 11 ? 72 : 56, heap.raw("apart"));
  CHECK(heap.objects().read_str(Addr{at}) == "apart");
}

TEST_CASE("strings that are none", "[cpython]") {
  Heap heap(GENERATE(6, 8, 11, 13, 15));
  const std::uint64_t at = heap.ascii("text");
  const std::uint64_t number = heap.integer({1});
  SECTION("of another type") {
    CHECK(heap.objects().read_str(Addr{number}).error() == Fault{Addr{number}, Absence::malformed});
  }
  SECTION("with a length nothing has") {
    heap.put(at, 16, GENERATE(std::uint64_t{65537}, ~std::uint64_t{0}, std::uint64_t{1} << 62));
    CHECK(heap.objects().read_str(Addr{at}).error() == Fault{Addr{at}, Absence::malformed});
  }
  SECTION("longer than its memory") {
    heap.put(at, 16, std::uint64_t{60000});
    CHECK(heap.objects().read_str(Addr{at}).error() ==
          Fault{Addr{Heap::base + 0x8000}, Absence::not_mapped});
  }
  SECTION("of a width there is not") {
    heap.put(at, 32, static_cast<std::uint8_t>(GENERATE(0, 3, 5, 7) << 2 | 1 << 5 | 1 << 6));
    CHECK(heap.objects().read_str(Addr{at}).error() == Fault{Addr{at}, Absence::malformed});
  }
  SECTION("nowhere") {
    CHECK_FALSE(heap.objects().read_str(Addr{0x20}));
  }
}

TEST_CASE("integers", "[cpython]") {
  Heap heap(GENERATE(7, 8, 11, 12, 13, 14));
  const std::uint64_t zero = heap.integer({}), one = heap.integer({1});
  const std::uint64_t minus = heap.integer({7}, true);
  // 5 * 2^30 + 3, and a pthread_t: 0x7f1234567700 = 0x1fc48 * 2^30 + 0x34567700.
  const std::uint64_t two = heap.integer({3, 5}), ident = heap.integer({0x34567700, 0x1fc48});
  const std::uint64_t least = heap.integer({0x3fffffff, 0x3fffffff, 3}, true);  // -(2^62 - 1)
  const Objects objects = heap.objects();
  CHECK(objects.read_int(Addr{zero}) == 0);
  CHECK(objects.read_int(Addr{one}) == 1);
  CHECK(objects.read_int(Addr{minus}) == -7);
  CHECK(objects.read_int(Addr{two}) == 5368709123);
  CHECK(objects.read_int(Addr{ident}) == 0x7f1234567700);
  CHECK(objects.read_int(Addr{least}) == -4611686018427387903);
}

TEST_CASE("integers that are none, or too long", "[cpython]") {
  Heap heap(GENERATE(7, 8, 11, 12, 13, 14));
  const std::uint64_t four = heap.integer({1, 2, 3, 4}), text = heap.ascii("1");
  const std::uint64_t long_one = heap.integer({1});
  heap.put(long_one, 16, INT64_MAX);
  const Objects objects = heap.objects();
  CHECK(objects.read_int(Addr{four}).error() == Fault{Addr{four}, Absence::malformed});
  CHECK(objects.read_int(Addr{text}).error() == Fault{Addr{text}, Absence::malformed});
  CHECK(objects.read_int(Addr{long_one}).error() == Fault{Addr{long_one}, Absence::malformed});
  CHECK_FALSE(objects.read_int(Addr{0x20}));
}

TEST_CASE("an integer of more than 62 bits is refused", "[cpython]") {
  Heap heap(GENERATE(7, 8, 11, 12, 13, 14));
  const std::uint64_t big = heap.integer({0, 0, 16});  // 2^64
  CHECK_FALSE(heap.objects().read_int(Addr{big}));
}

// Hidden, as the sanitizer ends the run of all tests.
TEST_CASE("the least of all sizes is no size", "[cpython]") {
  Heap heap(11);
  const std::uint64_t at = heap.integer({1});
  heap.put(at, 16, INT64_MIN);
  CHECK_FALSE(heap.objects().read_int(Addr{at}));
}

TEST_CASE("the least of all integers has no opposite", "[cpython]") {
  Heap heap(12);
  const std::uint64_t at = heap.integer({0, 0, 8}, true);  // -2^63
  CHECK_FALSE(heap.objects().read_int(Addr{at}));
}

TEST_CASE("tuples and bytes", "[cpython]") {
  Heap heap(GENERATE(6, 11, 14));
  const std::uint64_t one = heap.ascii("one"), two = heap.integer({2});
  const std::uint64_t pair = heap.tuple({one, two}), none = heap.tuple({});
  const std::uint64_t data = heap.bytes(table_of({1, 2, 0, 255}));
  const Objects objects = heap.objects();
  CHECK(objects.read_tuple(Addr{pair}) == std::vector<Addr>{Addr{one}, Addr{two}});
  CHECK(objects.read_tuple(Addr{none}) == std::vector<Addr>{});
  CHECK(objects.read_bytes(Addr{data}) == table_of({1, 2, 0, 255}));
  CHECK_FALSE(objects.read_tuple(Addr{data}));
  CHECK_FALSE(objects.read_bytes(Addr{pair}));
}

TEST_CASE("counts that are too large end in faults", "[cpython]") {
  Heap heap(11);
  const std::uint64_t tuple = heap.tuple({1}), data = heap.bytes(table_of({1}));
  const std::uint64_t long_tuple = heap.tuple({1}), long_data = heap.bytes(table_of({1}));
  const std::uint64_t count = GENERATE(std::uint64_t{1} << 23, ~std::uint64_t{0});
  heap.put(tuple, 16, count);
  heap.put(data, 16, count);
  heap.put(long_tuple, 16, std::uint64_t{60000});  // allowed, but past the end of memory
  heap.put(long_data, 16, std::uint64_t{60000});
  const Objects objects = heap.objects();
  CHECK(objects.read_tuple(Addr{tuple}).error() == Fault{Addr{tuple}, Absence::malformed});
  CHECK(objects.read_bytes(Addr{data}).error() == Fault{Addr{data}, Absence::malformed});
  const Addr end{Heap::base + 0x8000};
  CHECK(objects.read_tuple(Addr{long_tuple}).error() == Fault{end, Absence::not_mapped});
  CHECK(objects.read_bytes(Addr{long_data}).error() == Fault{end, Absence::not_mapped});
}

// _PyStackRef: both low bits 0, owned; 1, borrowed, and NULL when there is nothing else; 3, a small
// integer; 2, an error mark.
TEST_CASE("slots of frames and value stacks", "[cpython]") {
  constexpr std::uint64_t at = 0x7f0000001230;
  CHECK(untag_slot(at, false) == Addr{at});
  CHECK(untag_slot(at + 1, false) == Addr{at + 1});  // no tags: not for us to judge
  CHECK_FALSE(untag_slot(0, false));
  CHECK(untag_slot(at, true) == Addr{at});
  CHECK(untag_slot(at | 1, true) == Addr{at});
  for (const std::uint64_t bits : {std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{2}, at | 2,
                                   at | 3, std::uint64_t{5 << 2 | 3}, ~std::uint64_t{0}})
    CHECK_FALSE(untag_slot(bits, true));
  for (const int minor : {13, 14}) {
    Heap heap(minor);
    const std::uint64_t slot = heap.room(8);
    heap.put(slot, 0, minor == 14 ? at | 1 : at);
    const Objects objects = heap.objects();
    CHECK(objects.read_slot(Addr{slot}) == Addr{at});
    CHECK_FALSE(objects.read_slot(Addr{0x20}));
  }
}

struct Pairs {
  Heap& heap;
  std::uint64_t owner = heap.ascii("_owner"), count = heap.ascii("_count");
  std::uint64_t five = heap.integer({5}), one = heap.integer({1});
  Heap::Items items{{owner, five}, {count, one}};
};

TEST_CASE("a combined dict", "[cpython]") {
  Heap heap(GENERATE(6, 8, 11, 13, 15));
  const Pairs pairs{heap};
  const int kind = GENERATE(0, 1);
  const std::uint64_t dict = heap.dict(heap.keys(pairs.items, kind));
  const Objects objects = heap.objects();
  CHECK(objects.find_item(Addr{dict}, "_owner") == address(pairs.five));
  CHECK(objects.find_item(Addr{dict}, "_count") == address(pairs.one));
  CHECK_FALSE(objects.find_item(Addr{dict}, "_coun"));
  int visited = 0;
  CHECK(objects.each_item(Addr{dict}, [&](Addr, Addr) { return ++visited < 10; }));
  CHECK(visited == 2);
  CHECK(objects.each_item(Addr{dict}, [&](Addr, Addr) { return ++visited < 3; }));
  CHECK(visited == 3);  // told to stop after the first
}

TEST_CASE("a split dict", "[cpython]") {
  Heap heap(GENERATE(6, 8, 11, 13, 15));
  const Pairs pairs{heap};
  const std::uint64_t dict = heap.dict(heap.keys(pairs.items, 2, false), heap.values(pairs.items));
  const Objects objects = heap.objects();
  CHECK(objects.find_item(Addr{dict}, "_owner") == address(pairs.five));
  CHECK(objects.find_item(Addr{dict}, "_count") == address(pairs.one));
}

TEST_CASE("deleted items are passed over", "[cpython]") {
  Heap heap(GENERATE(6, 8, 11, 13, 15));
  const Pairs pairs{heap};
  const std::uint64_t dict =
      heap.dict(heap.keys({{pairs.owner, 0}, {0, pairs.one}, {pairs.count, pairs.one}}, 0));
  const Objects objects = heap.objects();
  int visited = 0;
  CHECK(objects.each_item(Addr{dict}, [&](Addr, Addr) { return ++visited < 10; }));
  CHECK(visited == 1);
  CHECK_FALSE(objects.find_item(Addr{dict}, "_owner"));
  CHECK(objects.find_item(Addr{dict}, "_count") == address(pairs.one));
}

// The width of an index entry grows with the table: one byte to 255 slots, then two.
TEST_CASE("a table with wide indices", "[cpython]") {
  Heap heap(GENERATE(8, 11));
  const Pairs pairs{heap};
  const std::uint64_t keys = heap.room(2048);
  std::int64_t entries = 0;
  if (heap.old()) {
    heap.put(keys, 8, std::uint64_t{256});
    heap.put(keys, 32, std::uint64_t{1});
    entries = 40 + 256 * 2;
  } else {
    heap.put(keys, 8, std::uint8_t{8});
    heap.put(keys, 9, std::uint8_t{9});
    heap.put(keys, 24, std::uint64_t{1});
    entries = 32 + 256 * 2;
  }
  heap.put(keys, entries + 8, pairs.owner);
  heap.put(keys, entries + 16, pairs.five);
  const std::uint64_t dict = heap.dict(keys);
  CHECK(heap.objects().find_item(Addr{dict}, "_owner") == address(pairs.five));
}

TEST_CASE("dicts that make no sense", "[cpython]") {
  Heap heap(GENERATE(6, 8, 11, 13, 15));
  const Pairs pairs{heap};
  const std::uint64_t keys = heap.keys(pairs.items, 0), dict = heap.dict(keys);
  const std::int64_t count_at = heap.old() ? 32 : 24;
  SECTION("no keys") {
    heap.put(dict, 32, std::uint64_t{0});
  }
  SECTION("keys nowhere") {
    heap.put(dict, 32, std::uint64_t{0x30});
  }
  SECTION("values nowhere") {
    heap.put(dict, 40, std::uint64_t{0x30});
  }
  SECTION("more entries than memory") {
    heap.put(keys, count_at, std::uint64_t{1} << 20);
  }
  SECTION("more entries than any dict") {
    heap.put(keys, count_at, GENERATE((std::uint64_t{1} << 20) + 1, ~std::uint64_t{0}));
  }
  SECTION("an index larger than memory") {
    if (heap.old()) {
      heap.put(keys, 8, GENERATE((std::uint64_t{1} << 24), ~std::uint64_t{0}));
    } else {
      heap.put(keys, 9, static_cast<std::uint8_t>(GENERATE(32, 33, 64, 255)));
    }
  }
  SECTION("a kind there is not") {
    if (heap.old()) return;
    heap.put(keys, 10, std::uint8_t{3});
  }
  const Objects objects = heap.objects();
  CHECK_FALSE(objects.each_item(Addr{dict}, [](Addr, Addr) { return true; }));
}

TEST_CASE("what is no dict has no items", "[cpython]") {
  Heap heap(11);
  const std::uint64_t text = heap.ascii("text");
  CHECK_FALSE(heap.objects().each_item(Addr{text}, [](Addr, Addr) { return true; }));
  CHECK_FALSE(heap.objects().find_item(Addr{0x20}, "x"));
}

TEST_CASE("attributes in a dict the type points at", "[cpython]") {
  Heap heap(GENERATE(6, 8, 11, 13, 15));
  const Pairs pairs{heap};
  const std::uint64_t dict = heap.dict(heap.keys(pairs.items, 1));
  const std::uint64_t object = heap.object(heap.type("Thing", 0, 32, 16), 32);
  heap.put(object, 16, dict);
  const std::uint64_t bare = heap.object(heap.type("Bare", 0), 16);
  const Objects objects = heap.objects();
  CHECK(objects.find_attribute(Addr{object}, "_owner") == address(pairs.five));
  CHECK_FALSE(objects.find_attribute(Addr{object}, "_name"));
  CHECK_FALSE(objects.find_attribute(Addr{bare}, "_owner"));
}

// Where an object of a Python class keeps its attributes: 3.11, values 32 bytes in front of it and
// the dict 24; 3.12, one word 24 in front, values less one or the dict; 3.13, the dict 24 in front,
// values at its own end.
TEST_CASE("attributes of a class written in Python", "[cpython]") {
  const int minor = GENERATE(11, 12, 13, 15);
  Heap heap(minor);
  const Pairs pairs{heap};
  const std::uint64_t type =
      heap.type("RLock", flag_managed_dict | (minor >= 13 ? flag_inline_values : 0), 32);
  heap.put(type,
           minor == 11   ? 872
           : minor == 15 ? 888
                         : 880,  // ht_cached_keys
           heap.keys(pairs.items, 2, false));
  const std::uint64_t object = heap.object(type, 64);
  SECTION("as values") {
    if (minor == 11) heap.put(object, -32, heap.values(pairs.items));
    if (minor == 12) heap.put(object, -24, heap.values(pairs.items) - 1);
    if (minor >= 13) {
      heap.put(object, 32 + 8, pairs.five);
      heap.put(object, 32 + 16, pairs.one);
    }
  }
  SECTION("as a dict") {
    heap.put(object, -24, heap.dict(heap.keys(pairs.items, 1)));
  }
  const Objects objects = heap.objects();
  CHECK(objects.find_attribute(Addr{object}, "_owner") == address(pairs.five));
  CHECK(objects.find_attribute(Addr{object}, "_count") == address(pairs.one));
  CHECK_FALSE(objects.find_attribute(Addr{object}, "_name"));
}

TEST_CASE("an object without attributes has none", "[cpython]") {
  const int minor = GENERATE(11, 12, 13);
  Heap heap(minor);
  const std::uint64_t object = heap.object(heap.type("Empty", flag_managed_dict, 32), 64);
  CHECK_FALSE(heap.objects().find_attribute(Addr{object}, "_owner"));
}

// ---- code objects

// PyCodeObject of 3.6, 3.8, 3.11, 3.13 and 3.15: the offsets of co_filename, co_name, co_qualname,
// co_firstlineno, co_linetable (or co_lnotab), co_exceptiontable, co_stacksize, then the count of
// local slots.
struct CodeShape {
  int minor;
  std::int64_t file, name, qualname, first_line, lines, handlers, stack, locals;
};

TEST_CASE("code objects", "[cpython]") {
  const auto shape = GENERATE(CodeShape{6, 96, 104, -1, 36, 112, -1, 28, 24},
                              CodeShape{8, 104, 112, -1, 40, 120, -1, 32, 28},
                              CodeShape{11, 112, 120, 128, 72, 136, 40, 68, 76},
                              CodeShape{13, 112, 120, 128, 68, 136, 40, 64, 72},
                              CodeShape{15, 112, 120, 128, 68, 136, 40, 64, 72});
  Heap heap(shape.minor);
  const std::uint64_t at = heap.object(heap.type("code", 0), 256);
  heap.put(at, shape.file, heap.ascii("/src/bank.py"));
  heap.put(at, shape.name, heap.ascii("transfer"));
  if (shape.qualname > 0) heap.put(at, shape.qualname, heap.ascii("Bank.transfer"));
  heap.put(at, shape.first_line, std::int32_t{12});
  heap.put(at, shape.stack, std::int32_t{4});
  heap.put(at, shape.locals, std::int32_t{3});
  heap.put(at, shape.lines, heap.bytes(table_of({1, 2, 3})));
  if (shape.handlers > 0) heap.put(at, shape.handlers, heap.bytes(table_of({0x83, 5, 20, 4})));
  const std::uint64_t bytecode = heap.bytes(table_of({9, 0}));
  if (shape.minor == 6) heap.put(at, 40, bytecode);  // co_code
  if (shape.minor == 8) heap.put(at, 48, bytecode);
  const Objects objects = heap.objects();
  const auto code = read_code(objects, Addr{at});
  REQUIRE(code);
  CHECK(code->at == Addr{at});
  CHECK(code->file == "/src/bank.py");
  CHECK(code->name == (shape.minor <= 8 ? "transfer" : "Bank.transfer"));
  CHECK(code->first_line == 12);
  CHECK(code->stack_size == 4);
  CHECK(code->locals == 3);
  CHECK(code->line_table == table_of({1, 2, 3}));
  CHECK(code->exception_table.size() == (shape.handlers > 0 ? 4u : 0u));
  const std::uint64_t first = shape.minor <= 8    ? bytecode + 32
                              : shape.minor == 11 ? at + 184
                              : shape.minor == 13 ? at + 200
                                                  : at + 208;
  CHECK(code->instructions == Addr{first});
  Codes codes(objects);
  REQUIRE(codes.find(Addr{at}) != nullptr);
  CHECK(codes.find(Addr{at}) == codes.find(Addr{at}));
  CHECK(codes.find(Addr{0x20}) == nullptr);
}

TEST_CASE("what has no names is no code object", "[cpython]") {
  Heap heap(GENERATE(6, 8, 11, 13, 15));
  const std::uint64_t at = heap.object(heap.type("code", 0), 256);
  CHECK_FALSE(read_code(heap.objects(), Addr{at}));
  CHECK_FALSE(read_code(heap.objects(), Addr{0x20}));
}

TEST_CASE("names that a code object mentions", "[cpython]") {
  Heap heap(8);
  const std::uint64_t at = heap.object(heap.type("code", 0), 256);
  heap.put(at, 64, heap.tuple({heap.ascii("acquire"), heap.integer({1})}));  // co_names
  heap.put(at, 72, heap.tuple({heap.ascii("self")}));                        // co_varnames
  heap.put(at, 88, heap.tuple({heap.ascii("cell")}));                        // co_cellvars
  heap.put(at, 80, heap.tuple({heap.ascii("free")}));                        // co_freevars
  const Objects objects = heap.objects();
  CHECK(read_names(objects, Addr{at}) == std::vector<std::string>{"acquire", "?"});
  CHECK(read_local_names(objects, Addr{at}) == std::vector<std::string>{"self", "cell", "free"});
  CHECK(read_names(objects, Addr{0x20}).empty());
}

// ---- the runtime's own description

TEST_CASE("a layout fits when runtime, interpreter and threads point at each other", "[cpython]") {
  const Layout& layout = *find_layout(GENERATE(6, 7, 8, 11, 13, 14, 15));
  Heap heap(layout.minor);
  const std::uint64_t runtime = heap.room(2048), interpreter = heap.room(8192);
  const std::uint64_t first = heap.room(256), second = heap.room(256);
  heap.put(runtime, layout.runtime_interpreters_head, interpreter);
  heap.put(interpreter, layout.interp_threads_head, first);
  heap.put(first, 8, second);
  heap.put(first, 16, interpreter);
  heap.put(second, 0, first);
  heap.put(second, 16, interpreter);
  const auto good = [&] {
    const Objects objects = heap.objects();
    return fits(objects.image(), Addr{runtime}, layout);
  };
  CHECK(good());
  SECTION("no interpreter") {
    heap.put(runtime, layout.runtime_interpreters_head, std::uint64_t{0});
  }
  SECTION("no thread") {
    heap.put(interpreter, layout.interp_threads_head, std::uint64_t{0});
  }
  SECTION("something before the first") {
    heap.put(first, 0, second);
  }
  SECTION("another interpreter's thread") {
    heap.put(first, 16, runtime);
  }
  SECTION("a second that points elsewhere") {
    heap.put(second, 0, interpreter);
  }
  SECTION("a second that is not there") {
    heap.put(first, 8, std::uint64_t{0x20});
  }
  CHECK_FALSE(good());
}

// Where the runtime says them, by minor version: interpreters.head, co_linetable, sizeof
// PyASCIIObject, PyInterpreterState.gc, _gc_runtime_state.collecting.
struct Told {
  std::uint64_t version;
  std::int64_t head, lines, ascii, gc, collecting;
};

TEST_CASE("the runtime of 3.14 and 3.15 tells its own offsets", "[cpython]") {
  const auto told =
      GENERATE(Told{0x030e0af0, 40, 344, 640, 88, 656}, Told{0x030f02f0, 40, 408, 736, 88, 760});
  Heap heap(static_cast<int>(told.version >> 16 & 0xff));
  const std::uint64_t runtime = heap.room(1024);
  heap.put_bytes(runtime, 0, "xdebugpy");
  heap.put(runtime, 8, told.version);
  heap.put(runtime, told.head, std::uint64_t{808});
  heap.put(runtime, told.lines, std::uint64_t{144});
  heap.put(runtime, told.ascii, std::uint64_t{48});
  heap.put(runtime, told.gc, std::uint64_t{7000});
  heap.put(runtime, told.collecting, std::uint64_t{100});
  const auto read = [&] {
    const Objects objects = heap.objects();
    return read_self_description(objects.image(), Addr{runtime});
  };
  const auto self = read();
  REQUIRE(self);
  CHECK(self->layout.minor == static_cast<int>(told.version >> 16 & 0xff));
  CHECK(self->layout.runtime_interpreters_head == 808);
  CHECK(self->layout.code_linetable == 144);
  CHECK(self->layout.str_ascii_data == 48);
  CHECK(self->layout.interp_gc_collecting == 7100);
  CHECK(self->layout.tagged_slots());
  SECTION("one before its first candidate") {
    heap.put(runtime, 8, (told.version & ~std::uint64_t{0xff}) | 0xb3);  // beta 3
    CHECK(read()->layout.minor == 0);
  }
  SECTION("one there is no table of") {
    heap.put(runtime, 8, std::uint64_t{0x03f000f0});
    CHECK(read()->layout.minor == 0);
  }
  SECTION("an offset beyond any struct") {
    heap.put(runtime, told.lines, std::uint64_t{1} << 21);
    CHECK_FALSE(read());
  }
}

TEST_CASE("a field is in every version's layout, or in none after it went away", "[cpython]") {
  CHECK(layouts().size() == 10);
  for (const Layout& layout : layouts()) {
    CAPTURE(layout.minor);
    CHECK(find_layout(layout.minor) == &layout);
    CHECK((layout.code_bytes >= 0) == (layout.minor <= 10));
    CHECK((layout.code_adaptive >= 0) == (layout.minor >= 11));
    CHECK((layout.frame_owner >= 0) == (layout.minor >= 11));
    CHECK((layout.code_monitoring >= 0) == (layout.minor >= 12));
    CHECK(layout.tagged_slots() == (layout.minor >= 14));
    const int frame_sources = (layout.ts_frame >= 0) + (layout.cframe_current_frame >= 0) +
                              (layout.ts_current_frame >= 0);
    CHECK(frame_sources == 1);
  }
  CHECK(find_layout(5) == nullptr);
  CHECK(find_layout(16) == nullptr);
}

TEST_CASE("the runtime of 3.13 tells its own offsets", "[cpython]") {
  Heap heap(13);
  const std::uint64_t runtime = heap.room(1024);
  heap.put_bytes(runtime, 0, "xdebugpy");
  heap.put(runtime, 8, std::uint64_t{0x030d01f0});  // 3.13.1
  heap.put(runtime, 40, std::uint64_t{640});        // _PyRuntimeState.interpreters.head
  heap.put(runtime, 304, std::uint64_t{144});       // PyCodeObject.co_linetable
  heap.put(runtime, 560, std::uint64_t{48});        // sizeof(PyASCIIObject)
  heap.put(runtime, 80, std::uint64_t{7000});       // PyInterpreterState.gc
  heap.put(runtime, 576, std::uint64_t{100});       // _gc_runtime_state.collecting
  const auto read = [&] {
    const Objects objects = heap.objects();
    return read_self_description(objects.image(), Addr{runtime});
  };
  const auto self = read();
  REQUIRE(self);
  CHECK(self->version == 0x030d01f0);
  CHECK_FALSE(self->free_threaded);
  CHECK(self->layout.runtime_interpreters_head == 640);
  CHECK(self->layout.code_linetable == 144);
  CHECK(self->layout.str_ascii_data == 48);
  CHECK(self->layout.str_compact_data == 64);
  CHECK(self->layout.interp_gc_collecting == 7100);
  CHECK(self->layout.keys_nentries == 24);  // not told: the table's
  heap.put(runtime, 16, std::uint64_t{1});
  CHECK(read()->free_threaded);
  SECTION("an offset beyond any struct") {
    heap.put(runtime, 304, GENERATE(std::uint64_t{1} << 21, ~std::uint64_t{0}));
  }
  SECTION("another cookie") {
    heap.put(runtime, 0, std::uint64_t{0});
  }
  CHECK_FALSE(read());
}

}  // namespace
}  // namespace coldcase::cpython
