// What the core itself says, as facts: input, process, signal, modules, threads; and after the
// lenses, what each thread's stack says: its site and its entry.
#pragma once

#include "bytes/input.hpp"
#include "lens/ledger.hpp"
#include "lens/view.hpp"

namespace coldcase {

// Adds the process, its input, its modules and its threads. The view's ids must be set.
void add_basics(const View& view, const Input& input, std::int32_t signal_thread, Ledger& ledger);

// After the stacks are built.
void add_sites(const View& view, Ledger& ledger);

// Notes on what was missing: truncation, files, stacks that ended early.
void add_gaps(const View& view, const Input& input, Ledger& ledger);

// A static program: glibc's or musl's functions are in it, like its own.
bool has_c_library_linked_in(const Modules& modules);

// "SIGSEGV"; "signal 77" for one without a name here.
std::string signal_name(std::int64_t number);

}  // namespace coldcase
