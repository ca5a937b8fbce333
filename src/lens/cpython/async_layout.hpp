// Where CPython and its _asyncio keep coroutines, futures and tasks: offsets in bytes, x86_64, one
// row for each minor version, measured from DWARF (3.8.18, 3.9.18, 3.10.13, 3.11.7, 3.12.1,
// 3.13.0). A row of _asyncio is used only where the size that the type itself tells is the row's.
#pragma once

#include <cstdint>

#include "lens/cpython/objects.hpp"

namespace coldcase::cpython {

// -1: the version has no such field.
struct AsyncLayout {
  int minor;
  // PyThreadState: the dict that has the running loop (to 3.12), or the loop itself
  std::int32_t ts_dict, ts_running_loop;
  // PyGenObject, and what its coroutine and asynchronous generator share with it
  std::int32_t gen_frame, gen_iframe, gen_running, gen_qualname, gen_state;
  // Of a suspended frame: the top of its value stack as a pointer, as a depth from its bottom, as
  // an index counted from the first local
  std::int32_t frame_stack_top, frame_stack_depth, frame_stack_index;
  std::int32_t frame_state;
  // FutureObj and TaskObj (Modules/_asynciomodule.c)
  std::int32_t task_size, future_state, future_callback, future_callbacks, future_loop, task_name,
      task_coro, task_waiter;
  // PyFunctionObject
  std::int32_t function_closure;
};

// Null: no row for this version.
const AsyncLayout* find_async_layout(const Layout& layout);

}  // namespace coldcase::cpython
