// An ELF file on this machine (or inside the core: the vdso), opened once: program headers,
// build-id, symbols, and the libdw handles for call frame information and DWARF, made when first
// asked for.
#pragma once

#include <coldcase/address.hpp>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "bytes/mapping.hpp"
#include "core/elf_format.hpp"
#include "modules/go_table.hpp"
#include "modules/handles.hpp"

namespace coldcase {

// One function or object of a symbol table; value is an address of the file, not of the process.
struct ElfSymbol {
  Bytes names;  // from its name on: to its first NUL, or the string table's end
  std::uint64_t value = 0;
  std::uint64_t size = 0;
  std::uint8_t type = 0;  // STT_*
  std::uint8_t bind = 0;  // STB_*
  bool dynamic = false;
  bool function() const { return type == 2 || type == 10; }  // STT_FUNC, STT_GNU_IFUNC
  std::string_view name() const { return text_at(names, 0); }
};

struct ElfSection {
  std::string_view name;
  elf::SectionHeader header;
};

class ElfFile {
 public:
  // Null when the file cannot be opened or is no 64-bit x86_64 ELF object.
  static std::unique_ptr<ElfFile> open(const std::string& path);
  // DWARF is read only of bytes that may be written to: libelf inflates sections in place.
  enum class Writable : std::uint8_t { no, yes };
  static std::unique_ptr<ElfFile> from_memory(Bytes bytes, std::string name,
                                              Writable writable = Writable::no);
  static std::unique_ptr<ElfFile> from_buffer(std::vector<std::byte> bytes, std::string name);

  const std::string& path() const { return path_; }
  Bytes bytes() const { return bytes_; }
  const elf::Header& header() const { return header_; }
  const std::vector<elf::ProgramHeader>& program_headers() const { return headers_; }
  const std::vector<ElfSection>& sections() const { return sections_; }
  const ElfSection* find_section(std::string_view name) const;
  const std::string& build_id() const { return build_id_; }

  bool has_symtab() const { return find_section(".symtab") != nullptr; }
  bool has_dynsym() const { return find_section(".dynsym") != nullptr; }
  bool has_dwarf() const;
  std::uint64_t inflated_bytes() const;  // what its compressed sections take when opened
  // A section of debug information, inflated when it is compressed. Empty when there is none, or
  // it cannot be inflated.
  Bytes debug_section(std::string_view name) const;
  // These bytes will not be looked at again soon: their pages need not stay in memory.
  void done_with(Bytes part) const;

  // Every named, defined symbol of .symtab, then of .dynsym. The views live as long as the file.
  void each_symbol(const std::function<void(const ElfSymbol&)>& visit) const;
  // The value of a symbol by exact name, the global one first. Searched for once: asking again for
  // every thread is cheap.
  std::optional<ElfSymbol> find_symbol(std::string_view name) const;

  // Whether it takes a symbol of one of these names from another file.
  bool imports_any(std::span<const std::string_view> names) const;

  // The bytes that the file maps at its own address `value`, up to `size`.
  Bytes at_address(std::uint64_t value, std::uint64_t size) const;

  const GoTable* go_table() const;  // null when it is no Go program

  // The file that dwz moved common parts of this one's DWARF to; it has to live as long. Before the
  // first dwarf().
  void set_supplement(const ElfFile* common) { supplement_ = common; }

  Elf* elf() const;              // null when libelf refuses it
  Dwarf_CFI* cfi() const;        // of .eh_frame; null when there is none
  Dwarf_CFI* debug_cfi() const;  // of .debug_frame; null when there is none
  Dwarf* dwarf() const;          // null when there is none, or it is too large to inflate

 private:
  ElfFile() = default;
  bool parse();
  void hide_alt_link() const;
  struct SymbolTable {
    Bytes rows, names;
    bool dynamic = false;
  };
  SymbolTable symbol_table(std::string_view name) const;

  std::string path_;
  Mapping mapping_;
  std::vector<std::byte> owned_;  // or this
  Bytes bytes_;
  bool writable_ = false;
  elf::Header header_{};
  std::vector<elf::ProgramHeader> headers_;
  std::vector<ElfSection> sections_;
  std::string build_id_;
  const ElfFile* supplement_ = nullptr;
  mutable ElfHandle elf_;
  mutable DwarfHandle dwarf_;
  mutable CfiHandle cfi_;
  mutable std::map<std::string, std::optional<ElfSymbol>> found_;
  mutable std::optional<GoTable> go_table_;
  mutable bool tried_elf_ = false, tried_dwarf_ = false, tried_cfi_ = false, tried_go_ = false;
};

// The GNU build-id among these notes as hex digits; empty when there is none.
std::string parse_build_id(Bytes notes);

// The program headers an ELF header at the start of `bytes` announces, as far as they are there.
std::vector<elf::ProgramHeader> parse_program_headers(Bytes bytes);

}  // namespace coldcase
