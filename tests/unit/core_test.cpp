// What a core says, out of synthetic files: each quirk of the two writers, and each way to be cut,
// foreign or damaged.
#include "core/core.hpp"

#include <coldcase/result.hpp>

#include <algorithm>
#include <memory>

#include "support/catch.hpp"
#include "support/core_builder.hpp"

namespace coldcase {
namespace {

using namespace test;
using Kind = CoreProblem::Kind;

// A Core is a view: this one keeps the bytes it looks at.
struct OwnedCore : Core {
  std::unique_ptr<const Blob> kept;
};

OwnedCore parsed(const Built& built) {
  auto kept = std::make_unique<const Blob>(built.bytes);
  Core core = parse_core(*kept, "core.test");
  return {std::move(core), std::move(kept)};
}

bool has(const Core& core, Kind kind) {
  return std::ranges::any_of(core.problems, [&](const CoreProblem& p) { return p.kind == kind; });
}

std::string text_of_bytes(Bytes bytes) {
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

struct Refusal {
  std::optional<Trouble> trouble;
  std::string text;
  bool says(std::string_view part) const {
    return trouble == Trouble::not_a_core && text.find(part) != std::string::npos;
  }
};

Refusal refusal(Bytes file) {
  try {
    (void)parse_core(file, "core.test");
    return {};
  } catch (const Error& error) {
    return {error.trouble(), error.what()};
  }
}

Refusal refusal_of_text(std::string_view text) {
  return refusal(text_blob(text));
}

SegmentPlan page(std::uint64_t begin, std::string_view saved = "saved") {
  return {.begin = begin, .size = 0x1000, .saved = text_blob(saved)};
}

TEST_CASE("a kernel core is read whole", "[core]") {
  const Built built = small_core(Style::kernel);
  const OwnedCore core = parsed(built);
  CHECK(core.problems.empty());
  CHECK(core.writer == Writer::kernel);
  CHECK_FALSE(core.truncated());
  CHECK(core.declared_bytes == built.bytes.size());
  REQUIRE(core.threads.size() == 2);
  CHECK(core.threads[0].tid == 101);
  CHECK(core.threads[1].tid == 102);
  CHECK(core.threads[0].ppid == 7);
  CHECK(core.threads[0].signal == 11);
  REQUIRE(core.process);
  CHECK(core.process->pid == 101);
  CHECK(core.process->ppid == 7);
  CHECK(core.process->uid == 1000);
  CHECK(core.process->name == "worker");
  REQUIRE(core.signal);
  CHECK(core.signal->number == 11);
  CHECK(core.signal->code == 1);
  CHECK(core.signal->address == Addr{24});
  CHECK(core.auxv.size() == 3);
  CHECK(core.auxv_value(9) == 0x401000u);
  CHECK_FALSE(core.auxv_value(7));
}

TEST_CASE("registers stand in the kernel's order", "[core]") {
  const OwnedCore core = parsed(small_core(Style::kernel));
  const Registers& registers = core.threads.at(0).registers;
  CHECK(registers[Registers::r15] == 0x1000);
  CHECK(registers[Registers::rax] == 0x100a);
  CHECK(registers[Registers::orig_rax] == 0x100f);
  CHECK(registers[Registers::rip] == 0x1010);
  CHECK(registers.at(Registers::rsp) == Addr{0x1013});
  CHECK(registers.at(Registers::fs_base) == Addr{0x1015});
  CHECK(registers[Registers::gs] == 0x101a);
}

// A kernel core of process 7 with these threads.
OwnedCore timed(const std::vector<ThreadPlan>& threads, Style style = Style::kernel) {
  CoreBuilder builder(style);
  for (const ThreadPlan& thread : threads) builder.thread(thread);
  builder.process({.pid = 7, .name = "worker"}).signal({.number = 6});
  if (style == Style::gcore) builder.gdb_target();
  return parsed(builder.segment({.begin = 0x1000, .size = 0x1000}).build());
}

TEST_CASE("the first thread's processor time is what the others leave of the process's", "[core]") {
  const OwnedCore core = timed({{.tid = 9, .user_time = {2, 500'000}, .system_time = {1, 250'000}},
                                {.tid = 7, .user_time = {3, 0}, .system_time = {1, 250'000}},
                                {.tid = 8, .user_time = {0, 400'000}}});
  REQUIRE(core.threads[0].cpu);
  CHECK(core.threads[0].cpu->user_us == 2'500'000);
  CHECK(core.threads[0].cpu->system_us == 1'250'000);
  CHECK_FALSE(core.threads[0].cpu->remainder);
  REQUIRE(core.threads[1].cpu);
  CHECK(core.threads[1].cpu->user_us == 100'000);
  CHECK(core.threads[1].cpu->system_us == 0);
  CHECK(core.threads[1].cpu->remainder);
}

TEST_CASE("processor times that mean nothing are unknown", "[core]") {
  SECTION("gcore writes zeros, whatever the thread did") {
    const OwnedCore core = timed({{.tid = 7}, {.tid = 8, .user_time = {1, 0}}}, Style::gcore);
    CHECK_FALSE(core.threads[0].cpu);
    CHECK_FALSE(core.threads[1].cpu);
  }
  SECTION("no time that a machine can have run") {
    for (const std::array<std::uint64_t, 2>& time :
         {std::array<std::uint64_t, 2>{~std::uint64_t{0}, 0},
          {1, 1'000'000},
          {1, ~std::uint64_t{0}}}) {
      const OwnedCore core =
          timed({{.tid = 7, .user_time = {9, 0}}, {.tid = 8, .user_time = time}});
      CHECK_FALSE(core.threads[1].cpu);
      CHECK_FALSE(core.threads[0].cpu);  // nor what the others leave
    }
  }
  SECTION("the others have more than the process") {
    const OwnedCore core =
        timed({{.tid = 7, .user_time = {1, 0}}, {.tid = 8, .user_time = {2, 0}}});
    CHECK_FALSE(core.threads[0].cpu);
    CHECK(core.threads[1].cpu);
  }
  SECTION("by a tick: the notes are not of one moment") {
    const OwnedCore core =
        timed({{.tid = 7, .user_time = {1, 0}}, {.tid = 8, .user_time = {1, 4'000}}});
    REQUIRE(core.threads[0].cpu);
    CHECK(core.threads[0].cpu->user_us == 0);
  }
  SECTION("nobody says which thread is the first") {
    CoreBuilder builder(Style::kernel);
    builder.thread({.tid = 7, .user_time = {1, 0}}).signal({.number = 6});
    CHECK_FALSE(parsed(builder.build()).threads.at(0).cpu);
  }
}

TEST_CASE("a core whose notes are cut has no time for the first thread", "[core]") {
  CoreBuilder builder(Style::kernel);
  builder.process({.pid = 7, .name = "worker"}).signal({.number = 6});
  builder.thread({.tid = 7, .user_time = {3, 0}}).thread({.tid = 8, .user_time = {1, 0}});
  builder.thread({.tid = 9, .user_time = {1, 0}}).segment({.begin = 0x1000, .size = 0x1000});
  Built built = builder.build();
  built.bytes.resize(built.note_at.back() + 8);
  const OwnedCore core = parsed(built);
  REQUIRE(core.threads.size() == 2);
  CHECK(has(core, Kind::notes_cut));
  CHECK_FALSE(core.threads[0].cpu);
  CHECK(core.threads[1].cpu);
}

TEST_CASE("segments: saved, partly saved, not saved", "[core]") {
  const OwnedCore core = parsed(small_core(Style::kernel));
  REQUIRE(core.segments.size() == 3);
  const Segment& text = core.segments[0];
  CHECK(text.range == Range{Addr{0x400000}, Addr{0x402000}});
  CHECK(text_of_bytes(text.bytes.bytes()) ==
        "\x7f"
        "ELF head");
  CHECK(text.saved == 9);
  CHECK(text.readable);
  CHECK_FALSE(text.writable);
  CHECK(text.executable);
  CHECK(core.segments[1].bytes.empty());
  CHECK(core.segments[1].range.size() == 0x2000);
  CHECK(core.segments[2].bytes.size() == 96);
  CHECK(core.segments[2].writable);
  CHECK_FALSE(core.segments[2].executable);
}

TEST_CASE("a gcore is recognized by its target description", "[core]") {
  const OwnedCore core = parsed(small_core(Style::gcore));
  CHECK(core.writer == Writer::gcore);
  CHECK(core.problems.empty());
  CHECK(core.threads.size() == 2);
  CHECK_FALSE(core.truncated());
  CoreBuilder bare(Style::gcore);
  bare.thread({}).gdb_target();
  CHECK(parsed(bare.build()).writer == Writer::gcore);
}

TEST_CASE("a gcore without target description is recognized by its unit", "[core]") {
  CoreBuilder builder(Style::gcore);
  builder.thread({}).signal({.number = 19, .code = 128}).files({{0x1000, 0x2000, 0, "/a"}});
  CHECK(parsed(builder.build()).writer == Writer::gcore);
  CoreBuilder foreign(Style::kernel);
  foreign.thread({}).note("GDB", 0x1234, text_blob("not a target description"));
  CHECK(parsed(foreign.build()).writer == Writer::other);
}

// The trap: the kernel writes offsets in pages with page_size 4096, gdb in bytes with page_size 1.
TEST_CASE("file offsets are bytes whoever wrote them", "[core]") {
  const Style style = GENERATE(Style::kernel, Style::gcore);
  const OwnedCore core = parsed(small_core(style));
  REQUIRE(core.files.size() == 2);
  CHECK(core.files[0].path == "/usr/bin/worker");
  CHECK(core.files[0].offset == 0);
  CHECK(core.files[1].path == "/usr/lib/libc.so.6");
  CHECK(core.files[1].range == Range{Addr{0x7f0000001000}, Addr{0x7f0000003000}});
  CHECK(core.files[1].offset == 0x2000);
}

TEST_CASE("files are sorted by address", "[core]") {
  CoreBuilder builder(Style::kernel);
  builder.thread({}).files({{0x9000, 0xa000, 0, "/high"}, {0x1000, 0x2000, 0x1000, "/low"}});
  const OwnedCore core = parsed(builder.build());
  REQUIRE(core.files.size() == 2);
  CHECK(core.files[0].path == "/low");
  CHECK(core.files[0].offset == 0x1000);
  CHECK(core.files[1].path == "/high");
}

TEST_CASE("rows of the file note that make no sense are left out and told", "[core]") {
  CoreBuilder builder(Style::kernel);
  builder.thread({}).files({{0x3000, 0x3000, 0, "/empty"},
                            {0x5000, 0x4000, 0, "/inverted"},
                            {0x6000, 0x7000, 0, ""},
                            {0x8000, 0x9000, 0x1000, "/good"}});
  Built built = builder.build();
  const OwnedCore core = parsed(built);
  REQUIRE(core.files.size() == 1);
  CHECK(core.files[0].path == "/good");
  CHECK(core.files[0].offset == 0x1000);
  CHECK(std::ranges::count(core.problems, Kind::bad_file_note, &CoreProblem::kind) == 3);
}

TEST_CASE("an offset that overflows in bytes is left out", "[core]") {
  CoreBuilder builder(Style::kernel);
  builder.thread({}).files({{0x1000, 0x2000, 0, "/a"}});
  Built built = builder.build();
  const std::uint64_t row = built.note_at.at(1) + offsets::note_header + 8 + 16;
  patch<std::uint64_t>(built.bytes, row + 16, std::uint64_t{1} << 60);
  const OwnedCore core = parsed(built);
  CHECK(core.files.empty());
  CHECK(has(core, Kind::bad_file_note));
}

TEST_CASE("a file note with more rows than bytes is refused whole", "[core]") {
  CoreBuilder builder(Style::kernel);
  builder.thread({}).files({{0x1000, 0x2000, 0, "/a"}});
  Built built = builder.build();
  const std::uint64_t count = GENERATE(2u, 1000u, 0x0aaaaaaaaaaaaaabu, ~std::uint64_t{0});
  patch(built.bytes, built.note_at.at(1) + offsets::note_header + 8, count);
  const OwnedCore core = parsed(built);
  CHECK(core.files.empty());
  CHECK(has(core, Kind::bad_file_note));
  CHECK(core.threads.size() == 1);
}

TEST_CASE("segments out of order are sorted", "[core]") {
  CoreBuilder builder(Style::kernel);
  builder.thread({})
      .segment(page(0x9000, "c"))
      .segment(page(0x1000, "a"))
      .segment(page(0x5000, "b"));
  const OwnedCore core = parsed(builder.build());
  REQUIRE(core.segments.size() == 3);
  CHECK(text_of_bytes(core.segments[0].bytes.bytes()) == "a");
  CHECK(text_of_bytes(core.segments[1].bytes.bytes()) == "b");
  CHECK(text_of_bytes(core.segments[2].bytes.bytes()) == "c");
}

TEST_CASE("segments that fit no address space are told and left out", "[core]") {
  CoreBuilder builder(Style::kernel);
  builder.thread({}).segment(page(0x1000)).segment(page(0x5000));
  Built built = builder.build();
  const std::uint64_t header = Built::header_at(2);
  const auto [field, value] = GENERATE(table<std::uint64_t, std::uint64_t>(
      {{offsets::ph_vaddr, ~std::uint64_t{0} - 0xffe},  // the end is one past the top
       {offsets::ph_memsz, ~std::uint64_t{0}},
       {offsets::ph_memsz, 4},  // less memory than bytes
       {offsets::ph_filesz, ~std::uint64_t{0}},
       {offsets::ph_offset, ~std::uint64_t{0}}}));
  patch(built.bytes, header + field, value);
  const OwnedCore core = parsed(built);
  REQUIRE(core.segments.size() == 1);
  CHECK(core.segments[0].range.begin == Addr{0x1000});
  CHECK(has(core, Kind::segment_overflow));
  CHECK_FALSE(core.truncated());
}

TEST_CASE("vsyscall's page is no overflow", "[core]") {
  CoreBuilder builder(Style::kernel);
  builder.thread({}).segment(page(0xffffffffff600000));
  const OwnedCore core = parsed(builder.build());
  CHECK(core.problems.empty());
  CHECK(core.segments.at(0).range.end == Addr{0xffffffffff601000});
}

TEST_CASE("notes nobody knows are passed over", "[core]") {
  CoreBuilder builder(Style::kernel);
  builder.note("", 1, text_blob("no name"))
      .note("CORE", 0xbadbad, text_blob("unknown type"))
      .note("LINUX", 1, Blob(336))       // NT_PRSTATUS's number under another name
      .note("LINUX", 0x202, Blob(2432))  // NT_X86_XSTATE
      .note("ODD", 7, text_blob("12345"))
      .note("EMPTY", 7, {})
      .thread({.tid = 42});
  const OwnedCore core = parsed(builder.build());
  CHECK(core.problems.empty());
  REQUIRE(core.threads.size() == 1);
  CHECK(core.threads[0].tid == 42);
}

TEST_CASE("a known note of a wrong size is told", "[core]") {
  CoreBuilder builder(Style::kernel);
  builder.note("CORE", 1, Blob(335)).note("CORE", 3, Blob(135)).note("CORE", 0x53494749, Blob(23));
  builder.thread({.tid = 42});
  const OwnedCore core = parsed(builder.build());
  CHECK(core.threads.size() == 1);
  CHECK_FALSE(core.process);
  CHECK_FALSE(core.signal);
  CHECK(std::ranges::count(core.problems, Kind::unknown_note_size, &CoreProblem::kind) == 2);
}

TEST_CASE("the first signal stands, and a sender's pid is read", "[core]") {
  CoreBuilder builder(Style::kernel);
  builder.thread({}).signal({.number = 6, .code = 0, .payload = 0x000003e8'00000123});
  builder.signal({.number = 19, .code = 128});
  const OwnedCore core = parsed(builder.build());
  REQUIRE(core.signal);
  CHECK(core.signal->number == 6);
  CHECK(core.signal->sender_pid == 0x123);
}

TEST_CASE("a process name is at most its field", "[core]") {
  CoreBuilder builder(Style::kernel);
  builder.thread({}).process({.name = "exactly15bytes!and more"});
  CHECK(parsed(builder.build()).process->name == "exactly15bytes!");
}

TEST_CASE("the auxiliary vector ends at its null entry", "[core]") {
  CoreBuilder builder(Style::kernel);
  builder.thread({}).auxv({{3, 0x40}, {0, 0}, {9, 0x401000}});
  CHECK(parsed(builder.build()).auxv.size() == 1);
}

TEST_CASE("more headers than e_phnum can say", "[core]") {
  CoreBuilder builder(GENERATE(Style::kernel, Style::gcore));
  builder.thread({.tid = 42}).segment(page(0x1000)).segment(page(0x5000)).extended_count();
  const OwnedCore core = parsed(builder.build());
  CHECK(core.problems.empty());
  CHECK(core.segments.size() == 2);
  CHECK(core.threads.size() == 1);
}

TEST_CASE("a PN_XNUM core that lost its section header still has its segments", "[core]") {
  CoreBuilder builder(Style::kernel);
  builder.thread({.tid = 42}).segment(page(0x1000)).segment(page(0x5000)).extended_count();
  Blob trap;  // read as program headers, these notes are PT_LOADs
  for (int word = 0; word < 100; ++word) append<std::uint32_t>(trap, 1);
  builder.note("LINUX", 0x999, trap);
  Built built = builder.build();
  built.bytes.resize(built.segment_at.at(1) + 2);
  const OwnedCore core = parsed(built);
  CHECK(core.truncated());
  REQUIRE(core.segments.size() == 2);
  CHECK(text_of_bytes(core.segments[1].bytes.bytes()) == "sa");
  CHECK(core.threads.size() == 1);
  CHECK_FALSE(has(core, Kind::segment_overflow));  // nothing but headers was read as headers
}

TEST_CASE("70,000 segments, whole and cut", "[core]") {
  CoreBuilder builder(Style::kernel);
  builder.thread({.tid = 42});
  for (std::uint64_t i = 1; i <= 70'000; ++i)
    builder.segment({.begin = i * 0x2000, .size = 0x1000, .saved = {}});
  builder.segment(page(0x7f0000000000));
  Built built = builder.build();
  CHECK(parsed(built).segments.size() == 70'001);
  CHECK(parsed(built).problems.empty());
  built.bytes.resize(built.section_at - 1);
  CHECK(parsed(built).segments.size() == 70'001);
  CHECK(parsed(built).threads.size() == 1);
}

TEST_CASE("a cut kernel core keeps its threads", "[core]") {
  Built built = small_core(Style::kernel);
  const std::size_t whole = built.bytes.size();
  built.bytes.resize(built.segment_at.at(2) + 10);
  const OwnedCore core = parsed(built);
  CHECK(core.truncated());
  CHECK(core.declared_bytes == whole);
  CHECK(core.threads.size() == 2);
  CHECK(core.files.size() == 2);
  CHECK(core.writer == Writer::kernel);
  CHECK_FALSE(has(core, Kind::notes_cut));
  CHECK_FALSE(has(core, Kind::no_threads));
  CHECK(core.segments.at(2).bytes.size() == 10);
  CHECK(core.segments.at(2).saved == 96);
}

TEST_CASE("one lost byte is a truncation", "[core]") {
  Built built = small_core(GENERATE(Style::kernel, Style::gcore));
  built.bytes.pop_back();
  CHECK(parsed(built).truncated());
}

TEST_CASE("a cut gcore loses its threads and keeps its memory", "[core]") {
  Built built = small_core(Style::gcore);
  built.bytes.resize(built.notes_at);
  const OwnedCore core = parsed(built);
  CHECK(core.truncated());
  CHECK(core.threads.empty());
  CHECK(has(core, Kind::no_threads));
  CHECK(has(core, Kind::notes_cut));
  CHECK(core.segments.at(2).bytes.size() == 96);
}

TEST_CASE("a cut inside the notes keeps what comes before", "[core]") {
  Built built = small_core(Style::gcore);
  built.bytes.resize(built.note_at.back() - 1);
  const OwnedCore core = parsed(built);
  CHECK(core.threads.size() == 2);
  CHECK(has(core, Kind::notes_cut));
  built.bytes.resize(built.note_at.at(1) + 40);
  CHECK(parsed(built).threads.size() == 1);
}

TEST_CASE("memory without a thread is told, and is no kernel's core", "[core]") {
  CoreBuilder builder(Style::kernel);
  builder.signal({.number = 11}).segment(page(0x1000));
  const OwnedCore core = parsed(builder.build());
  CHECK(has(core, Kind::no_threads));
  CHECK(core.writer == Writer::other);
}

TEST_CASE("fewer headers than the count says", "[core]") {
  Built built = small_core(Style::kernel);
  patch<std::uint16_t>(built.bytes, offsets::phnum, 1000);
  const OwnedCore core = parsed(built);
  CHECK(has(core, Kind::headers_cut));
  CHECK(core.threads.size() == 2);
}

// One PT_NOTE of n bytes under m headers is n * m bytes of work and of threads: a file of a
// megabyte could ask for hours.
TEST_CASE("the same notes under many headers are read once", "[core]") {
  CoreBuilder builder(Style::kernel);
  builder.thread({.tid = 1}).thread({.tid = 2});
  for (std::uint64_t i = 1; i <= 100; ++i) builder.segment(page(i * 0x1000, "x"));
  Built built = builder.build();
  const auto first = built.bytes.begin() + static_cast<std::ptrdiff_t>(Built::header_at(0));
  const Blob notes(first, first + offsets::ph_size);
  for (std::size_t i = 1; i <= 99; ++i)
    std::ranges::copy(notes, first + static_cast<std::ptrdiff_t>(i * offsets::ph_size));
  const OwnedCore core = parsed(built);
  CHECK(core.threads.size() == 2);
  CHECK(has(core, Kind::notes_cut));
}

TEST_CASE("identity is the header, the program headers and the notes but the extended registers",
          "[core]") {
  const Built built = small_core(Style::kernel);
  const OwnedCore core = parsed(built);
  std::size_t size = 0;
  for (const Bytes part : core.identity) size += part.size();
  // The note of extended registers (LINUX 0x202) of this core: header, name "LINUX", 8 bytes.
  constexpr std::size_t extended = 12 + 8 + 8;
  CHECK(size == offsets::header_size + 4 * offsets::ph_size + built.notes_size - extended);
}

TEST_CASE("what is no core says what it is", "[core]") {
  CHECK(refusal({}).says("not a core dump"));
  CHECK(refusal_of_text("#!/bin/sh\necho hello\n").says("text file"));
  CHECK(refusal_of_text("\x1f\x8b\x08").says("no ELF header"));
  CHECK_FALSE(refusal_of_text("\x1f\x8b\x08").says("text file"));
  CHECK(refusal_of_text("\x7f"
                        "ELF")
            .says("cut after 4 bytes"));
  CHECK(refusal_of_text(std::string_view("\x7f"
                                         "ELF\x01\x01\x01\0",
                                         8))
            .says("32-bit"));
  CHECK(refusal_of_text(std::string_view("\x7f"
                                         "ELF\x02\x02\x01\0",
                                         8))
            .says("big-endian"));
}

TEST_CASE("a whole header of something else says what it is", "[core]") {
  const auto patched = [](std::uint64_t offset, auto value) {
    Built built = small_core(Style::kernel);
    patch(built.bytes, offset, value);
    return refusal(built.bytes);
  };
  CHECK(patched(offsets::elf_class, std::uint8_t{1}).says("32-bit"));
  CHECK(patched(offsets::byte_order, std::uint8_t{2}).says("big-endian"));
  CHECK(patched(offsets::type, std::uint16_t{2}).says("program or library"));
  CHECK(patched(offsets::type, std::uint16_t{3}).says("program or library"));
  CHECK(patched(offsets::type, std::uint16_t{1}).says("no core dump"));
  CHECK(patched(offsets::machine, std::uint16_t{183}).says("aarch64"));
  CHECK(patched(offsets::machine, std::uint16_t{0x4242}).says("16962"));
  CHECK_FALSE(patched(offsets::machine, std::uint16_t{62}).trouble);
}

TEST_CASE("a core with nothing left in it is refused", "[core]") {
  const Built built = small_core(Style::kernel);
  const Bytes all = built.bytes;
  CHECK(refusal(all.first(63)).says("cut after 63 bytes"));
  CHECK(refusal(all.first(64)).says("no thread and no memory"));
  CHECK(refusal(all.first(built.notes_at)).says("no thread and no memory"));
  CHECK_FALSE(refusal(all.first(built.note_at.at(1))).trouble);
}

TEST_CASE("kind_of_file tells a program from a core", "[core]") {
  Built built = small_core(Style::kernel);
  CHECK(kind_of_file(built.bytes) == FileKind::core);
  patch<std::uint16_t>(built.bytes, offsets::type, 2);
  CHECK(kind_of_file(built.bytes) == FileKind::program);
  patch<std::uint16_t>(built.bytes, offsets::type, 3);
  CHECK(kind_of_file(built.bytes) == FileKind::program);
  patch<std::uint16_t>(built.bytes, offsets::type, 1);
  CHECK(kind_of_file(built.bytes) == FileKind::other);
  CHECK(kind_of_file(text_blob("text")) == FileKind::other);
  CHECK(kind_of_file({}) == FileKind::other);
}

}  // namespace
}  // namespace coldcase
