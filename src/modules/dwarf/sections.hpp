// The sections of one file's debug information, inflated where they were packed. Those that a file
// does not have are empty.
#pragma once

#include "bytes/view.hpp"

namespace coldcase::dwarf {

struct Sections {
  Bytes info, abbrev, aranges, line, text, line_text;
  Bytes ranges;                             // DWARF 4
  Bytes rnglists, addresses, text_offsets;  // DWARF 5
};

}  // namespace coldcase::dwarf
