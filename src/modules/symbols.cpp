#include "modules/symbols.hpp"

#include <cxxabi.h>

#include <algorithm>
#include <cstdlib>

#include "base/text.hpp"
#include "modules/dwarf_names.hpp"
#include "modules/functions.hpp"
#include "modules/places.hpp"
#include "modules/plt.hpp"

namespace coldcase {
namespace {

// A request inside one module: the address in the file, and where the answer goes.
struct Request {
  std::uint64_t value;
  CodeName* answer;
};

// A sized global symbol names better than a local one, and .symtab better than .dynsym.
int rank(const ElfSymbol& symbol) {
  return (symbol.size != 0 ? 4 : 0) + (symbol.bind == 1 ? 2 : 0) + (symbol.bind == 2 ? 1 : 0);
}

void name_from_table(const Module& module, const ElfFile& file, std::vector<Request>& requests) {
  std::vector<int> ranks(requests.size(), -1);
  file.each_symbol([&](const ElfSymbol& symbol) {
    // A label without a size (hand-written assembly, as clone3 and _start) covers its address
    // alone.
    const bool code = symbol.function() || (symbol.type == 0 && symbol.size != 0);
    if (!code || symbol.size > UINT64_MAX - symbol.value) return;
    const std::uint64_t end = symbol.value + std::max<std::uint64_t>(symbol.size, 1);
    auto first = std::ranges::lower_bound(requests, symbol.value, {}, &Request::value);
    for (; first != requests.end() && first->value < end; ++first) {
      int& best = ranks[static_cast<std::size_t>(first - requests.begin())];
      if (rank(symbol) <= best || symbol.name().empty()) continue;
      best = rank(symbol);
      first->answer->symbol = clean_text(symbol.name(), 2048);
      first->answer->start = module.to_process(symbol.value);
      first->answer->size = symbol.size;
    }
  });
}

// Inflating the C library's debug file takes 35 ms (Debian 12's libc6-dbg, 10 MB), twice all the
// rest, for lines inside futex wrappers that nobody can act on: its symbols have to do.
bool worth_opening(const Module& module, const ElfFile& dwarf) {
  return !module.of_c_library() || dwarf.inflated_bytes() == 0;
}

// "pause@plt": no symbol table has these.
void name_as_stub(const Module& module, const Request& request) {
  if (!module.file) return;
  const auto stub = find_plt_stub(*module.file, request.value);
  if (!stub) return;
  CodeName& answer = *request.answer;
  answer.symbol = clean_text(stub->name, 2048) + "@plt";
  answer.function = clean_text(demangle(stub->name), 2048) + "@plt";
  answer.start = module.to_process(stub->begin);
  answer.size = stub->size;
  answer.from_debug_file = false;
}

void adopt(CodeName& from, CodeName& into) {
  into.symbol = std::move(from.symbol);
  into.start = from.start;
  into.size = from.size;
}

// No section proves whose it is. The file itself does: a name is believed where a function of its
// unwind tables begins as the symbol does.
void name_from_parts(const Module& module, std::vector<Request>& requests) {
  std::vector<CodeName> names(requests.size());
  std::vector<Request> again;
  again.reserve(requests.size());
  for (std::size_t i = 0; i < requests.size(); ++i) again.push_back({requests[i].value, &names[i]});
  name_from_table(module, *module.parts, again);
  for (std::size_t i = 0; i < requests.size(); ++i) {
    if (!requests[i].answer->symbol.empty() || names[i].symbol.empty()) continue;
    const auto function = find_function(*module.file, requests[i].value);
    if (function && module.to_process(function->begin) == names[i].start)
      adopt(names[i], *requests[i].answer);
  }
}

void name_in_module(const Module& module, std::vector<Request>& requests) {
  std::ranges::sort(requests, {}, &Request::value);
  if (module.file) name_from_table(module, *module.file, requests);
  std::vector<bool> named;
  named.reserve(requests.size());
  for (const Request& request : requests) named.push_back(!request.answer->symbol.empty());
  if (const ElfFile* fuller = module.debug ? module.debug.get() : module.packed_symbols())
    name_from_table(module, *fuller, requests);
  if (module.parts) name_from_parts(module, requests);
  for (std::size_t i = 0; i < requests.size(); ++i) requests[i].answer->from_debug_file = !named[i];
  for (Request& request : requests) {
    // "pthread_join@@GLIBC_2.34": the version is the linker's business.
    std::string_view plain = request.answer->symbol;
    if (const auto version = plain.find('@'); version != std::string_view::npos && version > 0)
      plain = plain.substr(0, version);
    request.answer->function = demangle(plain);
    if (request.answer->symbol.empty()) name_as_stub(module, request);
  }
  const ElfFile* dwarf = dwarf_of(module);
  if (dwarf == nullptr && !module.parts) return;
  std::vector<std::uint64_t> values;
  std::vector<CodeName*> answers;
  for (const Request& request : requests) {
    values.push_back(request.value);
    answers.push_back(request.answer);
  }
  if (dwarf != nullptr)
    add_places(*dwarf, values, answers);
  else
    add_lines(*module.parts, values, module.bias, answers);
}

}  // namespace

const ElfFile* dwarf_of(const Module& module) {
  const ElfFile* dwarf =
      module.debug && module.debug->has_dwarf() ? module.debug.get() : module.file.get();
  return dwarf != nullptr && dwarf->has_dwarf() && worth_opening(module, *dwarf) ? dwarf : nullptr;
}

std::vector<CodeName> name_code(const Modules& modules, std::span<const Addr> addresses) {
  std::vector<CodeName> names(addresses.size());
  std::vector<std::vector<Request>> by_module(modules.list.size());
  for (std::size_t i = 0; i < addresses.size(); ++i) {
    names[i].module = modules.find(addresses[i]);
    if (names[i].module == nullptr) continue;
    by_module[modules.index_of(names[i].module)].push_back(
        {names[i].module->to_file(addresses[i]), &names[i]});
  }
  for (std::size_t i = 0; i < by_module.size(); ++i) {
    if (!by_module[i].empty()) name_in_module(modules.list[i], by_module[i]);
  }
  return names;
}

std::string demangle(std::string_view symbol) {
  // LLVM marks what it made visible to other units of a program: "...17h0123456789abcdefE.llvm.77".
  if (const auto mark = symbol.find(".llvm."); mark != std::string_view::npos && mark > 0)
    symbol = symbol.substr(0, mark);
  // Rust's older names are C++ names that end in a hash: "17h" and sixteen digits.
  const bool hashed = symbol.size() > 22 && symbol.starts_with("_ZN") &&
                      symbol.substr(symbol.size() - 20, 3) == "17h";
  if (symbol.starts_with("_R") || hashed) {
    const std::string rust = demangle_rust(symbol);
    return rust.empty() ? std::string(symbol) : rust;
  }
  if (!symbol.starts_with("_Z") || symbol.size() > 2000) return std::string(symbol);
  int status = 0;
  char* text = abi::__cxa_demangle(std::string(symbol).c_str(), nullptr, nullptr, &status);
  std::string readable = status == 0 && text != nullptr ? std::string(text) : std::string(symbol);
  std::free(text);  // NOLINT: the ABI hands out malloc'ed memory
  return readable;
}

std::string shorten_home(std::string_view path) {
  for (const std::string_view home : {"/home/", "/root/"}) {
    if (!path.starts_with(home)) continue;
    if (home == "/root/") return "~/" + std::string(path.substr(home.size()));
    const auto slash = path.find('/', home.size());
    if (slash != std::string_view::npos) return "~" + std::string(path.substr(slash));
  }
  return std::string(path);
}

}  // namespace coldcase
