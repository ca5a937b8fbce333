// Frames of generators and coroutines that are suspended: they belong to no thread's chain, and
// with blocks stand open in them all the same (cpython.md 3.7).
#pragma once

#include "lens/cpython/locks.hpp"
#include "lens/cpython/lookup.hpp"

namespace coldcase::cpython {

// A generator, coroutine or asynchronous generator, suspended or not.
bool is_generator(const Objects& objects, Addr object);

// The frame of one that is suspended after it began; nothing for one that runs, has not begun or
// has ended.
std::optional<PythonFrame> read_suspended(Python& python, Addr generator);

// The values on a suspended frame's stack, the deepest first.
std::vector<Addr> read_suspended_stack(const Objects& objects, const PythonFrame& frame);

// The suspended frame and those of what it delegates to (`yield from`, `await`), from the outermost
// inwards. At most 64.
std::vector<PythonFrame> read_delegation(Python& python, Addr generator);

// The with blocks that stand open in it and in what it delegates to, outermost first. `self` is the
// manager: a lock, or what lock_managers.hpp follows.
std::vector<WithMarker> find_suspended_markers(Python& python, Addr generator);

// Generators that the for loops iterate over in which a frame stands.
std::vector<Addr> read_iterators(Lookup& lookup, const PythonFrame& frame);

}  // namespace coldcase::cpython
