#include "modules/plt.hpp"

#include <algorithm>

namespace coldcase {
namespace {

constexpr std::uint32_t section_rela = 4;  // SHT_RELA
constexpr std::size_t most_relocations = 1'000'000;

// Elf64_Rela.
struct Relocation {
  std::uint64_t offset;
  std::uint64_t info;
  std::int64_t addend;
  std::uint64_t symbol() const { return info >> 32; }
};
static_assert(sizeof(Relocation) == 24);

bool has(Bytes bytes, std::uint64_t offset, std::initializer_list<unsigned> pattern) {
  return std::ranges::equal(
      slice(bytes, offset, pattern.size()), pattern,
      [](std::byte one, unsigned other) { return std::to_integer<unsigned>(one) == other; });
}

std::optional<std::uint64_t> slot_of(Bytes code, std::uint64_t stub) {
  std::uint64_t offset = has(code, 0, {0xf3, 0x0f, 0x1e, 0xfa}) ? 4 : 0;
  if (has(code, offset, {0xf2})) ++offset;
  if (!has(code, offset, {0xff, 0x25})) return std::nullopt;
  const auto displacement = parse_at<std::int32_t>(code, offset + 2);
  if (!displacement) return std::nullopt;
  return stub + offset + 6 + static_cast<std::uint64_t>(std::int64_t{*displacement});
}

// Where code is built for indirect branch tracking .plt has only the lazy half of each stub:
// endbr64; push $index; bnd jmp. The index is that of its relocation.
std::optional<std::uint64_t> pushed_index(Bytes code) {
  const std::uint64_t offset = has(code, 0, {0xf3, 0x0f, 0x1e, 0xfa}) ? 4 : 0;
  if (!has(code, offset, {0x68})) return std::nullopt;
  return parse_at<std::uint32_t>(code, offset + 1);
}

std::string symbol_of(const ElfFile& file, const elf::SectionHeader& section,
                      const Relocation& relocation) {
  if (section.link >= file.sections().size() || relocation.symbol() == 0) return {};
  const elf::SectionHeader& table = file.sections()[section.link].header;
  if (table.link >= file.sections().size()) return {};
  const elf::SectionHeader& strings = file.sections()[table.link].header;
  const auto symbol = parse_at<elf::Symbol>(slice(file.bytes(), table.offset, table.size),
                                            relocation.symbol() * sizeof(elf::Symbol));
  if (!symbol) return {};
  return std::string(text_at(slice(file.bytes(), strings.offset, strings.size), symbol->name));
}

// What the loader is asked to put into the slot.
std::string imported_at(const ElfFile& file, std::uint64_t slot) {
  for (const ElfSection& section : file.sections()) {
    if (section.header.type != section_rela) continue;
    const Bytes rows = slice(file.bytes(), section.header.offset, section.header.size);
    const std::size_t count = std::min(rows.size() / sizeof(Relocation), most_relocations);
    for (std::size_t i = 0; i < count; ++i) {
      const auto row = *parse_at<Relocation>(rows, i * sizeof(Relocation));
      if (row.offset == slot) return symbol_of(file, section.header, row);
    }
  }
  return {};
}

std::string imported_by_index(const ElfFile& file, std::uint64_t index) {
  const ElfSection* section = file.find_section(".rela.plt");
  if (section == nullptr) return {};
  const auto row =
      parse_at<Relocation>(slice(file.bytes(), section->header.offset, section->header.size),
                           index * sizeof(Relocation));
  return row ? symbol_of(file, section->header, *row) : std::string();
}

}  // namespace

std::optional<Addr> find_plt_slot(const MemoryImage& image, Addr stub) {
  const auto slot = slot_of(image.view(stub, 16), stub.value);
  return slot ? std::optional(Addr{*slot}) : std::nullopt;
}

std::optional<PltStub> find_plt_stub(const ElfFile& file, std::uint64_t value) {
  for (const ElfSection& section : file.sections()) {
    const elf::SectionHeader& header = section.header;
    if (!section.name.starts_with(".plt") || value < header.addr ||
        value - header.addr >= header.size)
      continue;
    // .plt.got has entries of 8 bytes, or of 16 with endbr64; linkers write the size (lld: 0).
    const std::uint64_t size = header.entsize == 8 ? 8 : 16;
    PltStub stub{header.addr + (value - header.addr) / size * size, size, {}};
    const Bytes code = file.at_address(stub.begin, size);
    if (const auto slot = slot_of(code, stub.begin)) {
      stub.name = imported_at(file, *slot);
    } else if (const auto index = pushed_index(code)) {
      stub.name = imported_by_index(file, *index);
    }
    if (!stub.name.empty()) return stub;
  }
  return std::nullopt;
}

}  // namespace coldcase
