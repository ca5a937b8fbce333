// File descriptors as resources: known by number alone, or by what a side-car says they are.
#pragma once

#include "lens/ledger.hpp"
#include "lens/view.hpp"

namespace coldcase {

// The resource for a descriptor of this process. With a side-car two descriptors of one pipe are
// one resource, whichever process has them. `hint`: what the call that uses it implies.
ResourceId resource_of_descriptor(const View& view, Ledger& ledger, std::int64_t fd, WaitKind hint);

// The key of a process's wait for the file's lock among named resources. Each process has its own:
// locks have ranges and modes, and one's waits say nothing of another's.
std::string key_of_file_lock(ProcessId process, const OpenFile& file);

// "pipe:[1234]" -> 1234 when the target begins so.
std::optional<std::uint64_t> inode_of_target(std::string_view target, std::string_view kind);

}  // namespace coldcase
