// Where CPython keeps what we read: offsets in bytes, x86_64, one column for each minor version,
// measured from DWARF and checked on cores (3.8.18, 3.9.18, 3.10.13, 3.11.7 and
// Debian's 3.11.2, 3.12.1, 3.13.0; no drift inside a series for these fields). From 3.13 on the
// core describes itself (_Py_DebugOffsets), and that wins. A layout is used only when it passes the
// self-check against the core.
#pragma once

#include <cstdint>
#include <optional>
#include <span>

#include "image/image.hpp"

namespace coldcase::cpython {

// -1: the version has no such field.
struct Layout {
  int minor;
  // _PyRuntimeState
  std::int32_t runtime_interpreters_head, runtime_finalizing, runtime_gil;
  std::int32_t runtime_gc_collecting = -1;  // to 3.8: one collector for all interpreters
  // PyInterpreterState
  std::int32_t interp_next, interp_threads_head, interp_modules, interp_sysdict, interp_builtins,
      interp_ceval_gil, interp_gc_collecting;
  // PyThreadState: prev, next, interp are at 0, 8, 16 in every version
  std::int32_t ts_frame, ts_cframe, ts_current_frame, ts_thread_id, ts_state;
  std::int32_t cframe_current_frame;
  // PyFrameObject (to 3.10) or _PyInterpreterFrame (from 3.11)
  std::int32_t frame_code, frame_back, frame_lasti, frame_locals, frame_globals, frame_valuestack,
      frame_iblock, frame_blockstack, frame_is_entry, frame_owner;
  // PyCodeObject
  std::int32_t code_filename, code_name, code_qualname, code_firstlineno, code_linetable,
      code_exceptiontable, code_names, code_varnames, code_nlocalsplus, code_nlocals,
      code_stacksize, code_bytes, code_adaptive, code_cellvars, code_freevars;
  // objects
  std::int32_t str_ascii_data, str_compact_data, function_code, function_qualname, keys_nentries,
      keys_indices, heaptype_cached_keys, values_first;
  // opcodes
  std::uint8_t op_with_except_start, op_push_exc_info;

  bool split_keys_table() const { return minor >= 11; }
  bool lasti_is_index() const { return minor == 10; }
};

std::span<const Layout> layouts();
const Layout* find_layout(int minor);

// 3.13+: the offsets the runtime itself tells (Include/internal/pycore_runtime.h), laid over the
// table's. Nothing when the runtime does not begin with them or they are out of bounds.
struct SelfDescription {
  std::uint32_t version = 0;  // PY_VERSION_HEX
  bool free_threaded = false;
  Layout layout{};
};
std::optional<SelfDescription> read_self_description(const MemoryImage& image, Addr runtime);

// The chain of 0.1 in the reference holds: runtime, interpreter, first thread state point to each
// other.
bool fits(const MemoryImage& image, Addr runtime, const Layout& layout);

}  // namespace coldcase::cpython
