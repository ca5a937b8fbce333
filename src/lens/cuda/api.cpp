#include "lens/cuda/api.hpp"

#include "base/text.hpp"
#include "modules/functions.hpp"

namespace coldcase::cuda {
namespace {

constexpr std::uint64_t largest_trampoline = 48, largest_function = 1 << 20;

// The slot of a trampoline's `jmp *slot(%rip)` (ff 25 rel32), as an address of the file.
std::optional<std::uint64_t> slot_of(Bytes code, std::uint64_t value) {
  for (std::size_t i = 0; i + 6 <= code.size(); ++i) {
    if (code[i] != std::byte{0xff} || code[i + 1] != std::byte{0x25}) continue;
    const auto displacement = *parse_at<std::int32_t>(code, i + 2);
    return value + i + 6 + static_cast<std::uint64_t>(std::int64_t{displacement});
  }
  return std::nullopt;
}

bool is_api_name(std::string_view text) {
  return text.size() > 3 && text.size() < 100 && text.starts_with("cu") && text[2] >= 'A' &&
         text[2] <= 'Z';
}

}  // namespace

const Module* Driver::find(const Modules& modules) {
  for (const Module& module : modules.in_lookup_order()) {
    if (module.name().starts_with("libcuda.so")) return &module;
  }
  return nullptr;
}

Driver::Driver(const View& view, const Module& module) : module_(module) {
  if (!module.file) return;
  module.file->each_symbol([&](const ElfSymbol& symbol) {
    if (!symbol.dynamic || !symbol.function() || symbol.bind == 0) return;
    if (symbol.size == 0 || symbol.size > largest_trampoline) {
      table_.try_emplace(symbol.value,
                         symbol.name());  // a direct function, as all are in driver 418
      return;
    }
    const auto slot = slot_of(module.file->at_address(symbol.value, symbol.size), symbol.value);
    const auto target =
        slot ? view.image.read<std::uint64_t>(module.to_process(*slot)) : Read<std::uint64_t>(0);
    if (target && *target != 0) table_.try_emplace(*target - module.bias, symbol.name());
  });
}

std::string Driver::version() const {
  constexpr std::string_view prefix = "libcuda.so.";
  std::string_view name = module_.name();
  if (!name.starts_with(prefix)) return {};
  name.remove_prefix(prefix.size());
  return name == "1" ? std::string{} : clean_text(name, 64);
}

std::string Driver::name_by_string(std::uint64_t begin, std::uint64_t end) const {
  if (end <= begin || end - begin > largest_function) return {};
  const Bytes code = module_.file->at_address(begin, end - begin);
  std::set<std::string> names;
  for (std::size_t i = 0; i + 7 <= code.size(); ++i) {
    const auto rex = std::to_integer<unsigned>(code[i]);
    const auto modrm = std::to_integer<unsigned>(code[i + 2]);
    // lea reg, [rip + disp32]
    if ((rex != 0x48 && rex != 0x4c) || code[i + 1] != std::byte{0x8d} || (modrm & 0xc7) != 0x05)
      continue;
    const auto displacement = *parse_at<std::int32_t>(code, i + 3);
    const std::uint64_t target =
        begin + i + 7 + static_cast<std::uint64_t>(std::int64_t{displacement});
    const std::string_view text = text_at(module_.file->at_address(target, 128), 0);
    if (is_api_name(text)) names.insert(std::string(text));
  }
  return names.size() == 1 ? *names.begin() : std::string{};
}

ApiName Driver::name_at(Addr pc) const {
  ApiName api;
  if (!module_.file) return api;
  const auto range = find_function(*module_.file, module_.to_file(pc));
  if (!range) return api;
  const auto row = table_.find(range->begin);
  if (row != table_.end()) {
    api.name = clean_text(row->second, 128);
    api.by_table = true;
  }
  const std::string text = name_by_string(range->begin, range->end);
  if (!text.empty() && (api.name.empty() || api.name == text)) {
    api.name = clean_text(text, 128);
    api.by_string = true;
  }
  return api;
}

}  // namespace coldcase::cuda
