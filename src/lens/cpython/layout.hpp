// Where CPython keeps what we read: offsets in bytes, x86_64 with a GIL, one column for each minor
// version, measured from DWARF or headers and checked on cores (3.6.15, 3.7.16, 3.8.18, 3.9.18,
// 3.10.13, 3.11.7 and Debian's 3.11.2, 3.12.1, 3.13.0, Debian's 3.13.5 to .18, 3.14.8, 3.14.10,
// 3.15.0, 3.15.2; no drift inside a series up to 3.12 for these fields). From 3.13 on the core
// describes itself (_Py_DebugOffsets), and that wins. A layout is used only when it passes the
// self-check against the core.
#pragma once

#include <array>
#include <bit>
#include <cstdint>
#include <optional>
#include <span>

#include "image/image.hpp"

namespace coldcase::cpython {

// -1: the version has no such field.
struct Layout {
  std::int32_t minor = 0;
  // _PyRuntimeState; in 3.6, which has none, the address of interp_head stands for it
  std::int32_t runtime_interpreters_head = -1, runtime_finalizing = -1, runtime_gil = -1,
               runtime_gc_collecting = -1;
  // PyInterpreterState
  std::int32_t interp_next = -1, interp_threads_head = -1, interp_modules = -1, interp_sysdict = -1,
               interp_builtins = -1, interp_ceval_gil = -1, interp_gc_collecting = -1;
  // PyThreadState: prev, next, interp are at 0, 8, 16 in every version
  std::int32_t ts_frame = -1, ts_cframe = -1, ts_current_frame = -1, ts_base_frame = -1,
               ts_thread_id = -1, ts_native_id = -1, ts_state = -1;
  std::int32_t cframe_current_frame = -1, cframe_previous = -1;
  // PyFrameObject (to 3.10) or _PyInterpreterFrame (from 3.11)
  std::int32_t frame_code = -1, frame_back = -1, frame_lasti = -1, frame_locals = -1,
               frame_globals = -1, frame_valuestack = -1, frame_iblock = -1, frame_blockstack = -1,
               frame_is_entry = -1, frame_owner = -1, frame_stacktop = -1, frame_stackpointer = -1;
  // PyCodeObject
  std::int32_t code_filename = -1, code_name = -1, code_qualname = -1, code_firstlineno = -1,
               code_linetable = -1, code_exceptiontable = -1, code_names = -1, code_varnames = -1,
               code_nlocalsplus = -1, code_nlocals = -1, code_stacksize = -1, code_bytes = -1,
               code_adaptive = -1, code_cellvars = -1, code_freevars = -1, code_monitoring = -1,
               code_firsttraceable = -1;
  // _PyCoMonitoringData
  std::int32_t monitoring_lines = -1, monitoring_instructions = -1;
  // objects
  std::int32_t str_ascii_data = -1, str_compact_data = -1, function_code = -1,
               function_qualname = -1, keys_nentries = -1, keys_indices = -1,
               heaptype_cached_keys = -1, values_first = -1, tuple_items = -1;
  // opcodes
  std::int32_t op_with_except_start = -1, op_push_exc_info = -1;

  bool split_keys_table() const { return minor >= 11; }
  bool lasti_is_index() const { return minor == 10; }
  // Slots of frames and value stacks are _PyStackRef, pointers with tags in their low bits.
  bool tagged_slots() const { return frame_stackpointer >= 0; }
};

std::span<const Layout> layouts();
const Layout* find_layout(int minor);

// 3.13+: the offsets the runtime itself tells (Include/internal/pycore_debug_offsets.h), laid over
// the table's. Nothing when the runtime does not begin with them or they are out of bounds.
struct SelfDescription {
  std::uint32_t version = 0;  // PY_VERSION_HEX
  bool free_threaded = false;
  Layout layout{};  // minor 0: of a version that no table here has, or before its first candidate
};
inline constexpr std::uint64_t description_cookie =
    std::bit_cast<std::uint64_t>(std::array{'x', 'd', 'e', 'b', 'u', 'g', 'p', 'y'});
std::optional<SelfDescription> read_self_description(const MemoryImage& image, Addr runtime);

// The chain of 0.1 in the reference holds: runtime, interpreter, first thread state point to each
// other.
bool fits(const MemoryImage& image, Addr runtime, const Layout& layout);

}  // namespace coldcase::cpython
