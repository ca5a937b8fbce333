// Holds our own reader of DWARF against libdw: every line, inlined function and name, at addresses
// all over each file named. Says how many were compared, and the first that differ.
//
//     lines STEP FILE...     STEP: bytes between two addresses
#include <algorithm>
#include <cstdio>
#include <cstdlib>

#include "modules/dwarf_names.hpp"
#include "modules/places.hpp"

using namespace coldcase;

namespace {

std::string text_of(const CodeName& name) {
  std::string text = name.function + " " + name.where.file + ":" + std::to_string(name.where.line);
  for (const InlineName& one : name.inlines)
    text += " | " + one.function + " " + one.where.file + ":" + std::to_string(one.where.line);
  return text;
}

std::vector<std::uint64_t> addresses_of(const ElfFile& file, std::uint64_t step) {
  std::vector<std::uint64_t> found;
  for (const auto& load : file.program_headers()) {
    if (load.type != elf::pt_load || (load.flags & 1) == 0) continue;
    for (std::uint64_t at = 0; at < load.memsz; at += step) found.push_back(load.vaddr + at);
  }
  return found;
}

bool compare(const char* path, std::uint64_t step) {
  const auto file = ElfFile::open(path);
  if (!file) return std::printf("%s: cannot be read\n", path) < 0;
  const std::vector<std::uint64_t> wanted = addresses_of(*file, step);
  std::vector<CodeName> ours(wanted.size());
  std::vector<CodeName*> answers;
  for (CodeName& name : ours) answers.push_back(&name);
  add_places(*file, wanted, answers);
  DwarfNames through_libdw(*file);
  std::size_t different = 0, lines = 0, inlines = 0;
  for (std::size_t at = 0; at < wanted.size(); ++at) {
    CodeName theirs;
    through_libdw.name(wanted[at], theirs);
    lines += theirs.where.line != 0 ? 1 : 0;
    inlines += theirs.inlines.size();
    if (text_of(theirs) == text_of(ours[at]) || ++different > 5) continue;
    std::printf("%#lx\n  libdw %s\n  ours  %s\n", static_cast<unsigned long>(wanted[at]),
                text_of(theirs).c_str(), text_of(ours[at]).c_str());
  }
  std::printf("%s: %zu addresses, %zu lines, %zu inlined, %zu differ\n", path, wanted.size(), lines,
              inlines, different);
  return different == 0 && lines != 0;
}

}  // namespace

int main(int count, char** arguments) {
  bool good = count > 2;
  for (int at = 2; at < count; ++at)
    good = compare(arguments[at], std::strtoull(arguments[1], nullptr, 10)) && good;
  return good ? 0 : 1;
}
