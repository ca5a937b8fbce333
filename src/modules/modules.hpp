// Which files were mapped into the process, whether the files of this machine are these, and what
// lies at an address. Found from NT_FILE and the dynamic loader's link map, identified through the
// core.
#pragma once

#include <coldcase/words.hpp>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "bytes/companions.hpp"
#include "core/core.hpp"
#include "image/image.hpp"
#include "modules/elf_file.hpp"
#include "modules/separate.hpp"

namespace coldcase {

// How sure it is that a file of this machine is the one that was mapped.
enum class Identity : std::uint8_t {
  none,         // no file is used
  same_layout,  // neither has a build-id, or the core lacks the page of the one it had and the
                // header page is the same; program headers and size agree: no claim is proved
                // through it
  build_id      // the build-ids are equal
};

struct Module {
  std::string path;                         // as the core records it
  Range range;                              // from its first mapped byte to its last
  std::uint64_t bias = 0;                   // address in the process = bias + address in the file
  std::vector<elf::ProgramHeader> headers;  // from the core, else from the file
  std::string build_id;  // from the core; empty when it has none or the page is absent
  // Its place in the loader's list of the program's own namespace; none: in another one (dlmopen),
  // or no list tells.
  std::optional<std::uint32_t> loaded;
  bool header_saved = false;  // the core holds the ELF header page
  Bytes header_page;          // then: its bytes
  Identity identity = Identity::none;
  Found found = Found::missing;
  bool unverifiable = false;  // a file is here, and the core lacks the page that would identify it
  std::string rejected;       // the file that was refused, for the note
  std::unique_ptr<ElfFile> file;
  std::unique_ptr<ElfFile> debug;       // separate debug file: of the same build-id, or CRC
  std::unique_ptr<ElfFile> supplement;  // what dwz moved common DWARF to, by its build-id
  // Sections of a debug file that is too large to be fetched, for names and lines at addresses
  // alone: no symbol is looked up in them, so that nothing read from memory rests on them.
  std::unique_ptr<ElfFile> parts;
  std::string lacks_supplement;  // the build-id of the one that was not found
  std::string refused_file;      // what a server sent for it, and is another file

  std::string_view name() const;  // without folders, and without the kernel's " (deleted)"
  bool of_c_library() const;      // by its name: glibc, its parts before 2.34, its loader
  Addr to_process(std::uint64_t file_address) const { return Addr{bias + file_address}; }
  std::uint64_t to_file(Addr at) const { return at.value - bias; }
  // The file whose symbol tables are the fullest.
  const ElfFile* symbols() const;
  // The symbols of functions packed inside the file (.gnu_debugdata), unpacked when first asked
  // for; null when there are none or fuller ones are here.
  const ElfFile* packed_symbols() const;
  SymbolLevel level() const;
  std::optional<Addr> find_symbol(std::string_view name) const;

  mutable std::unique_ptr<ElfFile> packed;
  mutable bool tried_packed = false;
};

struct FileSearch {
  std::vector<std::string> executables, sysroots, debug_dirs;
  const Companions* beside = nullptr;  // of the core; null: nothing is known of its place
};

class Modules {
 public:
  // By address; the main program's index when it is known.
  std::vector<Module> list;
  std::size_t executable = npos;
  static constexpr std::size_t npos = static_cast<std::size_t>(-1);

  const Module* find(Addr at) const;
  std::size_t index_of(const Module* module) const {
    return static_cast<std::size_t>(module - list.data());
  }
  // The modules as the program itself looks a name up: its own namespace in the loader's order,
  // then the others by address. A copy that dlmopen made may lie below the one that the program
  // uses, and has variables of its own.
  std::vector<std::reference_wrapper<const Module>> in_lookup_order() const;
};

// Finds and identifies the modules. `image` is that of the core alone.
Modules find_modules(const Core& core, const MemoryImage& image, const FileSearch& search);

// What the modules' files hold of the ranges the core mapped from them, with the reason where not.
std::vector<Extent> file_extents(const Core& core, const Modules& modules);

// Internal to the stage: the files to try for a recorded path, best first. Those in the core's
// archive are named as it shows them.
std::vector<std::string> candidate_files(std::string_view recorded, std::string_view build_id,
                                         bool is_executable, const FileSearch& search);
std::vector<std::string> debug_files(std::string_view recorded, std::string_view build_id,
                                     const FileSearch& search);
// For the name in .gnu_debuglink of the file opened at `opened`.
std::vector<std::string> linked_files(std::string_view recorded, std::string_view opened,
                                      std::string_view link, const FileSearch& search);
std::vector<std::string> supplement_files(std::string_view opened, const AltLink& link,
                                          const FileSearch& search);
// The path of a file that was deleted under the process, without the kernel's " (deleted)".
std::string_view without_deleted(std::string_view path);
// How sure it is that `file` is what the core had mapped.
Identity compare(const Module& module, const ElfFile& file);
// The debug file and dwz's supplement for what the module has by now, as far as they are here.
void find_debug_files(Module& module, const FileSearch& search);
// False when it is not the one that the module's DWARF was split from.
bool add_supplement(Module& module, std::unique_ptr<ElfFile> common);
// Null when it cannot be opened or is no ELF file for us.
std::unique_ptr<ElfFile> open_candidate(const std::string& path, const FileSearch& search);

}  // namespace coldcase
