// The dynamic loader's lists: which modules are of the program's own namespace, and in which order.
// The process is made here, word by word.
#include "modules/link_map.hpp"

#include "support/catch.hpp"
#include "support/core_builder.hpp"

namespace coldcase {
namespace {

using namespace test;

constexpr std::uint64_t base = 0x10000, lower = 0x40000, upper = 0x60000, unlisted = 0x80000;
constexpr std::uint64_t headers = 0x40, dynamic = 0x200, debug = 0x300, first = 0x400,
                        second = 0x440, other_debug = 0x500, other_first = 0x600,
                        other_second = 0x640;

// A program, a library of its own namespace at `upper`, and two of another one: at `lower`, and at
// `unlisted`, which no row of NT_FILE tells.
struct Process {
  Blob page = Blob(0x1000);

  void word(std::uint64_t at, std::uint64_t value) { patch(page, at, value); }
  void link(std::uint64_t at, std::uint64_t begin, std::uint64_t next) {
    word(at, begin);                             // l_addr
    word(at + 16, begin + dynamic);              // l_ld
    word(at + 24, next == 0 ? 0 : base + next);  // l_next
  }
  void space(std::uint64_t at, std::int32_t version, std::uint64_t head, std::uint64_t next) {
    patch(page, at, version);
    word(at + 8, base + head);
    word(at + 40, next == 0 ? 0 : base + next);
  }

  Process() {
    patch(page, headers, std::uint32_t{6});  // PT_PHDR
    word(headers + 16, headers);
    patch(page, headers + 56, std::uint32_t{2});  // PT_DYNAMIC
    word(headers + 56 + 16, dynamic);
    word(dynamic, 21);  // DT_DEBUG
    word(dynamic + 8, base + debug);
    space(debug, 2, first, other_debug);
    link(first, base, second);
    link(second, upper, 0);
    space(other_debug, 2, other_first, 0);
    link(other_first, lower, other_second);
    link(other_second, unlisted, 0);
  }

  static Blob library() {
    Blob file(0x1000);
    patch(file, 0, std::uint32_t{0x464c457f});
    patch(file, offsets::elf_class, std::uint16_t{0x0102});  // 64 bits, little-endian
    patch(file, offsets::phoff, std::uint64_t{64});
    patch(file, offsets::phnum - 2, std::uint16_t{offsets::ph_size});
    patch(file, offsets::phnum, std::uint16_t{1});
    patch(file, 64, std::uint32_t{1});  // PT_LOAD
    patch(file, 64 + offsets::ph_memsz, std::uint64_t{0x1000});
    return file;
  }

  Modules read() const {
    CoreBuilder builder(Style::kernel);
    builder.thread({}).auxv({{3, base + headers}, {5, 2}});
    builder.segment({.begin = base, .size = page.size(), .saved = page});
    builder.segment({.begin = unlisted, .size = 0x1000, .saved = library()});
    const Built built = builder.build();
    const Core core = parse_core(Bytes(built.bytes), "core");
    Modules modules;
    for (const std::uint64_t begin : {base, lower, upper}) {
      Module module;
      module.range = {Addr{begin}, Addr{begin + 0x1000}};
      modules.list.push_back(std::move(module));
    }
    read_link_maps(core, core_image(core), modules);
    return modules;
  }
};

std::vector<std::uint64_t> lookup_order(const Modules& modules) {
  std::vector<std::uint64_t> order;
  for (const Module& module : modules.in_lookup_order()) order.push_back(module.range.begin.value);
  return order;
}

using Order = std::vector<std::uint64_t>;

TEST_CASE("a copy in another namespace comes after the program's own modules", "[modules]") {
  const Modules modules = Process().read();
  CHECK(lookup_order(modules) == Order{base, upper, lower, unlisted});
  CHECK(modules.list[0].loaded == 0u);
  CHECK_FALSE(modules.find(Addr{lower})->loaded);
}

TEST_CASE("the loader's order, not that of the addresses", "[modules]") {
  Process process;
  process.link(first, upper, second);
  process.link(second, base, 0);
  CHECK(lookup_order(process.read()) == Order{upper, base, lower, unlisted});
}

TEST_CASE("a loader that tells of one namespace only", "[modules]") {
  Process process;
  patch(process.page, debug, std::int32_t{1});
  CHECK(lookup_order(process.read()) == Order{base, upper, lower});
}

TEST_CASE("lists of the loader that do not end", "[modules]") {
  Process process;
  SECTION("namespaces") {
    process.space(other_debug, 2, other_first, debug);
  }
  SECTION("modules") {
    process.link(other_second, unlisted, other_first);
  }
  CHECK(lookup_order(process.read()) == Order{base, upper, lower, unlisted});
}

TEST_CASE("lists of the loader that lead nowhere", "[modules]") {
  Process process;
  SECTION("the first namespace") {
    process.word(dynamic + 8, 0x7000);
  }
  SECTION("its modules") {
    process.word(debug + 8, 0x7000);
    process.word(debug + 40, 0x7000);
  }
  CHECK(lookup_order(process.read()) == Order{base, lower, upper});
}

}  // namespace
}  // namespace coldcase
