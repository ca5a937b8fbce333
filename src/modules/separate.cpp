#include "modules/separate.hpp"

#include <lzma.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "core/elf_format.hpp"

namespace coldcase {
namespace {

constexpr std::uint64_t unpacking_memory = std::uint64_t{64} << 20;  // of xz, beside its output
constexpr std::uint32_t package_note = 0xcafe1a7e;  // FDO_PACKAGING_METADATA, systemd's elf-util.c
constexpr std::size_t longest_note = 4096;
constexpr std::size_t longest_build_id = 64;

// A word that a shell takes as itself, and apt or dnf as no option.
bool is_plain_word(std::string_view text) {
  const auto plain = [](char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
           std::string_view("+.-_:~^").find(c) != std::string_view::npos;
  };
  return !text.empty() && text.size() <= 128 && text.front() != '-' && text.front() != '~' &&
         std::ranges::all_of(text, plain);
}

std::string word_in(const nlohmann::json& note, const char* key) {
  const auto at = note.find(key);
  if (at == note.end() || !at->is_string()) return {};
  const auto& text = at->get_ref<const std::string&>();
  return is_plain_word(text) ? text : "";
}

std::optional<PackageNote> parse_package(std::string_view text) {
  while (!text.empty() && text.back() == '\0') text.remove_suffix(1);
  const auto note = nlohmann::json::parse(text, nullptr, false);
  if (!note.is_object()) return std::nullopt;
  PackageNote package{word_in(note, "type"), word_in(note, "name"), word_in(note, "version"),
                      word_in(note, "architecture")};
  if (package.type.empty() || package.name.empty()) return std::nullopt;
  return package;
}

}  // namespace

std::string hex_digits(Bytes bytes) {
  constexpr char digits[] = "0123456789abcdef";
  std::string text;
  for (const std::byte byte : bytes) {
    text += digits[std::to_integer<unsigned>(byte) >> 4];
    text += digits[std::to_integer<unsigned>(byte) & 15];
  }
  return text;
}

std::optional<DebugLink> parse_debug_link(Bytes section) {
  const std::string_view name = text_at(section, 0);
  const auto crc =
      parse_at<std::uint32_t>(section, (name.size() + 1 + 3) & ~static_cast<std::size_t>(3));
  const bool odd = name.empty() || name == "." || name == ".." || name.size() > 255 ||
                   name.find('/') != std::string_view::npos;
  if (odd || !crc) return std::nullopt;
  return DebugLink{std::string(name), *crc};
}

std::optional<AltLink> parse_alt_link(Bytes section) {
  const std::string_view path = text_at(section, 0);
  const Bytes id = slice(section, path.size() + 1, section.size());
  if (path.empty() || path.size() > 4096 || id.size() < 2 || id.size() > longest_build_id)
    return std::nullopt;
  return AltLink{std::string(path), hex_digits(id)};
}

std::uint32_t debug_link_crc(Bytes file) {
  return lzma_crc32(reinterpret_cast<const std::uint8_t*>(file.data()), file.size(), 0);
}

std::vector<std::byte> unpack_debug_data(Bytes section, std::size_t most) {
  constexpr std::size_t step = std::size_t{256} << 10;
  lzma_stream stream = LZMA_STREAM_INIT;
  if (lzma_stream_decoder(&stream, unpacking_memory, 0) != LZMA_OK) return {};
  stream.next_in = reinterpret_cast<const std::uint8_t*>(section.data());
  stream.avail_in = section.size();
  std::vector<std::byte> unpacked;
  lzma_ret result = LZMA_OK;
  while (result == LZMA_OK && unpacked.size() < most) {
    const std::size_t before = unpacked.size();
    unpacked.resize(std::min(before + step, most));
    stream.next_out = reinterpret_cast<std::uint8_t*>(unpacked.data() + before);
    stream.avail_out = unpacked.size() - before;
    result = lzma_code(&stream, LZMA_FINISH);
    unpacked.resize(unpacked.size() - stream.avail_out);
  }
  lzma_end(&stream);
  if (result != LZMA_STREAM_END) return {};
  unpacked.shrink_to_fit();
  return unpacked;
}

std::optional<PackageNote> parse_package_note(Bytes notes) {
  while (const auto note = parse_at<elf::NoteHeader>(notes, 0)) {
    const std::uint64_t name_size = (std::uint64_t{note->namesz} + 3) & ~std::uint64_t{3};
    const std::uint64_t desc_size = (std::uint64_t{note->descsz} + 3) & ~std::uint64_t{3};
    const std::uint64_t desc_at = sizeof(elf::NoteHeader) + name_size;
    if (note->type == package_note && text_at(notes, sizeof(elf::NoteHeader)) == "FDO") {
      const Bytes text = slice(notes, desc_at, note->descsz);
      if (text.size() != note->descsz || text.size() > longest_note) return std::nullopt;
      return parse_package({reinterpret_cast<const char*>(text.data()), text.size()});
    }
    notes = slice(notes, desc_at + desc_size, notes.size());
  }
  return std::nullopt;
}

}  // namespace coldcase
