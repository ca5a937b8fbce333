// Stubs of the PLT: named as they should be, and whatever a damaged file says of them.
#include "modules/plt.hpp"
#include "support/catch.hpp"
#include "support/core_builder.hpp"

namespace coldcase {
namespace {

using namespace test;

constexpr std::uint64_t stubs = 0x1000, slots = 0x4000;

struct SectionPlan {
  std::string name;
  std::uint32_t type;
  std::uint64_t address;
  Blob bytes;
  std::uint32_t link;
  std::uint64_t entry;
};

void append_text(Blob& blob, std::string_view text) {
  for (const char letter : text) append(blob, letter);
  append(blob, '\0');
}

Blob blob(std::initializer_list<unsigned> bytes) {
  Blob all;
  for (const unsigned byte : bytes) append(all, static_cast<std::uint8_t>(byte));
  return all;
}

// jmp *slot(%rip) at `at`, filled up to 16 bytes.
Blob stub_to(std::uint64_t at, std::uint64_t slot) {
  Blob code = blob({0xff, 0x25});
  append(code, static_cast<std::int32_t>(slot - (at + 6)));
  code.resize(16, std::byte{0x90});
  return code;
}

void add(Blob& to, const Blob& more) {
  to.insert(to.end(), more.begin(), more.end());
}

std::vector<SectionPlan> sections() {
  Blob code(16, std::byte{0x90});  // PLT0
  add(code, stub_to(stubs + 16, slots));
  add(code, stub_to(stubs + 32, slots + 8));
  // endbr64; push $1; bnd jmp: where code is built for branch tracking.
  Blob lazy = blob({0xf3, 0x0f, 0x1e, 0xfa, 0x68, 1, 0, 0, 0, 0xf2, 0xe9, 0, 0, 0, 0, 0x90});
  add(code, lazy);
  Blob symbols(24);
  Blob names(1);
  for (const std::string_view name : {"pause", "_ZN4code4waitEi"}) {
    append(symbols, static_cast<std::uint32_t>(names.size()));
    symbols.resize(symbols.size() + 20);
    append_text(names, name);
  }
  Blob relocations;
  for (std::uint64_t i = 0; i < 2; ++i) {
    append(relocations, slots + 8 * i);
    append(relocations, (i + 1) << 32 | 7);  // R_X86_64_JUMP_SLOT
    append(relocations, std::uint64_t{0});
  }
  return {{"", 0, 0, {}, 0, 0},
          {".plt", 1, stubs, code, 0, 16},
          {".dynsym", 11, 0, symbols, 3, 24},
          {".dynstr", 3, 0, names, 0, 0},
          {".rela.plt", 4, 0, relocations, 2, 24}};
}

Blob sample() {
  Blob file = blob({0x7f, 0x45, 0x4c, 0x46, 2, 1, 1});
  file.resize(64 + 56);
  patch(file, offsets::type, std::uint16_t{3});
  patch(file, offsets::machine, std::uint16_t{62});
  patch(file, offsets::phoff, std::uint64_t{64});
  patch(file, offsets::phnum, std::uint16_t{1});
  std::vector<SectionPlan> plans = sections();
  Blob titles;
  Blob headers;
  std::vector<std::uint64_t> places;
  for (const SectionPlan& plan : plans) places.push_back(file.size()), add(file, plan.bytes);
  for (std::size_t i = 0; i < plans.size(); ++i) {
    append(headers, static_cast<std::uint32_t>(titles.size()));
    append_text(titles, plans[i].name);
    append(headers, plans[i].type);
    append(headers, std::uint64_t{2});
    append(headers, plans[i].address);
    append(headers, places[i]);
    append(headers, std::uint64_t{plans[i].bytes.size()});
    append(headers, plans[i].link);
    append(headers, std::uint32_t{0});
    append(headers, std::uint64_t{1});
    append(headers, plans[i].entry);
  }
  // One segment: the stubs.
  patch(file, 64, std::uint32_t{1});
  patch(file, 64 + 4, std::uint32_t{5});
  patch(file, 64 + offsets::ph_offset, places[1]);
  patch(file, 64 + offsets::ph_vaddr, stubs);
  patch(file, 64 + offsets::ph_filesz, std::uint64_t{64});
  patch(file, 64 + offsets::ph_memsz, std::uint64_t{64});
  const std::uint64_t titles_at = file.size();
  add(file, titles);
  append(headers, std::uint32_t{0});
  append(headers, std::uint32_t{3});
  for (const std::uint64_t word :
       {std::uint64_t{0}, std::uint64_t{0}, titles_at, std::uint64_t{titles.size()},
        std::uint64_t{0}, std::uint64_t{1}, std::uint64_t{0}})
    append(headers, word);
  patch(file, offsets::shoff, std::uint64_t{file.size()});
  patch(file, 58, std::uint16_t{64});
  patch(file, 60, static_cast<std::uint16_t>(plans.size() + 1));
  patch(file, 62, static_cast<std::uint16_t>(plans.size()));
  add(file, headers);
  return file;
}

std::string name_at(const Blob& bytes, std::uint64_t value) {
  const auto file = ElfFile::from_memory(bytes, "sample");
  const auto stub = file ? find_plt_stub(*file, value) : std::nullopt;
  return stub ? stub->name : "";
}

TEST_CASE("stubs have the names of what they lead to", "[hostile]") {
  const Blob file = sample();
  CHECK(name_at(file, stubs + 16) == "pause");
  CHECK(name_at(file, stubs + 16 + 11) == "pause");
  CHECK(name_at(file, stubs + 32 + 6) == "_ZN4code4waitEi");
  CHECK(name_at(file, stubs + 48) == "_ZN4code4waitEi");  // by its index
  CHECK(name_at(file, stubs + 15).empty());
  CHECK(name_at(file, stubs + 64).empty());
  CHECK(name_at(file, stubs - 1).empty());
}

TEST_CASE("a damaged file's stubs", "[hostile]") {
  const Blob whole = sample();
  for (std::size_t size = 0; size < whole.size(); size += 3) {
    const Blob cut(whole.begin(), whole.begin() + static_cast<std::ptrdiff_t>(size));
    for (std::uint64_t at = 0; at < 64; at += 16) name_at(cut, stubs + at);
  }
  for (std::size_t i = 0; i < whole.size(); ++i) {
    Blob flipped = whole;
    for (const unsigned value : {0x00u, 0x7fu, 0xffu}) {
      flipped[i] = static_cast<std::byte>(value);
      for (std::uint64_t at = 0; at < 64; at += 16) name_at(flipped, stubs + at);
    }
  }
  SUCCEED();
}

}  // namespace
}  // namespace coldcase
