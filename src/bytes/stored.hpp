// Bytes of a file, or of a part of it that lies there as it is (a member of a plain tar): copies
// share the mapping, which lives as long as the last of them.
#pragma once

#include <memory>

#include "bytes/mapping.hpp"

namespace coldcase {

struct Stored {
  std::shared_ptr<const Mapping> file;
  Bytes bytes;

  Stored() = default;
  explicit Stored(Mapping mapping)
      : file(std::make_shared<const Mapping>(std::move(mapping))), bytes(file->bytes()) {}
  Stored(std::shared_ptr<const Mapping> whole, Bytes part) : file(std::move(whole)), bytes(part) {}
};

}  // namespace coldcase
