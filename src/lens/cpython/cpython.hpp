// The CPython lens: gives the interpreter's frames for merged stacks, then says what the threads'
// native waits mean in Python and who holds Python's locks.
#pragma once

#include <map>

#include "lens/cpython/gil.hpp"
#include "lens/cpython/locks.hpp"
#include "lens/ledger.hpp"
#include "lens/stacks.hpp"

namespace coldcase::cpython {

// What was found before stacks exist.
struct PythonFacts {
  std::unique_ptr<Python> python;
  std::vector<GilWait> gil_waits;
  std::map<std::size_t, PendingCallback> callbacks;  // by core thread
  std::vector<Unread> problems;
};

PythonFacts read_python(const View& view, const Pthreads& pthreads, const NativeWaits& native);

// Frames of each of the core's threads, for the stack builder.
std::vector<Interpreted> interpret(const PythonFacts& facts, std::size_t thread_count,
                                   StackBuilder& builder);

// Names, runtime, GIL, and Python's locks into the ledger. After the native waits are there.
void look_at_cpython(const View& view, const PythonFacts& facts, const Pthreads& pthreads,
                     const NativeWaits& native, const std::vector<StackMap>& stacks,
                     Ledger& ledger);

// The core's threads that feed the multiprocessing.Queue at this address (Queue._thread); none when
// there is no such object in this process.
std::vector<std::size_t> feeders_of_queue(const PythonFacts& facts, const Pthreads& pthreads,
                                          Addr queue);

// The name of the child with this number for which the thread waits; empty when it does not say.
std::string find_child_name(const PythonFacts& facts, std::size_t core_thread, std::int64_t pid);

// A name for where a callback begins: "<lambda> (callback, not yet entered)".
inline constexpr std::string_view pending_suffix = " (callback, not yet entered)";

}  // namespace coldcase::cpython
