// A tar or zip archive: the files in it, in its order, through libarchive. A file that lies in the
// archive as it is (plain tar, "stored" in a zip) is not copied; another becomes a sparse unlinked
// file. Nothing is written under a name that the archive tells; archives inside are not opened.
#pragma once

#include <cstdint>
#include <functional>
#include <string>

#include "bytes/stored.hpp"

namespace coldcase {

struct Member {
  std::string name;  // as the archive has it: any bytes
  Stored content;
  std::string cut_short;  // why its content ends early; empty when it does not
};

struct ArchiveEnd {
  std::uint64_t files = 0;
  std::string problem;  // why the rest of the archive cannot be read; empty at its end
};

// POSIX ustar's magic, or a zip's first local header (also of an empty one).
bool is_archive(Bytes head);

// Gives each regular file's name and first bytes (those of its first block) to `wanted`, and what
// it wants to `keep`. Bounded: entries, and what is unpacked in all.
using Wanted = std::function<bool(const std::string& name, Bytes head)>;
using Keep = std::function<void(Member member)>;
ArchiveEnd read_archive(const Stored& archive, const Wanted& wanted, const Keep& keep);

}  // namespace coldcase
