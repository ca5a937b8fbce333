#include "lens/cpython/scan.hpp"

#include <cstring>
#include <set>

#include "image/walk.hpp"
#include "lens/cpython/version_text.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_states = 1'000;

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

std::set<std::uint64_t> blocks_of_threads(const View& view) {
  std::set<std::uint64_t> blocks;
  for (const auto& thread : view.core.threads) blocks.insert(thread.registers[Registers::fs_base]);
  blocks.erase(0);
  return blocks;
}

bool has_living_state(const View& view, Addr interpreter, const Layout& layout,
                      const std::set<std::uint64_t>& blocks) {
  const MemoryImage& image = view.image;
  const auto first = image.read_pointer(offset_by(interpreter, layout.interp_threads_head));
  bool living = false;
  const auto next = [&](Addr at) { return image.read_pointer(offset_by(at, 8)); };
  walk_list(first.value_or(Addr{}), most_states, next, [&](Addr at) {
    const auto ident = image.read<std::uint64_t>(offset_by(at, layout.ts_thread_id));
    living = ident && blocks.contains(*ident);
    return !living;
  });
  return living;
}

}  // namespace

std::optional<Addr> scan_for_description(const View& view, const Module& module) {
  std::optional<Addr> found;
  each_word(view, module, [&](Addr at, std::uint64_t word) {
    if (word != description_cookie) return false;
    const auto self = read_self_description(view.image, at);
    if (self && self->version >> 24 == 3) found = at;
    return found.has_value();
  });
  return found;
}

std::optional<Addr> scan_for_runtime(const View& view, const Module& module, const Layout& layout) {
  const auto blocks = blocks_of_threads(view);
  std::optional<Addr> found;
  each_word(view, module, [&](Addr at, std::uint64_t word) {
    if (word == 0 || word % 8 != 0 || !view.image.mapped(Addr{word})) return false;
    const Addr runtime = offset_by(at, -std::int64_t{layout.runtime_interpreters_head});
    if (fits(view.image, runtime, layout) && has_living_state(view, Addr{word}, layout, blocks))
      found = runtime;
    return found.has_value();
  });
  return found;
}

}  // namespace coldcase::cpython
