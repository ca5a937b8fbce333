// An ELF file made of sections that came one by one, so that no other code needs to know.
#pragma once

#include "modules/modules.hpp"

namespace coldcase {

// In the order of section_names (modules/debuginfod.hpp); what did not come is empty.
struct SectionBytes {
  Bytes note, symtab, strtab, line, line_text;
};

// Null when note, .symtab or .strtab are missing, or all together are larger than what is worth
// the memory; lines alone are left out then.
std::unique_ptr<ElfFile> join_sections(const SectionBytes& sections, std::string name);

// Whether the sections may be of the module's file, which has to be here. A single section proves
// nothing: the build-id's own has to be the module's, functions have to lie in its code, and those
// that it exports where its file has them. Names and lines are then believed one by one
// (symbols.cpp, places.cpp).
bool agrees(const Module& module, const ElfFile& sections);

}  // namespace coldcase
