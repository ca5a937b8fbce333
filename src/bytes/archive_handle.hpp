// libarchive's reader, owned. Internal to this stage: nobody else sees libarchive.
#pragma once

#include <archive.h>
#include <archive_entry.h>

#include <memory>
#include <string>

#include "bytes/spool.hpp"

namespace coldcase {

struct FreeArchive {
  void operator()(archive* reader) const { ::archive_read_free(reader); }
};
using ArchiveHandle = std::unique_ptr<archive, FreeArchive>;

// Throws Error when there is no memory for one.
ArchiveHandle new_archive_reader();

// libarchive's sentence about what went wrong last.
std::string error_of(archive* reader);

// The current entry's content, holes and all, to the end of the spool. Returns why it stopped
// early; empty when it did not.
std::string copy_data(archive* reader, Spool& spool);

}  // namespace coldcase
