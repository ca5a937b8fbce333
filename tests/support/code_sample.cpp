#include "support/code_sample.hpp"

namespace coldcase::test {
namespace {

constexpr std::uint64_t file_text = 0x1000;  // where the code lies in the file
constexpr std::uint64_t stubs = 0x800;       // of the text: where called functions "begin"

void append_text(Blob& blob, std::string_view text) {
  for (const char c : text) append(blob, c);
  append(blob, '\0');
}

void append_section(Blob& blob, std::uint32_t name, std::uint32_t type, std::uint64_t offset,
                    std::uint64_t size, std::uint32_t link) {
  append(blob, name);
  append(blob, type);
  append(blob, std::uint64_t{0});
  append(blob, std::uint64_t{0});
  append(blob, offset);
  append(blob, size);
  append(blob, link);
  append(blob, std::uint32_t{0});
  append(blob, std::uint64_t{1});
  append(blob, std::uint64_t{24});
}

}  // namespace

Blob blob_of(std::initializer_list<unsigned> bytes) {
  Blob blob;
  for (const unsigned byte : bytes) blob.push_back(static_cast<std::byte>(byte));
  return blob;
}

CodeSample& CodeSample::code(std::initializer_list<unsigned> bytes) {
  const Blob more = blob_of(bytes);
  code_.insert(code_.end(), more.begin(), more.end());
  return *this;
}

CodeSample& CodeSample::call(const std::string& function) {
  const auto [at, fresh] = functions_.try_emplace(function, text + stubs + functions_.size() * 16);
  append(code_, std::uint8_t{0xe8});
  append(code_, static_cast<std::int32_t>(at->second - (end() + 4)));
  calls_[function] = end();
  return *this;
}

CodeSample& CodeSample::stack_word(std::uint64_t offset, std::uint64_t value) {
  patch(stack_, offset, value);
  return *this;
}

// One segment with the code, and .symtab with the called functions.
Blob CodeSample::elf() const {
  Blob file;
  for (const unsigned byte : {0x7fu, 0x45u, 0x4cu, 0x46u, 2u, 1u, 1u})
    append(file, static_cast<std::uint8_t>(byte));
  file.resize(16);
  append(file, std::uint16_t{2});
  append(file, std::uint16_t{62});
  append(file, std::uint32_t{1});
  append(file, text);
  append(file, std::uint64_t{64});
  append(file, std::uint64_t{0x3000});  // section headers
  append(file, std::uint32_t{0});
  for (const unsigned value : {64u, 56u, 1u, 64u, 4u, 3u})
    append(file, static_cast<std::uint16_t>(value));
  for (const std::uint32_t word : {1u, 5u}) append(file, word);
  for (const std::uint64_t word :
       {file_text, text, text, std::uint64_t{0x1000}, std::uint64_t{0x1000}, std::uint64_t{0x1000}})
    append(file, word);
  file.resize(file_text);
  file.insert(file.end(), code_.begin(), code_.end());
  file.resize(0x2000);
  Blob symbols(24), names(1);
  for (const auto& [name, address] : functions_) {
    append(symbols, static_cast<std::uint32_t>(names.size()));
    append(symbols, std::uint8_t{0x12});  // global function
    append(symbols, std::uint8_t{0});
    append(symbols, std::uint16_t{1});
    append(symbols, address);
    append(symbols, std::uint64_t{16});
    append_text(names, name);
  }
  const std::uint64_t names_at = file.size() + symbols.size();
  Blob titles(1);
  append_text(titles, ".symtab");
  append_text(titles, ".strtab");
  const std::uint64_t titles_at = names_at + names.size();
  file.insert(file.end(), symbols.begin(), symbols.end());
  file.insert(file.end(), names.begin(), names.end());
  file.insert(file.end(), titles.begin(), titles.end());
  file.resize(0x3000);
  append_section(file, 0, 0, 0, 0, 0);
  append_section(file, 1, 2, 0x2000, symbols.size(), 2);
  append_section(file, 9, 3, names_at, names.size(), 0);
  append_section(file, 9, 3, titles_at, titles.size(), 0);
  return file;
}

const View& CodeSample::view() {
  if (parts_) return *parts_->view;
  Parts& parts = parts_.emplace();
  parts.file = elf();
  const Bytes bytes(parts.file);
  Module module;
  module.path = "/sample";
  module.range = {Addr{text}, Addr{text + 0x1000}};
  module.file = ElfFile::from_memory(bytes, "/sample");
  if (!module.file) throw std::runtime_error("the sample is no ELF file");
  module.headers = module.file->program_headers();
  parts.modules.list.push_back(std::move(module));
  parts.image = MemoryImage({Extent{{Addr{text}, Addr{text + 0x1000}},
                                    bytes.subspan(file_text, 0x1000),
                                    Source::core,
                                    Absence::not_saved},
                             Extent{{Addr{stack}, Addr{stack + stack_.size()}},
                                    Bytes(stack_),
                                    Source::core,
                                    Absence::not_saved}});
  parts.core.segments = {
      {{Addr{stack}, Addr{stack + stack_.size()}}, Bytes(stack_), stack_.size(), true, true, false},
      {{Addr{text}, Addr{text + 0x1000}},
       bytes.subspan(file_text, 0x1000),
       0x1000,
       true,
       false,
       true}};
  parts.threads.emplace(Threads{Rules(parts.modules), {}, {}});
  parts.view.emplace(View{parts.core, parts.image, parts.modules, *parts.threads, {}, 0, 0});
  return *parts.view;
}

}  // namespace coldcase::test
