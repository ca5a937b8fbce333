// Asks debuginfod servers for the files of a process that are not on this machine.
#pragma once

#include "modules/debuginfod.hpp"
#include "modules/modules.hpp"

namespace coldcase {

// Only for modules that threads run in or may return to: the others' files cost time and tell no
// stack. What comes goes up the same identity ladder as a file of this machine.
std::vector<FetchNote> fetch_files(const Core& core, const MemoryImage& saved,
                                   const FileSearch& search, Modules& modules, Debuginfod& servers);

// The source package that the module's file was built from, where its package note is readable.
std::optional<PackageNote> package_of(const Module& module);

// What fetch_files would ask for, of the modules as they are now: sorted, no more than `most`. What
// a further round could lack - the supplement of a debug file - is not known before that file is
// here.
std::vector<FetchRequest> missing_files(const Core& core, const MemoryImage& saved,
                                        const Modules& modules, std::size_t most);

// The command that would supply what the module lacks, for a shell; empty when nothing is known to.
std::string supply_command(const Module& module);

}  // namespace coldcase
