#include "holders/code.hpp"

#include <algorithm>

#include "modules/functions.hpp"
#include "modules/plt.hpp"

namespace coldcase {
namespace {

constexpr std::size_t most_relocations = 2'000'000;
constexpr std::size_t most_decoded = 16'384;  // instructions kept: about 2 MiB
constexpr std::size_t longest_instruction = 15;
// Steps of Work for each; may_acquire looks at a few bytes in the time of one.
constexpr std::size_t decoding = 8, finding_function = 16, reading_call_site = 8;
constexpr std::size_t bytes_a_step = 16, call_sites_a_step = 8;
constexpr std::uint64_t most_code = std::uint64_t{1} << 20;  // bytes of one function

// The dynamic section's entries that lead to the relocations (System V ABI, "Dynamic Section").
struct DynamicTables {
  std::uint64_t symbols = 0, strings = 0, strings_size = 0;
  std::uint64_t rela = 0, rela_size = 0, plt = 0, plt_size = 0;
};

DynamicTables read_dynamic(const ElfFile& file) {
  DynamicTables tables;
  const auto entries = std::ranges::find(file.program_headers(), elf::pt_dynamic,
                                         [](const elf::ProgramHeader& h) { return h.type; });
  if (entries == file.program_headers().end()) return tables;
  const Bytes bytes = file.at_address(entries->vaddr, entries->filesz);
  for (std::uint64_t at = 0; const auto entry = parse_at<elf::Dynamic>(bytes, at);
       at += sizeof(elf::Dynamic)) {
    switch (entry->tag) {
      case 0:  // DT_NULL
        return tables;
      case 2:
        tables.plt_size = entry->value;
        break;
      case 5:
        tables.strings = entry->value;
        break;
      case 6:
        tables.symbols = entry->value;
        break;
      case 7:
        tables.rela = entry->value;
        break;
      case 8:
        tables.rela_size = entry->value;
        break;
      case 10:
        tables.strings_size = entry->value;
        break;
      case 23:
        tables.plt = entry->value;
        break;
      default:
        break;
    }
  }
  return tables;
}

// Elf64_Rela.
struct Relocation {
  std::uint64_t offset;
  std::uint64_t info;
  std::int64_t addend;
};

constexpr std::uint32_t relocation_glob_dat = 6, relocation_jump_slot = 7;  // R_X86_64_*

}  // namespace

std::optional<Instruction> Code::decode(std::uint64_t at) {
  work_.add(1);
  if (const auto known = decoded_.find(at); known != decoded_.end()) return known->second;
  work_.add(decoding);
  const auto instruction = decode_anew(at);
  if (instruction && decoded_.size() < most_decoded) decoded_.emplace(at, *instruction);
  return instruction;
}

std::optional<Instruction> Code::decode_anew(std::uint64_t at) const {
  const Bytes whole = view_.image.view(Addr{at}, longest_instruction);
  if (whole.size() == longest_instruction) return disassembler_.decode(whole, at);
  // Near the end of an extent: what lies beyond may be another's.
  std::array<std::byte, longest_instruction> bytes{};
  std::size_t filled = 0;
  while (filled < bytes.size()) {
    const Bytes part = view_.image.view(Addr{at + filled}, bytes.size() - filled);
    if (part.empty()) break;
    std::ranges::copy(part, bytes.begin() + static_cast<std::ptrdiff_t>(filled));
    filled += part.size();
  }
  return disassembler_.decode(Bytes(bytes).first(filled), at);
}

void Code::add_imports(const Module& module, ModuleCode& code) const {
  const ElfFile& file = *module.file;
  const DynamicTables tables = read_dynamic(file);
  const Bytes strings = file.at_address(tables.strings, tables.strings_size);
  const auto add = [&](std::uint64_t address, std::uint64_t size) {
    const Bytes rows = file.at_address(address, size);
    const std::size_t count = std::min(rows.size() / sizeof(Relocation), most_relocations);
    for (std::size_t i = 0; i < count; ++i) {
      const auto row = *parse_at<Relocation>(rows, i * sizeof(Relocation));
      const auto type = static_cast<std::uint32_t>(row.info);
      if (type != relocation_glob_dat && type != relocation_jump_slot) continue;
      const auto symbol = parse_at<elf::Symbol>(
          file.at_address(tables.symbols + (row.info >> 32) * sizeof(elf::Symbol),
                          sizeof(elf::Symbol)),
          0);
      if (!symbol) continue;
      Import import{role_of(text_at(strings, symbol->name)), 0};
      if (symbol->shndx != 0) import.inside = module.to_process(symbol->value).value;
      if (import.role.act == Role::Act::none && import.inside == 0) continue;
      code.slots.try_emplace(module.to_process(row.offset).value, import);
    }
  };
  add(tables.plt, tables.plt_size);
  add(tables.rela, tables.rela_size);
}

const Code::ModuleCode& Code::module_code(const Module& module) {
  const auto [at, fresh] = modules_.try_emplace(&module);
  ModuleCode& code = at->second;
  if (!fresh || !module.file) return code;
  for (const ElfFile* file : {module.file.get(), module.debug.get()}) {
    if (file == nullptr) continue;
    file->each_symbol([&](const ElfSymbol& symbol) {
      if (!symbol.function()) return;
      const Role role = role_of(symbol.name());
      if (role.act == Role::Act::none) return;
      code.functions.try_emplace(module.to_process(symbol.value).value, role);
    });
  }
  add_imports(module, code);
  return code;
}

Callee Code::callee_in_slot(const Module& module, std::uint64_t slot) {
  const ModuleCode& code = module_code(module);
  const auto import = code.slots.find(slot);
  if (import == code.slots.end()) return {};
  return {import->second.role, import->second.inside};
}

Callee Code::callee_at(const Module& module, std::uint64_t target) {
  const ModuleCode& code = module_code(module);
  if (const auto known = code.functions.find(target); known != code.functions.end())
    return {known->second, target};
  if (const auto slot = find_plt_slot(view_.image, Addr{target}))
    return callee_in_slot(module, slot->value);
  return {{}, module.range.contains(Addr{target}) ? target : 0};
}

Callee Code::callee(const Instruction& call) {
  const Module* module = view_.modules.find(Addr{call.address});
  if (module == nullptr || !module->file) return {};
  if (const auto target = call.target()) return callee_at(*module, *target);
  const Operand& operand = call.first();
  if (operand.kind == Operand::Kind::memory && operand.base < 0 && operand.index < 0 &&
      !operand.segment) {
    return callee_in_slot(*module, operand.number);  // -fno-plt
  }
  return {};
}

const Code::FunctionCode& Code::function_code(std::uint64_t at) {
  const auto [known, fresh] = asked_.try_emplace(at, &none_);
  if (!fresh) return *known->second;
  work_.add(finding_function);
  const Module* module = view_.modules.find(Addr{at});
  if (module == nullptr || !module->file) return none_;
  const auto entry = find_frame_entry(*module->file, module->to_file(Addr{at}));
  if (!entry) return none_;
  const auto [function, unread] = functions_.try_emplace({module, *entry});
  if (unread) function->second = read_function(*module, *entry);
  known->second = &function->second;
  return function->second;
}

Code::FunctionCode Code::read_function(const Module& module, std::uint64_t entry) {
  FunctionCode code;
  const ElfFile& file = *module.file;
  const auto segment_of = [&](std::uint64_t value) {
    for (const auto& header : file.program_headers()) {
      if (header.type == elf::pt_load && value >= header.vaddr &&
          value - header.vaddr < header.filesz) {
        return header.vaddr;
      }
    }
    return value;
  };
  const std::uint64_t base = segment_of(entry);
  const auto found = parse_frame_entry(file.at_address(base, ~std::uint64_t{0}), base, entry);
  if (!found) return code;
  code.range =
      CodeRange{module.to_process(found->begin).value, module.to_process(found->end).value};
  if (found->lsda == 0) return code;
  const std::uint64_t tables = segment_of(found->lsda);
  code.sites = parse_call_sites(file.at_address(tables, ~std::uint64_t{0}), tables, found->lsda,
                                found->begin);
  work_.add(code.sites.size() * reading_call_site);
  for (CallSite& site : code.sites) {
    site.begin = module.to_process(site.begin).value;
    site.end = module.to_process(site.end).value;
    if (site.pad != 0) site.pad = module.to_process(site.pad).value;
  }
  return code;
}

std::optional<CodeRange> Code::function(std::uint64_t at) {
  return function_code(at).range;
}

const std::vector<CallSite>& Code::call_sites(std::uint64_t at) {
  return function_code(at).sites;
}

std::uint64_t Code::landing_pad(std::uint64_t return_address) {
  if (return_address == 0) return 0;
  const std::uint64_t inside = return_address - 1;
  const std::vector<CallSite>& sites = call_sites(inside);
  work_.add(sites.size() / call_sites_a_step);
  for (const CallSite& site : sites) {
    if (site.begin <= inside && inside < site.end) return site.pad;
  }
  return 0;
}

bool Code::may_acquire(const CodeRange& range) {
  const Module* module = view_.modules.find(Addr{range.begin});
  if (module == nullptr || !module->file) return false;
  const Bytes bytes =
      view_.image.view(Addr{range.begin}, std::min(range.end - range.begin, most_code));
  work_.add(bytes.size() / bytes_a_step);
  for (std::uint64_t at = 0; at + 5 <= bytes.size() && !work_.spent(); ++at) {
    const auto first = std::to_integer<unsigned>(bytes[at]);
    const bool through_slot = first == 0xff && bytes[at + 1] == std::byte{0x15};
    if (first != 0xe8 && !through_slot) continue;
    const std::uint64_t field = at + (through_slot ? 2 : 1);
    const auto distance = parse_at<std::int32_t>(bytes, field);
    if (!distance) continue;
    work_.add(1);
    const std::uint64_t target =
        range.begin + field + 4 + static_cast<std::uint64_t>(std::int64_t{*distance});
    const Callee callee =
        through_slot ? callee_in_slot(*module, target) : callee_at(*module, target);
    if (callee.role.act == Role::Act::acquire) return true;
  }
  return false;
}

}  // namespace coldcase
