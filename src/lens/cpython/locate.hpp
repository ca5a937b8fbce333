// Where in a process CPython keeps its state, which version it is, and which layout that has.
#pragma once

#include <string>
#include <vector>

#include "lens/cpython/layout.hpp"
#include "lens/view.hpp"

namespace coldcase::cpython {

// 3.6 has no _PyRuntime: its state lies in variables of the module. Null: not found.
struct Variables {
  Addr interpreters_head, current_thread, finalizing;  // exported, or told by exported code
  Addr gil_locked, gil_last_holder, gil_condition, collecting;  // of .symtab
  std::vector<Range> gil_parts;
};

// What could not be read, and what would help.
struct Unread {
  std::string text, advice;
};

struct Located {
  const Module* module = nullptr;
  Addr at;  // _PyRuntime; of 3.6, interp_head
  Variables variables;
  std::string version;  // "3.11.2", "3.11" when the micro version is unknown
  bool free_threaded = false;
  bool by_shape = false;             // its file is not here
  bool known_version = false;        // there is a layout, even if it does not fit
  const Layout* table = nullptr;     // null: none is known, or none fits
  std::optional<Layout> own_layout;  // what the runtime itself tells, if it fits

  const Layout* layout() const { return own_layout ? &*own_layout : table; }
};

// Nothing when there is no CPython in the process.
std::optional<Located> locate(const View& view);

}  // namespace coldcase::cpython
