// Names for code addresses: function, file, line and the functions inlined there. Asked once for
// all distinct addresses of a run, so that each module's tables are gone through once.
#pragma once

#include <coldcase/address.hpp>
#include <span>
#include <string>
#include <vector>

#include "modules/modules.hpp"

namespace coldcase {

struct SourceLine {
  std::string file;
  std::uint32_t line = 0;  // 0: unknown
};

// A function inlined at an address, with the line it executes there.
struct InlineName {
  std::string function;
  SourceLine where;
};

// How much of the debug information was read that tells lines and inlined functions.
enum class DebugRead : std::uint8_t {
  whole,      // all there is, which may be none
  split,      // a unit's entries are in a .dwo or .dwp file: its lines, no inlined functions
  cut_short,  // damaged: it would have taken more steps than any sound file
};

struct CodeName {
  const Module* module = nullptr;
  std::string function;  // demangled; empty when no symbol covers the address
  std::string symbol;    // as the symbol table has it
  Addr start;            // of the function, in the process; meaningful when `symbol` is set
  Size size = 0;
  bool from_debug_file = false;  // the name is in the separate debug file or in DWARF alone
  SourceLine where;  // of the real function: with inlines, the line of the outermost call
  std::vector<InlineName> inlines;  // innermost first
  DebugRead debug_read = DebugRead::whole;
};

// One CodeName for each address, in the order of the addresses. A return address has to be passed
// minus one. A symbol names an address only when it covers it: the nearest one below is no name.
std::vector<CodeName> name_code(const Modules& modules, std::span<const Addr> addresses);

// A C++ or Rust name for reading; the symbol itself when it is neither.
std::string demangle(std::string_view symbol);
// Empty when it is no Rust name.
std::string demangle_rust(std::string_view symbol);

// "/home/ada/x.py" -> "~/x.py": reports leave the machine.
std::string shorten_home(std::string_view path);

}  // namespace coldcase
