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
                .frame_stack_top = 72, .frame_stack_depth = -1, .frame_stack_index = -1, .frame_state = -1,
                .task_size = 144, .future_state = 72, .future_callback = 24, .future_callbacks = 40,
                .future_loop = 16, .task_name = 120, .task_coro = 112, .task_waiter = 104,
                .function_closure = 48},
    AsyncLayout{.minor = 9, .ts_dict = 152, .ts_running_loop = -1,
                .gen_frame = 16, .gen_iframe = -1, .gen_running = 24, .gen_qualname = 56, .gen_state = -1,
                .frame_stack_top = 72, .frame_stack_depth = -1, .frame_stack_index = -1, .frame_state = -1,
                .task_size = 184, .future_state = 80, .future_callback = 24, .future_callbacks = 40,
                .future_loop = 16, .task_name = 160, .task_coro = 152, .task_waiter = 144,
                .function_closure = 48},
    AsyncLayout{.minor = 10, .ts_dict = 152, .ts_running_loop = -1,
                .gen_frame = 16, .gen_iframe = -1, .gen_running = -1, .gen_qualname = 48, .gen_state = -1,
                .frame_stack_top = -1, .frame_stack_depth = 80, .frame_stack_index = -1, .frame_state = 108,
                .task_size = 192, .future_state = 88, .future_callback = 24, .future_callbacks = 40,
                .future_loop = 16, .task_name = 168, .task_coro = 160, .task_waiter = 152,
                .function_closure = 72},
    AsyncLayout{.minor = 11, .ts_dict = 128, .ts_running_loop = -1,
                .gen_frame = -1, .gen_iframe = 80, .gen_running = -1, .gen_qualname = 40, .gen_state = 75,
                .frame_stack_top = -1, .frame_stack_depth = -1, .frame_stack_index = 64, .frame_state = -1,
                .task_size = 176, .future_state = 88, .future_callback = 24, .future_callbacks = 40,
                .future_loop = 16, .task_name = 144, .task_coro = 136, .task_waiter = 128,
                .function_closure = 72},
    AsyncLayout{.minor = 12, .ts_dict = 112, .ts_running_loop = -1,
                .gen_frame = -1, .gen_iframe = 72, .gen_running = -1, .gen_qualname = 32, .gen_state = 67,
                .frame_stack_top = -1, .frame_stack_depth = -1, .frame_stack_index = 64, .frame_state = -1,
                .task_size = 176, .future_state = 88, .future_callback = 24, .future_callbacks = 40,
                .future_loop = 16, .task_name = 144, .task_coro = 136, .task_waiter = 128,
                .function_closure = 72},
    AsyncLayout{.minor = 13, .ts_dict = -1, .ts_running_loop = 304,
                .gen_frame = -1, .gen_iframe = 72, .gen_running = -1, .gen_qualname = 32, .gen_state = 67,
                .frame_stack_top = -1, .frame_stack_depth = -1, .frame_stack_index = 64, .frame_state = -1,
                .task_size = 144, .future_state = 96, .future_callback = 24, .future_callbacks = 40,
                .future_loop = 16, .task_name = 128, .task_coro = 120, .task_waiter = 112,
                .function_closure = 72},
};
// clang-format on

}  // namespace

const AsyncLayout* find_async_layout(const Layout& layout) {
  const auto at = std::ranges::find(table, layout.minor, &AsyncLayout::minor);
  return at == table.end() ? nullptr : &*at;
}

}  // namespace coldcase::cpython
