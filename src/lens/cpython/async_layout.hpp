// Where CPython and its _asyncio keep coroutines, futures and tasks: offsets in bytes, x86_64, one
// row for each minor version, measured from DWARF (3.8.18, 3.9.18, 3.10.13, 3.11.7, 3.12.1,
// 3.13.0; the reference for 3.14.10 and 3.15.2). A row of _asyncio is used only where the size that
// the type itself tells is the row's. From 3.14 on _asyncio describes a part of itself, and that
// wins.
#pragma once

#include <cstdint>

#include "lens/cpython/objects.hpp"
#include "lens/view.hpp"

namespace coldcase::cpython {

// -1: the version has no such field.
struct AsyncLayout {
  int minor;
  // PyThreadState: the dict that has the running loop (to 3.12), or the loop itself
  std::int32_t ts_dict, ts_running_loop;
  // PyGenObject, and what its coroutine and asynchronous generator share with it
  std::int32_t gen_frame, gen_iframe, gen_running, gen_qualname, gen_state;
  // Values of its state: one that has not begun, one that runs; between them it is suspended
  std::int32_t state_created, state_running;
  // Of a suspended frame: the top of its value stack as a pointer, as a depth from its bottom, as
  // an index counted from the first local
  std::int32_t frame_stack_top, frame_stack_depth, frame_stack_index;
  std::int32_t frame_state;
  // FutureObj and TaskObj (Modules/_asynciomodule.c)
  std::int32_t task_size, future_state, future_callback, future_callbacks, future_loop, task_name,
      task_coro, task_waiter;
  // PyFunctionObject
  std::int32_t function_closure;
  // 3.14 on: where tasks are linked, and the heads of their lists
  std::int32_t task_node = -1, interp_tasks = -1, ts_tasks = -1, ts_running_task = -1;
};

// Nothing: no row for this version.
std::optional<AsyncLayout> find_async_layout(const View& view, const Layout& layout);

}  // namespace coldcase::cpython
