#include "lens/cpython/layout.hpp"

#include <algorithm>
#include <array>

namespace coldcase::cpython {
namespace {

// size: table
// clang-format off
constexpr std::array table{
    Layout{.minor = 8,
           .runtime_interpreters_head = 32, .runtime_finalizing = 16, .runtime_gil = 1152,
           .runtime_gc_collecting = 544,
           .interp_next = 0, .interp_threads_head = 8, .interp_modules = 56, .interp_sysdict = 72,
           .interp_builtins = 80, .interp_ceval_gil = -1, .interp_gc_collecting = -1,
           .ts_frame = 24, .ts_cframe = -1, .ts_current_frame = -1, .ts_thread_id = 176, .ts_state = -1,
           .cframe_current_frame = -1,
           .frame_code = 32, .frame_back = 24, .frame_lasti = 104, .frame_locals = 360,
           .frame_globals = 48, .frame_valuestack = 64, .frame_iblock = 112, .frame_blockstack = 120,
           .frame_is_entry = -1, .frame_owner = -1,
           .code_filename = 104, .code_name = 112, .code_qualname = -1, .code_firstlineno = 40,
           .code_linetable = 120, .code_exceptiontable = -1, .code_names = 64, .code_varnames = 72,
           .code_nlocalsplus = -1, .code_nlocals = 28, .code_stacksize = 32, .code_bytes = 48,
           .code_adaptive = -1, .code_cellvars = 88, .code_freevars = 80,
           .str_ascii_data = 48, .str_compact_data = 72, .function_code = 16, .function_qualname = 104,
           .keys_nentries = 32, .keys_indices = 40, .heaptype_cached_keys = 872, .values_first = 0,
           .op_with_except_start = 81, .op_push_exc_info = 0},
    Layout{.minor = 9,
           .runtime_interpreters_head = 32, .runtime_finalizing = 16, .runtime_gil = 352,
           .interp_next = 0, .interp_threads_head = 8, .interp_modules = 856, .interp_sysdict = 872,
           .interp_builtins = 880, .interp_ceval_gil = -1, .interp_gc_collecting = 816,
           .ts_frame = 24, .ts_cframe = -1, .ts_current_frame = -1, .ts_thread_id = 176, .ts_state = -1,
           .cframe_current_frame = -1,
           .frame_code = 32, .frame_back = 24, .frame_lasti = 104, .frame_locals = 360,
           .frame_globals = 48, .frame_valuestack = 64, .frame_iblock = 112, .frame_blockstack = 120,
           .frame_is_entry = -1, .frame_owner = -1,
           .code_filename = 104, .code_name = 112, .code_qualname = -1, .code_firstlineno = 40,
           .code_linetable = 120, .code_exceptiontable = -1, .code_names = 64, .code_varnames = 72,
           .code_nlocalsplus = -1, .code_nlocals = 28, .code_stacksize = 32, .code_bytes = 48,
           .code_adaptive = -1, .code_cellvars = 88, .code_freevars = 80,
           .str_ascii_data = 48, .str_compact_data = 72, .function_code = 16, .function_qualname = 104,
           .keys_nentries = 32, .keys_indices = 40, .heaptype_cached_keys = 864, .values_first = 0,
           .op_with_except_start = 49, .op_push_exc_info = 0},
    Layout{.minor = 10,
           .runtime_interpreters_head = 32, .runtime_finalizing = 16, .runtime_gil = 352,
           .interp_next = 0, .interp_threads_head = 8, .interp_modules = 856, .interp_sysdict = 872,
           .interp_builtins = 880, .interp_ceval_gil = -1, .interp_gc_collecting = 816,
           .ts_frame = 24, .ts_cframe = 48, .ts_current_frame = -1, .ts_thread_id = 176, .ts_state = -1,
           .cframe_current_frame = -1,
           .frame_code = 32, .frame_back = 24, .frame_lasti = 96, .frame_locals = 352,
           .frame_globals = 48, .frame_valuestack = 64, .frame_iblock = 104, .frame_blockstack = 112,
           .frame_is_entry = -1, .frame_owner = -1,
           .code_filename = 104, .code_name = 112, .code_qualname = -1, .code_firstlineno = 40,
           .code_linetable = 120, .code_exceptiontable = -1, .code_names = 64, .code_varnames = 72,
           .code_nlocalsplus = -1, .code_nlocals = 28, .code_stacksize = 32, .code_bytes = 48,
           .code_adaptive = -1, .code_cellvars = 88, .code_freevars = 80,
           .str_ascii_data = 48, .str_compact_data = 72, .function_code = 48, .function_qualname = 40,
           .keys_nentries = 32, .keys_indices = 40, .heaptype_cached_keys = 872, .values_first = 0,
           .op_with_except_start = 49, .op_push_exc_info = 0},
    Layout{.minor = 11,
           .runtime_interpreters_head = 40, .runtime_finalizing = 24, .runtime_gil = 360,
           .interp_next = 0, .interp_threads_head = 16, .interp_modules = 888, .interp_sysdict = 904,
           .interp_builtins = 912, .interp_ceval_gil = -1, .interp_gc_collecting = 848,
           .ts_frame = -1, .ts_cframe = 56, .ts_current_frame = -1, .ts_thread_id = 152, .ts_state = -1,
           .cframe_current_frame = 8,
           .frame_code = 32, .frame_back = 48, .frame_lasti = 56, .frame_locals = 72, .frame_globals = 8,
           .frame_valuestack = -1, .frame_iblock = -1, .frame_blockstack = -1, .frame_is_entry = 68,
           .frame_owner = 69,
           .code_filename = 112, .code_name = 120, .code_qualname = 128, .code_firstlineno = 72,
           .code_linetable = 136, .code_exceptiontable = 40, .code_names = 32, .code_varnames = 96,
           .code_nlocalsplus = 76, .code_nlocals = 80, .code_stacksize = 68, .code_bytes = -1,
           .code_adaptive = 184, .code_cellvars = -1, .code_freevars = -1,
           .str_ascii_data = 48, .str_compact_data = 72, .function_code = 48, .function_qualname = 40,
           .keys_nentries = 24, .keys_indices = 32, .heaptype_cached_keys = 872, .values_first = 0,
           .op_with_except_start = 49, .op_push_exc_info = 35},
    Layout{.minor = 12,
           .runtime_interpreters_head = 40, .runtime_finalizing = 24, .runtime_gil = -1,
           .interp_next = 0, .interp_threads_head = 72, .interp_modules = 944, .interp_sysdict = 352,
           .interp_builtins = 360, .interp_ceval_gil = 384, .interp_gc_collecting = 312,
           .ts_frame = -1, .ts_cframe = 56, .ts_current_frame = -1, .ts_thread_id = 136, .ts_state = -1,
           .cframe_current_frame = 0,
           .frame_code = 0, .frame_back = 8, .frame_lasti = 56, .frame_locals = 72, .frame_globals = 24,
           .frame_valuestack = -1, .frame_iblock = -1, .frame_blockstack = -1, .frame_is_entry = -1,
           .frame_owner = 70,
           .code_filename = 112, .code_name = 120, .code_qualname = 128, .code_firstlineno = 68,
           .code_linetable = 136, .code_exceptiontable = 40, .code_names = 32, .code_varnames = 96,
           .code_nlocalsplus = 72, .code_nlocals = 80, .code_stacksize = 64, .code_bytes = -1,
           .code_adaptive = 192, .code_cellvars = -1, .code_freevars = -1,
           .str_ascii_data = 40, .str_compact_data = 56, .function_code = 48, .function_qualname = 40,
           .keys_nentries = 24, .keys_indices = 32, .heaptype_cached_keys = 880, .values_first = 0,
           .op_with_except_start = 49, .op_push_exc_info = 35},
    Layout{.minor = 13,
           .runtime_interpreters_head = 632, .runtime_finalizing = 608, .runtime_gil = -1,
           .interp_next = 7264, .interp_threads_head = 7344, .interp_modules = 7656,
           .interp_sysdict = 7640, .interp_builtins = 7648, .interp_ceval_gil = 16,
           .interp_gc_collecting = 7600,
           .ts_frame = -1, .ts_cframe = -1, .ts_current_frame = 72, .ts_thread_id = 152, .ts_state = 40,
           .cframe_current_frame = -1,
           .frame_code = 0, .frame_back = 8, .frame_lasti = 56, .frame_locals = 72, .frame_globals = 24,
           .frame_valuestack = -1, .frame_iblock = -1, .frame_blockstack = -1, .frame_is_entry = -1,
           .frame_owner = 70,
           .code_filename = 112, .code_name = 120, .code_qualname = 128, .code_firstlineno = 68,
           .code_linetable = 136, .code_exceptiontable = 40, .code_names = 32, .code_varnames = 96,
           .code_nlocalsplus = 72, .code_nlocals = 80, .code_stacksize = 64, .code_bytes = -1,
           .code_adaptive = 200, .code_cellvars = -1, .code_freevars = -1,
           .str_ascii_data = 40, .str_compact_data = 56, .function_code = 48, .function_qualname = 40,
           .keys_nentries = 24, .keys_indices = 32, .heaptype_cached_keys = 880, .values_first = 8,
           .op_with_except_start = 44, .op_push_exc_info = 33},
};
// clang-format on

// Where _Py_DebugOffsets of 3.13 says what, and which of ours it is (reference, appendix B).
struct Described {
  std::uint16_t at;
  std::int32_t Layout::*field;
};
constexpr std::array described{
    Described{32, &Layout::runtime_finalizing}, Described{40, &Layout::runtime_interpreters_head},
    Described{64, &Layout::interp_next},        Described{72, &Layout::interp_threads_head},
    Described{88, &Layout::interp_modules},     Described{96, &Layout::interp_sysdict},
    Described{104, &Layout::interp_builtins},   Described{112, &Layout::interp_ceval_gil},
    Described{184, &Layout::ts_current_frame},  Described{192, &Layout::ts_thread_id},
    Described{232, &Layout::frame_back},        Described{240, &Layout::frame_code},
    Described{248, &Layout::frame_lasti},       Described{256, &Layout::frame_locals},
    Described{264, &Layout::frame_owner},       Described{280, &Layout::code_filename},
    Described{288, &Layout::code_name},         Described{296, &Layout::code_qualname},
    Described{304, &Layout::code_linetable},    Described{312, &Layout::code_firstlineno},
    Described{328, &Layout::code_varnames},     Described{344, &Layout::code_adaptive},
    Described{560, &Layout::str_ascii_data},
};

constexpr std::uint64_t cookie = 0x7970627567656478;  // "xdebugpy"
constexpr std::int32_t most_offset = 1 << 20;

}  // namespace

std::span<const Layout> layouts() {
  return table;
}

const Layout* find_layout(int minor) {
  const auto at = std::ranges::find(table, minor, &Layout::minor);
  return at == table.end() ? nullptr : &*at;
}

std::optional<SelfDescription> read_self_description(const MemoryImage& image, Addr runtime) {
  const auto head = image.read<std::array<std::uint64_t, 3>>(runtime);
  if (!head || (*head)[0] != cookie) return std::nullopt;
  SelfDescription self;
  self.version = static_cast<std::uint32_t>((*head)[1]);
  self.free_threaded = (*head)[2] != 0;
  const Layout* base = find_layout(static_cast<int>(self.version >> 16 & 0xff));
  if (base == nullptr || base->minor != 13)
    return self;  // the shape is implied by the minor version
  self.layout = *base;
  for (const Described& row : described) {
    const auto value = image.read<std::uint64_t>(offset_by(runtime, row.at));
    if (!value || *value > static_cast<std::uint64_t>(most_offset)) return std::nullopt;
    self.layout.*row.field = static_cast<std::int32_t>(*value);
  }
  const auto gc = image.read<std::uint64_t>(offset_by(runtime, 80));
  const auto collecting = image.read<std::uint64_t>(offset_by(runtime, 576));
  if (gc && collecting && *gc + *collecting < static_cast<std::uint64_t>(most_offset)) {
    self.layout.interp_gc_collecting = static_cast<std::int32_t>(*gc + *collecting);
  }
  self.layout.str_compact_data = self.layout.str_ascii_data + 16;
  return self;
}

bool fits(const MemoryImage& image, Addr runtime, const Layout& layout) {
  const auto interpreter = image.read_pointer(offset_by(runtime, layout.runtime_interpreters_head));
  if (!interpreter || interpreter->value == 0) return false;
  const auto head = image.read_pointer(offset_by(*interpreter, layout.interp_threads_head));
  if (!head || head->value == 0) return false;
  const auto links = image.read<std::array<std::uint64_t, 3>>(*head);  // prev, next, interp
  if (!links || (*links)[0] != 0 || (*links)[2] != interpreter->value) return false;
  if ((*links)[1] == 0) return true;
  const auto second = image.read<std::array<std::uint64_t, 3>>(Addr{(*links)[1]});
  return second && (*second)[0] == head->value && (*second)[2] == interpreter->value;
}

}  // namespace coldcase::cpython
