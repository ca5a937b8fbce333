#include "lens/cpython/scan.hpp"

#include <set>

#include "image/walk.hpp"
#include "lens/cpython/version_text.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_states = 1'000;

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
