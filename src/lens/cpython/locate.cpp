#include "lens/cpython/locate.hpp"

#include <algorithm>

#include "lens/cpython/scan.hpp"
#include "lens/cpython/version_text.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::int32_t without_runtime = 6;  // the last minor version that has no _PyRuntime

bool is_likely(const View& view, const Module& module) {
  const std::size_t last = view.modules.list.size() - 1;
  return module.name().find("python") != std::string_view::npos ||
         &module == &view.modules.list[std::min(view.modules.executable, last)];
}

struct Found {
  const Module* module;
  Addr at;
};

// dynsym or symtab of every module, then the section .PyRuntime (3.10+), which strip leaves. An
// embedding program may map several interpreters and use one.
std::vector<Found> find_runtimes(const View& view) {
  std::vector<Found> all;
  for (const Module& module : view.modules.in_lookup_order()) {
    if (!is_likely(view, module)) continue;
    if (const auto at = module.find_symbol("_PyRuntime")) all.push_back({&module, *at});
  }
  for (const Module& module : view.modules.in_lookup_order()) {
    if (!module.file) continue;
    const ElfSection* section = module.file->find_section(".PyRuntime");
    if (section != nullptr) all.push_back({&module, module.to_process(section->header.addr)});
  }
  if (!all.empty()) return all;
  for (const Module& module : view.modules.in_lookup_order()) {
    if (module.of_c_library()) continue;  // its symbols are many
    if (const auto at = module.find_symbol("_PyRuntime")) all.push_back({&module, *at});
  }
  return all;
}

// The variable that a small function returns: [endbr64] ... mov disp32(%rip),%eax or %rax
// (x86_64). PyInterpreterState_Head and PyEval_ThreadsInitialized of 3.6 begin so.
Addr variable_read_by(const View& view, const Module& module, std::string_view function,
                      bool wide) {
  const auto at = module.find_symbol(function);
  const auto code = at ? view.image.read<std::array<std::uint8_t, 24>>(*at)
                       : Read<std::array<std::uint8_t, 24>>(std::array<std::uint8_t, 24>{});
  if (!at || !code) return Addr{};
  for (std::size_t i = 0; i + 7 <= code->size(); ++i) {
    const std::size_t opcode = wide ? i + 1 : i;
    if (wide && (*code)[i] != 0x48) continue;
    if ((*code)[opcode] != 0x8b || (*code)[opcode + 1] != 0x05) continue;
    std::int32_t displacement = 0;
    std::memcpy(&displacement, code->data() + opcode + 2, sizeof displacement);
    return offset_by(*at, static_cast<std::int64_t>(opcode) + 6 + displacement);
  }
  return Addr{};
}

Range extent_of_symbol(const Module& module, std::string_view name) {
  const auto symbol =
      module.symbols() != nullptr ? module.symbols()->find_symbol(name) : std::nullopt;
  if (!symbol || symbol->size == 0 || symbol->size > 4096) return {};
  const Addr at = module.to_process(symbol->value);
  return {at, offset_by(at, static_cast<std::int64_t>(symbol->size))};
}

Variables find_variables(const View& view, const Module& module) {
  Variables found;
  found.current_thread = module.find_symbol("_PyThreadState_Current").value_or(Addr{});
  if (found.current_thread.value == 0) return found;
  const auto begin_of = [&](std::string_view name) { return extent_of_symbol(module, name).begin; };
  found.interpreters_head = begin_of("interp_head");
  if (found.interpreters_head.value == 0)
    found.interpreters_head = variable_read_by(view, module, "PyInterpreterState_Head", true);
  found.finalizing = module.find_symbol("_Py_Finalizing").value_or(Addr{});
  found.gil_locked = begin_of("gil_locked");
  if (found.gil_locked.value == 0)
    found.gil_locked = variable_read_by(view, module, "PyEval_ThreadsInitialized", false);
  found.gil_last_holder = begin_of("gil_last_holder");
  found.gil_condition = begin_of("gil_cond");
  found.collecting = begin_of("collecting");
  for (const std::string_view name : {"gil_cond", "gil_mutex", "switch_cond", "switch_mutex"}) {
    const Range part = extent_of_symbol(module, name);
    if (part.begin.value != 0) found.gil_parts.push_back(part);
  }
  return found;
}

const Layout* choose_layout(const View& view, const Found& found) {
  const auto hinted = minor_from_name(found.module->name());
  if (const Layout* layout = hinted ? find_layout(*hinted) : nullptr) {
    return fits(view.image, found.at, *layout) ? layout : nullptr;
  }
  if (hinted) return nullptr;  // a version no table here has
  // An embedding program's name tells nothing: the one layout that fits and whose version text is
  // there.
  for (const Layout& layout : layouts()) {
    if (layout.minor > without_runtime && fits(view.image, found.at, layout) &&
        !find_version_text(view, *found.module, layout.minor).empty()) {
      return &layout;
    }
  }
  return nullptr;
}

void set_version(const View& view, Located& located) {
  if (located.table != nullptr) {
    located.version = find_version_text(view, *located.module, located.table->minor);
    if (located.version.empty()) located.version = "3." + std::to_string(located.table->minor);
  } else if (const auto minor = minor_from_name(located.module->name())) {
    located.version = "3." + std::to_string(*minor);
    located.known_version = find_layout(*minor) != nullptr;
  }
}

// PY_VERSION_HEX: "3.14.2", "3.15.0b1".
std::string text_of_version(std::uint32_t hex) {
  const std::uint32_t level = hex >> 4 & 0xf;
  const std::string_view stage = level == 0xa ? "a" : level == 0xb ? "b" : level == 0xc ? "rc" : "";
  return std::to_string(hex >> 24) + "." + std::to_string(hex >> 16 & 0xff) + "." +
         std::to_string(hex >> 8 & 0xff) + std::string(stage) +
         (stage.empty() ? "" : std::to_string(hex & 0xf));
}

Located look_at(const View& view, const Found& found) {
  Located located;
  located.module = found.module;
  located.at = found.at;
  const auto self = read_self_description(view.image, found.at);
  if (self) {
    located.free_threaded = self->free_threaded;
    located.version = text_of_version(self->version);
    located.known_version = self->layout.minor != 0;
    if (!self->free_threaded && self->layout.minor != 0 && fits(view.image, found.at, self->layout))
      located.own_layout = self->layout;
    return located;
  }
  located.table = choose_layout(view, found);
  set_version(view, located);
  return located;
}

// 3.6: the variables of a module that has them and no _PyRuntime.
std::optional<Located> find_without_runtime(const View& view) {
  for (const Module& module : view.modules.in_lookup_order()) {
    if (!is_likely(view, module) || !module.file) continue;
    Located located;
    located.variables = find_variables(view, module);
    if (located.variables.current_thread.value == 0) continue;
    located.module = &module;
    located.at = located.variables.interpreters_head;
    const Layout* layout = find_layout(without_runtime);
    if (fits(view.image, located.at, *layout)) located.table = layout;
    set_version(view, located);
    return located;
  }
  return std::nullopt;
}

std::optional<Located> scan(const View& view, const Module& module, const Layout& layout) {
  const auto at = scan_for_runtime(view, module, layout);
  if (!at) return std::nullopt;
  Located located;
  located.module = &module;
  located.by_shape = true;
  located.at = *at;
  located.table = &layout;
  set_version(view, located);
  return located;
}

// A program with the interpreter inside whose file is not here, and no module of the library's is
// mapped: only what is there whole speaks for it.
std::optional<Located> find_in_executable(const View& view) {
  const std::size_t last = view.modules.list.size() - 1;
  const Module& module = view.modules.list[std::min(view.modules.executable, last)];
  if (module.file) return std::nullopt;
  if (const auto at = scan_for_description(view, module)) {
    Located located = look_at(view, {&module, *at});
    located.by_shape = true;
    return located;
  }
  for (const Layout& layout : layouts()) {
    if (find_version_text(view, module, layout.minor).empty()) continue;
    if (auto located = scan(view, module, layout)) return located;
  }
  return std::nullopt;
}

// In a module without a file; without a layout when only its name or its text tells the version.
std::optional<Located> find_in(const View& view, const Module& module) {
  const auto hinted = minor_from_name(module.name());
  if (module.file || (!hinted && !is_likely(view, module))) return std::nullopt;
  if (const auto at = scan_for_description(view, module)) {
    Located located = look_at(view, {&module, *at});
    located.by_shape = true;
    return located;
  }
  bool told = hinted.has_value();
  for (const Layout& layout : layouts()) {
    if (hinted && layout.minor != *hinted) continue;
    if (!hinted && find_version_text(view, module, layout.minor).empty()) continue;
    if (auto located = scan(view, module, layout)) return located;
    told = true;
  }
  if (!told) return std::nullopt;
  Located unread;
  unread.module = &module;
  unread.by_shape = true;
  set_version(view, unread);
  return unread;
}

// A module without a file, that an interpreter's name or its extension modules speak for.
std::optional<Located> find_by_shape(const View& view) {
  const bool python = std::ranges::any_of(view.modules.list, [](const Module& module) {
    return module.path.find("python3.") != std::string::npos ||
           module.path.find(".cpython-3") != std::string::npos;
  });
  if (!python) return find_in_executable(view);
  std::optional<Located> unread;
  for (const Module& module : view.modules.in_lookup_order()) {
    auto located = find_in(view, module);
    if (located && (located->layout() != nullptr || located->at.value != 0)) return located;
    if (located && !unread) unread = std::move(located);
  }
  return unread;
}

}  // namespace

std::optional<Located> locate(const View& view) {
  if (view.modules.list.empty()) return std::nullopt;
  std::optional<Located> first;
  for (const Found& found : find_runtimes(view)) {
    Located located = look_at(view, found);
    if (located.layout() != nullptr) return located;
    if (!first) first = std::move(located);
  }
  if (first) return first;
  if (auto located = find_without_runtime(view)) return located;
  return find_by_shape(view);
}

}  // namespace coldcase::cpython
