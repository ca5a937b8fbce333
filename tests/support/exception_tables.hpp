// Exception tables as compilers write them: an entry of .eh_frame with its parent, and an LSDA.
#pragma once

#include "support/core_builder.hpp"

namespace coldcase::test {

// An entry of .eh_frame with its parent, and its LSDA with three call sites, at file address base.
struct Tables {
  Blob bytes;
  std::uint64_t base = 0x2000;
  std::uint64_t entry = 0;
  std::uint64_t lsda = 0;
};
Tables sample_tables();

}  // namespace coldcase::test
