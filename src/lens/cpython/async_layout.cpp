#include "lens/cpython/async_layout.hpp"

#include <algorithm>
#include <array>

namespace coldcase::cpython {
namespace {

// size: table
// clang-format off
constexpr std::array table{
    AsyncLayout{.minor = 8, .ts_dict = 152, .ts_running_loop = -1,
                .gen_frame = 16, .gen_iframe = -1, .gen_running = 24, .gen_qualname = 56, .gen_state = -1,
                .state_created = 0, .state_running = 0,
                .frame_stack_top = 72, .frame_stack_depth = -1, .frame_stack_index = -1, .frame_state = -1,
                .task_size = 144, .future_state = 72, .future_callback = 24, .future_callbacks = 40,
                .future_loop = 16, .task_name = 120, .task_coro = 112, .task_waiter = 104,
                .function_closure = 48},
    AsyncLayout{.minor = 9, .ts_dict = 152, .ts_running_loop = -1,
                .gen_frame = 16, .gen_iframe = -1, .gen_running = 24, .gen_qualname = 56, .gen_state = -1,
                .state_created = 0, .state_running = 0,
                .frame_stack_top = 72, .frame_stack_depth = -1, .frame_stack_index = -1, .frame_state = -1,
                .task_size = 184, .future_state = 80, .future_callback = 24, .future_callbacks = 40,
                .future_loop = 16, .task_name = 160, .task_coro = 152, .task_waiter = 144,
                .function_closure = 48},
    AsyncLayout{.minor = 10, .ts_dict = 152, .ts_running_loop = -1,
                .gen_frame = 16, .gen_iframe = -1, .gen_running = -1, .gen_qualname = 48, .gen_state = -1,
                .state_created = -2, .state_running = 0,
                .frame_stack_top = -1, .frame_stack_depth = 80, .frame_stack_index = -1, .frame_state = 108,
                .task_size = 192, .future_state = 88, .future_callback = 24, .future_callbacks = 40,
                .future_loop = 16, .task_name = 168, .task_coro = 160, .task_waiter = 152,
                .function_closure = 72},
    AsyncLayout{.minor = 11, .ts_dict = 128, .ts_running_loop = -1,
                .gen_frame = -1, .gen_iframe = 80, .gen_running = -1, .gen_qualname = 40, .gen_state = 75,
                .state_created = -2, .state_running = 0,
                .frame_stack_top = -1, .frame_stack_depth = -1, .frame_stack_index = 64, .frame_state = -1,
                .task_size = 176, .future_state = 88, .future_callback = 24, .future_callbacks = 40,
                .future_loop = 16, .task_name = 144, .task_coro = 136, .task_waiter = 128,
                .function_closure = 72},
    AsyncLayout{.minor = 12, .ts_dict = 112, .ts_running_loop = -1,
                .gen_frame = -1, .gen_iframe = 72, .gen_running = -1, .gen_qualname = 32, .gen_state = 67,
                .state_created = -2, .state_running = 0,
                .frame_stack_top = -1, .frame_stack_depth = -1, .frame_stack_index = 64, .frame_state = -1,
                .task_size = 176, .future_state = 88, .future_callback = 24, .future_callbacks = 40,
                .future_loop = 16, .task_name = 144, .task_coro = 136, .task_waiter = 128,
                .function_closure = 72},
    AsyncLayout{.minor = 13, .ts_dict = -1, .ts_running_loop = 304,
                .gen_frame = -1, .gen_iframe = 72, .gen_running = -1, .gen_qualname = 32, .gen_state = 67,
                .state_created = -3, .state_running = 0,
                .frame_stack_top = -1, .frame_stack_depth = -1, .frame_stack_index = 64, .frame_state = -1,
                .task_size = 144, .future_state = 96, .future_callback = 24, .future_callbacks = 40,
                .future_loop = 16, .task_name = 128, .task_coro = 120, .task_waiter = 112,
                .function_closure = 72},
    AsyncLayout{.minor = 14, .ts_dict = -1, .ts_running_loop = 864,
                .gen_frame = -1, .gen_iframe = 72, .gen_running = -1, .gen_qualname = 32, .gen_state = 67,
                .state_created = -3, .state_running = 0,
                .frame_stack_top = -1, .frame_stack_depth = -1, .frame_stack_index = -1, .frame_state = -1,
                .task_size = 168, .future_state = 104, .future_callback = 24, .future_callbacks = 40,
                .future_loop = 16, .task_name = 136, .task_coro = 128, .task_waiter = 120,
                .function_closure = 72,
                .task_node = 152, .interp_tasks = 10880, .ts_tasks = 880, .ts_running_task = 872},
    AsyncLayout{.minor = 15, .ts_dict = -1, .ts_running_loop = 1032,
                .gen_frame = -1, .gen_iframe = 72, .gen_running = -1, .gen_qualname = 32, .gen_state = 67,
                .state_created = 0, .state_running = 4,
                .frame_stack_top = -1, .frame_stack_depth = -1, .frame_stack_index = -1, .frame_state = -1,
                .task_size = 168, .future_state = 104, .future_callback = 24, .future_callbacks = 40,
                .future_loop = 16, .task_name = 136, .task_coro = 128, .task_waiter = 120,
                .function_closure = 72,
                .task_node = 152, .interp_tasks = 10856, .ts_tasks = 1048, .ts_running_task = 1040},
};
// clang-format on

// struct _Py_AsyncioModuleDebugOffsets (Modules/_asynciomodule.c), 13 words: of the task its size,
// name, awaited_by, is_task, awaited_by_is_set, coroutine and node; of the interpreter its size and
// the list's head; of the thread state its size, running loop, running task and the list's head.
void take_described(const View& view, AsyncLayout& layout) {
  constexpr std::uint64_t most = 1 << 20;
  for (const Module& module : view.modules.in_lookup_order()) {
    const ElfSection* section = module.file ? module.file->find_section(".AsyncioDebug") : nullptr;
    if (section == nullptr) continue;
    const auto words =
        view.image.read<std::array<std::uint64_t, 13>>(module.to_process(section->header.addr));
    if (!words || (*words)[0] != static_cast<std::uint64_t>(layout.task_size) ||
        std::ranges::any_of(*words, [](std::uint64_t word) { return word > most; }))
      continue;
    const auto word = [&](std::size_t i) { return static_cast<std::int32_t>((*words)[i]); };
    layout.task_name = word(1);
    layout.task_coro = word(5);
    layout.task_node = word(6);
    layout.interp_tasks = word(8);
    layout.ts_running_loop = word(10);
    layout.ts_running_task = word(11);
    layout.ts_tasks = word(12);
    return;
  }
}

}  // namespace

std::optional<AsyncLayout> find_async_layout(const View& view, const Layout& layout) {
  const auto at = std::ranges::find(table, layout.minor, &AsyncLayout::minor);
  if (at == table.end()) return std::nullopt;
  AsyncLayout found = *at;
  if (found.task_node >= 0) take_described(view, found);
  return found;
}

}  // namespace coldcase::cpython
