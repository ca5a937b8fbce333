// The interpreter's state by its shape alone, in the writable memory of a module: no symbol and no
// section says where it is, as its file is not here or is stripped.
#pragma once

#include <cstring>

#include "lens/cpython/layout.hpp"
#include "lens/cpython/version_text.hpp"
#include "lens/view.hpp"

namespace coldcase::cpython {

// Visits every aligned word of the module's writable memory until `visit` returns true.
template <class Visit>
void each_word(const View& view, const Module& module, Visit visit) {
  for (const Range& part : writable_parts(view, module)) {
    Addr at{(part.begin.value + 7) & ~std::uint64_t{7}};
    while (at < part.end) {
      const Bytes bytes = view.image.view(at, part.end.value - at.value);
      std::size_t done = 0;
      for (; done + 8 <= bytes.size(); done += 8) {
        std::uint64_t word = 0;
        std::memcpy(&word, bytes.data() + done, sizeof word);
        if (visit(offset_by(at, static_cast<std::int64_t>(done)), word)) return;
      }
      // Past what is absent, page by page.
      at = done > 0 ? offset_by(at, static_cast<std::int64_t>(done)) : Addr{(at.value | 4095) + 1};
    }
  }
}

// 3.13 on: where the runtime describes itself.
std::optional<Addr> scan_for_description(const View& view, const Module& module);

// Where, by this layout, an interpreter and its thread states point at each other and one of the
// states is that of a thread of the core.
std::optional<Addr> scan_for_runtime(const View& view, const Module& module, const Layout& layout);

}  // namespace coldcase::cpython
