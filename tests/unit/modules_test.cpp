// What a file says about itself - build-id, program headers, where its functions begin - and where
// files are looked for. Files are made here, byte by byte.
#include "modules/modules.hpp"

#include "modules/functions.hpp"
#include "support/catch.hpp"
#include "support/core_builder.hpp"

namespace coldcase {
namespace {

using namespace test;
using Paths = std::vector<std::string>;

// ---- notes

Blob note(std::string_view name, std::uint32_t type, const Blob& content) {
  Blob bytes;
  append(bytes, static_cast<std::uint32_t>(name.size() + 1));
  append(bytes, static_cast<std::uint32_t>(content.size()));
  append(bytes, type);
  for (const char c : name) append(bytes, c);
  append(bytes, '\0');
  while (bytes.size() % 4 != 0) append(bytes, '\0');
  bytes.insert(bytes.end(), content.begin(), content.end());
  while (bytes.size() % 4 != 0) append(bytes, '\0');
  return bytes;
}

Blob joined(std::initializer_list<Blob> parts) {
  Blob all;
  for (const Blob& part : parts) all.insert(all.end(), part.begin(), part.end());
  return all;
}

const Blob id = text_blob("\x01\x9f\xab\x10\xff");

TEST_CASE("a build-id", "[modules]") {
  CHECK(parse_build_id(note("GNU", 3, id)) == "019fab10ff");
  CHECK(parse_build_id(note("GNU", 3, Blob(20, std::byte{0x5a}))) ==
        "5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a");
}

TEST_CASE("a build-id among other notes", "[modules]") {
  // NT_GNU_PROPERTY_TYPE_0, the ABI tag, and a 3 under another name.
  const Blob notes =
      joined({note("GNU", 5, Blob(16)), note("GNU", 1, Blob(16)), note("Go", 3, text_blob("odd")),
              note("GNU", 3, id), note("GNU", 3, Blob(20))});
  CHECK(parse_build_id(notes) == "019fab10ff");
}

TEST_CASE("no build-id", "[modules]") {
  CHECK(parse_build_id({}).empty());
  CHECK(parse_build_id(Blob(11)).empty());
  CHECK(parse_build_id(note("GNU", 1, id)).empty());
  CHECK(parse_build_id(note("CORE", 3, id)).empty());
  CHECK(parse_build_id(Blob(64)).empty());
}

TEST_CASE("a cut note gives no build-id, and no part of one", "[modules]") {
  const Blob whole = joined({note("GNU", 5, Blob(16)), note("GNU", 3, text_blob("abcd"))});
  for (std::size_t size = 0; size < whole.size(); ++size) {
    CAPTURE(size);
    CHECK(parse_build_id(Bytes(whole).first(size)).empty());
  }
  CHECK(parse_build_id(whole) == "61626364");
}

TEST_CASE("notes of sizes that cannot be", "[modules]") {
  Blob bytes = note("GNU", 3, id);
  const std::uint32_t size = GENERATE(65u, 0x7fffffffu, 0xfffffffcu, 0xffffffffu);
  SECTION("its content") {
    patch(bytes, offsets::note_descsz, size);
  }
  SECTION("its name") {
    patch(bytes, offsets::note_namesz, size);
  }
  CHECK(parse_build_id(bytes).empty());
}

TEST_CASE("an id longer than any build-id is none", "[modules]") {
  CHECK(parse_build_id(note("GNU", 3, Blob(64, std::byte{1}))).size() == 128);
  CHECK(parse_build_id(note("GNU", 3, Blob(65, std::byte{1}))).empty());
}

// ---- program headers

// An ELF header for x86_64 (e_type 3) whose program headers follow it.
struct FileMaker {
  Blob bytes = Blob(64);

  FileMaker() {
    const std::string_view ident(
        "\x7f"
        "ELF\x02\x01\x01",
        7);
    for (std::size_t i = 0; i < ident.size(); ++i) patch(bytes, i, ident[i]);
    patch(bytes, offsets::type, std::uint16_t{3});
    patch(bytes, offsets::machine, std::uint16_t{62});
    patch(bytes, offsets::phoff, std::uint64_t{64});
  }
  FileMaker& header(std::uint32_t type, std::uint64_t offset, std::uint64_t address,
                    std::uint64_t size) {
    append(bytes, type);
    append(bytes, std::uint32_t{5});
    for (const std::uint64_t word : {offset, address, address, size, size, std::uint64_t{4096}})
      append(bytes, word);
    patch(bytes, offsets::phnum,
          static_cast<std::uint16_t>((bytes.size() - 64) / offsets::ph_size));
    return *this;
  }
};

TEST_CASE("program headers", "[modules]") {
  const FileMaker file = FileMaker().header(1, 0, 0x400000, 0x1000).header(4, 0x200, 0x400200, 36);
  const auto headers = parse_program_headers(file.bytes);
  REQUIRE(headers.size() == 2);
  CHECK(headers[0].type == elf::pt_load);
  CHECK(headers[0].vaddr == 0x400000);
  CHECK(headers[1].type == elf::pt_note);
  CHECK(headers[1].offset == 0x200);
  CHECK(headers[1].filesz == 36);
}

TEST_CASE("program headers of truncated bytes", "[modules]") {
  const FileMaker file =
      FileMaker().header(1, 0, 0x1000, 1).header(1, 0, 0x2000, 1).header(1, 0, 0x3000, 1);
  for (std::size_t size = 0; size <= file.bytes.size(); ++size) {
    CAPTURE(size);
    const auto headers = parse_program_headers(Bytes(file.bytes).first(size));
    CHECK(headers.size() == (size < 64 ? 0 : (size - 64) / 56));
  }
}

TEST_CASE("a header table that is not there", "[modules]") {
  FileMaker file = FileMaker().header(1, 0, 0x1000, 1);
  patch(file.bytes, offsets::phoff,
        GENERATE(std::uint64_t{65}, ~std::uint64_t{0}, ~std::uint64_t{0} - 55));
  CHECK(parse_program_headers(file.bytes).empty());
}

TEST_CASE("bytes that are no 64-bit object", "[modules]") {
  FileMaker file = FileMaker().header(1, 0, 0x1000, 1);
  SECTION("32 bits") {
    patch(file.bytes, offsets::elf_class, std::uint8_t{1});
  }
  SECTION("no magic") {
    patch(file.bytes, 0, std::uint8_t{0});
  }
  CHECK(parse_program_headers(file.bytes).empty());
  CHECK(ElfFile::from_memory(file.bytes, "odd") == nullptr);
}

TEST_CASE("a file is opened from memory", "[modules]") {
  FileMaker file = FileMaker().header(1, 0, 0x400000, 0x1000).header(4, 176, 0x4000b0, 24);
  REQUIRE(file.bytes.size() == 176);
  file.bytes = joined({file.bytes, note("GNU", 3, id)});
  const auto opened = ElfFile::from_memory(file.bytes, "made");
  REQUIRE(opened);
  CHECK(opened->path() == "made");
  CHECK(opened->build_id() == "019fab10ff");
  CHECK(opened->sections().empty());
  CHECK_FALSE(opened->has_symtab());
  CHECK_FALSE(opened->find_symbol("main"));
  CHECK(opened->at_address(0x4000b0, 4).size() == 4);
  CHECK(opened->at_address(0x400000, 0x10000).size() == file.bytes.size());  // as far as it goes
  CHECK(opened->at_address(0x401000, 1).empty());
  CHECK(opened->at_address(0x3fffff, 1).empty());
  patch(file.bytes, offsets::machine, std::uint16_t{183});
  CHECK(ElfFile::from_memory(file.bytes, "aarch64") == nullptr);
}

// ---- where to look

TEST_CASE("the order in which files are tried", "[modules]") {
  const FileSearch search{
      .executables = {"/given/worker"}, .sysroots = {"/root"}, .debug_dirs = {"/debug"}};
  CHECK(candidate_files("/usr/bin/worker", "abcdef", true, search) ==
        Paths{"/given/worker", "/root/usr/bin/worker", "/root/bin/worker", "/root/worker",
              "/usr/bin/worker", "/root/usr/lib/.build-id/ab/cdef",
              "/root/usr/lib/debug/.build-id/ab/cdef", "/usr/lib/.build-id/ab/cdef",
              "/usr/lib/debug/.build-id/ab/cdef", "/debug/.build-id/ab/cdef",
              "/debug/abcdef/executable"});
}

TEST_CASE("sysroots and folders in the order given", "[modules]") {
  const FileSearch search{
      .executables = {}, .sysroots = {"/one", "/two"}, .debug_dirs = {"/three", "/four"}};
  CHECK(candidate_files("/lib/a.so", "0123", false, search) ==
        Paths{"/one/lib/a.so", "/one/a.so", "/two/lib/a.so", "/two/a.so", "/lib/a.so",
              "/one/usr/lib/.build-id/01/23", "/one/usr/lib/debug/.build-id/01/23",
              "/two/usr/lib/.build-id/01/23", "/two/usr/lib/debug/.build-id/01/23",
              "/usr/lib/.build-id/01/23", "/usr/lib/debug/.build-id/01/23",
              "/three/.build-id/01/23", "/three/0123/executable", "/four/.build-id/01/23",
              "/four/0123/executable"});
}

TEST_CASE("a given file is for the program, or for the module of its name", "[modules]") {
  const auto tried = [](const char* given, const char* path, bool is_executable) {
    const FileSearch search{.executables = {given}, .sysroots = {}, .debug_dirs = {}};
    const Paths files = candidate_files(path, "", is_executable, search);
    return files.size() == 2 ? files.front() : std::string("not");
  };
  CHECK(tried("/x/other", "/usr/bin/worker", true) == "/x/other");
  CHECK(tried("/x/other", "/lib/libc.so.6", false) == "not");
  CHECK(tried("/x/libc.so.6", "/lib/libc.so.6", false) == "/x/libc.so.6");
  CHECK(tried("libc.so.6=/x/any", "/lib/libc.so.6", false) == "/x/any");
  CHECK(tried("worker=/x/any", "/usr/bin/worker", true) == "/x/any");
  CHECK(tried("other=/x/any", "/usr/bin/worker", true) == "not");
  CHECK(tried("libc.so.6=/x/a=b", "/lib/libc.so.6", false) == "/x/a=b");
}

TEST_CASE("a file deleted under the process is looked for by its old name", "[modules]") {
  const FileSearch search{.executables = {}, .sysroots = {"/root"}, .debug_dirs = {}};
  CHECK(candidate_files("/lib/a.so (deleted)", "", false, search) ==
        Paths{"/root/lib/a.so", "/root/a.so", "/lib/a.so"});
  CHECK(candidate_files("/lib/a (deleted).so", "", false, FileSearch{}) ==
        Paths{"/lib/a (deleted).so"});
}

TEST_CASE("a name that is no path is not tried from the current folder", "[modules]") {
  CHECK(candidate_files("anon_inode:[perf]", "", false, FileSearch{}).empty());
  CHECK(candidate_files("", "", false, FileSearch{}).empty());
}

TEST_CASE("a build-id too short for its folder is not looked up", "[modules]") {
  const FileSearch search{.executables = {}, .sysroots = {}, .debug_dirs = {"/debug"}};
  CHECK(candidate_files("/a", "ab", false, search) == Paths{"/a"});
  CHECK(debug_files("/a", "ab", search).empty());
  CHECK(debug_files("/a", "", search).empty());
}

TEST_CASE("debug files: sysroot, given folder, this machine", "[modules]") {
  const FileSearch search{.executables = {}, .sysroots = {"/root"}, .debug_dirs = {"/debug"}};
  CHECK(debug_files("/lib/a.so", "abcdef", search) ==
        Paths{"/root/usr/lib/debug/.build-id/ab/cdef.debug", "/debug/.build-id/ab/cdef.debug",
              "/debug/abcdef/debuginfo", "/usr/lib/debug/.build-id/ab/cdef.debug"});
}

// ---- where functions begin

// Mapped at 0x10000: .eh_frame at 0x10200 with a CIE and an entry for each of three functions -
// 0x1000-0x1040, 0x1040-0x1050 and, after a gap, 0x1100-0x1200 - and .eh_frame_hdr at 0x10300.
struct Unwindable {
  static constexpr std::uint64_t base = 0x10000, frames = 0x10200, table = 0x10300;
  FileMaker file;

  explicit Unwindable(bool with_table) {
    file.header(1, 0, base, 0x1000);
    if (with_table) file.header(0x6474e550, table - base, table, 12 + 3 * 8);
    file.bytes.resize(0x1000);
    word(frames, 12);     // the CIE: its length, 0, and what nobody reads
    word(frames + 4, 0);  //
    const std::array<std::array<std::uint64_t, 2>, 3> functions{
        {{0x1000, 0x40}, {0x1040, 0x10}, {0x1100, 0x100}}};
    for (std::uint64_t i = 0; i < functions.size(); ++i) {
      const std::uint64_t at = frames + 16 + i * 20;
      word(at, 16);                              // length
      word(at + 4, at + 4 - frames);             // how far back the CIE lies
      word(at + 8, functions[i][0] - (at + 8));  // begin, from here
      word(at + 12, functions[i][1]);            // size
      word(table + 12 + i * 8, functions[i][0] - table);
      word(table + 16 + i * 8, at - table);
    }
    word(frames + 76, 0);     // the end
    word(table, 0x3b031b01);  // version 1, pcrel sdata4, udata4, datarel sdata4
    word(table + 4, frames - (table + 4));
    word(table + 8, functions.size());
  }
  void word(std::uint64_t at, std::uint64_t value) {
    patch(file.bytes, at - base, static_cast<std::uint32_t>(value));
  }
  // Sections: the null one, .eh_frame, and their names.
  void add_sections() {
    const std::uint64_t at = file.bytes.size();
    patch(file.bytes, offsets::shoff, at);
    patch(file.bytes, 60, std::uint16_t{3});
    patch(file.bytes, 62, std::uint16_t{2});
    file.bytes.resize(at + 3 * 64 + 16);
    const auto section = [&](std::uint64_t i, std::uint32_t name, std::uint32_t type,
                             std::uint64_t address, std::uint64_t offset, std::uint64_t size) {
      patch(file.bytes, at + i * 64, name);
      patch(file.bytes, at + i * 64 + 4, type);
      patch(file.bytes, at + i * 64 + 16, address);
      patch(file.bytes, at + i * 64 + 24, offset);
      patch(file.bytes, at + i * 64 + 32, size);
    };
    section(1, 1, 1, frames, frames - base, 80);
    section(2, 0, 3, 0, at + 3 * 64, 16);
    const std::string_view names("\0.eh_frame", 10);
    for (std::size_t i = 0; i < names.size(); ++i) patch(file.bytes, at + 3 * 64 + i, names[i]);
  }
  std::string at(std::uint64_t value) const {
    const auto opened = ElfFile::from_memory(file.bytes, "made");
    if (!opened) return "no file";
    const auto range = find_function(*opened, value);
    return range ? std::to_string(range->begin) + "-" + std::to_string(range->end) : "none";
  }
};

void check_functions(const Unwindable& made) {
  const std::string first = "4096-4160", second = "4160-4176", third = "4352-4608";
  CHECK(made.at(0x0fff) == "none");
  CHECK(made.at(0x1000) == first);
  CHECK(made.at(0x103f) == first);
  CHECK(made.at(0x1040) == second);
  CHECK(made.at(0x104f) == second);
  CHECK(made.at(0x1050) == "none");  // the gap belongs to nobody
  CHECK(made.at(0x10ff) == "none");
  CHECK(made.at(0x1100) == third);
  CHECK(made.at(0x11ff) == third);
  CHECK(made.at(0x1200) == "none");
}

TEST_CASE("functions by the search table", "[modules]") {
  check_functions(Unwindable(true));
}

TEST_CASE("functions by going through the entries", "[modules]") {
  Unwindable made(false);
  made.add_sections();
  check_functions(made);
}

TEST_CASE("no unwind table, no function", "[modules]") {
  CHECK(Unwindable(false).at(0x1000) == "none");
}

TEST_CASE("a table with more rows than bytes", "[modules]") {
  Unwindable made(true);
  made.word(Unwindable::table + 8, 0xffffffff);
  check_functions(made);
}

TEST_CASE("entries that lead nowhere", "[modules]") {
  Unwindable made(true);
  SECTION("an entry outside the file") {
    made.word(Unwindable::table + 16, 0x70000000);
  }
  SECTION("an entry that is the CIE") {
    made.word(Unwindable::table + 16, Unwindable::frames - Unwindable::table);
  }
  SECTION("no rows") {
    made.word(Unwindable::table + 8, 0);
  }
  CHECK(made.at(0x1000) == "none");
}

TEST_CASE("entries that never end", "[modules]") {
  Unwindable made(false);
  made.add_sections();
  made.word(Unwindable::frames, GENERATE(0u, 0xffffffffu, 0xfffffff0u));
  CHECK(made.at(0x1000) == "none");
}

TEST_CASE("a search table in another encoding gives way to the entries", "[modules]") {
  Unwindable made(true);
  made.add_sections();
  made.word(Unwindable::table, 0x3c031b01);  // datarel sdata8
  check_functions(made);
}

// ---- modules by address

TEST_CASE("which module an address lies in", "[modules]") {
  Modules modules;
  for (const std::uint64_t begin : {0x1000u, 0x2000u, 0x5000u}) {
    Module module;
    module.path = "/lib/at " + std::to_string(begin);
    module.range = {Addr{begin}, Addr{begin + 0x1000}};
    module.bias = begin;
    modules.list.push_back(std::move(module));
  }
  CHECK(modules.find(Addr{0xfff}) == nullptr);
  CHECK(modules.find(Addr{0x1fff}) == &modules.list[0]);
  CHECK(modules.find(Addr{0x2000}) == &modules.list[1]);
  CHECK(modules.find(Addr{0x3000}) == nullptr);
  CHECK(modules.find(Addr{0x5fff}) == &modules.list[2]);
  CHECK(modules.find(Addr{0x6000}) == nullptr);
  CHECK(modules.index_of(modules.find(Addr{0x2000})) == 1);
  CHECK(modules.list[1].name() == "at 8192");
  CHECK(modules.list[1].to_file(Addr{0x2010}) == 0x10);
  CHECK(modules.list[1].to_process(0x10) == Addr{0x2010});
  CHECK(modules.list[1].level() == SymbolLevel::none);
  CHECK_FALSE(modules.list[1].find_symbol("main"));
  CHECK_FALSE(modules.list[1].of_c_library());
  modules.list[1].path = "/lib/ld-linux-x86-64.so.2 (deleted)";
  CHECK(modules.list[1].of_c_library());
}

TEST_CASE("absent files tell why their bytes are absent", "[modules]") {
  Core core;
  core.files = {{{Addr{0x1000}, Addr{0x2000}}, 0, "/lib/a"},
                {{Addr{0x3000}, Addr{0x4000}}, 0, "/lib/b"},
                {{Addr{0x8000}, Addr{0x9000}}, 0, "/data"}};
  Modules modules;
  for (const FileMapping& row : core.files) {
    if (row.path == "/data") continue;
    Module module;
    module.path = std::string(row.path);
    module.range = row.range;
    modules.list.push_back(std::move(module));
  }
  modules.list[1].found = Found::mismatch;
  const std::vector<Extent> extents = file_extents(core, modules);
  REQUIRE(extents.size() == 2);
  CHECK(extents[0].rest == Absence::file_missing);
  CHECK(extents[1].rest == Absence::file_mismatch);
  CHECK(extents[0].bytes.empty());
  CHECK(extents[0].source == Source::file);
}

}  // namespace
}  // namespace coldcase
