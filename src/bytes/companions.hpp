// What lies beside a core and may be of its process: in the archive it came in, or in its folder.
// Whoever reads one of them proves by its build-id that it is.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "bytes/stored.hpp"

namespace coldcase {

struct Companion {
  std::string name;   // its path in the archive
  std::string shown;  // ARCHIVE:NAME, for messages
  Stored content;
};

struct Companions {
  std::string folder;  // that the core lies in; empty for an archive or a stream
  std::vector<Companion> files;

  // By its shown name; null when there is none.
  const Companion* find(std::string_view shown) const;
};

}  // namespace coldcase
