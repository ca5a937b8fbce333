// Sections and notes that tell of a file's other files, as binutils, dwz and packagers write them.
#pragma once

#include <lzma.h>

#include <string_view>

#include "support/core_builder.hpp"

namespace coldcase::test {

inline void append_text(Blob& bytes, std::string_view text) {
  for (const char c : text) bytes.push_back(static_cast<std::byte>(c));
}

inline Blob debug_link_sample(std::string_view name, std::uint32_t crc) {
  Blob bytes;
  append_text(bytes, name);
  do bytes.push_back(std::byte{0});
  while (bytes.size() % 4 != 0);
  append(bytes, crc);
  return bytes;
}

inline Blob alt_link_sample(std::string_view path, std::size_t id_size) {
  Blob bytes;
  append_text(bytes, path);
  bytes.push_back(std::byte{0});
  bytes.insert(bytes.end(), id_size, std::byte{0xa5});
  return bytes;
}

inline Blob package_note_sample(std::string_view json) {
  Blob bytes;
  append(bytes, std::uint32_t{4});
  append(bytes, static_cast<std::uint32_t>(json.size() + 1));
  append(bytes, std::uint32_t{0xcafe1a7e});
  append_text(bytes, std::string_view("FDO\0", 4));
  append_text(bytes, json);
  do bytes.push_back(std::byte{0});
  while (bytes.size() % 4 != 0);
  return bytes;
}

inline Blob packed_sample(const Blob& content) {
  Blob packed(content.size() + 1024);
  std::size_t used = 0;
  (void)lzma_easy_buffer_encode(
      1, LZMA_CHECK_CRC32, nullptr, reinterpret_cast<const std::uint8_t*>(content.data()),
      content.size(), reinterpret_cast<std::uint8_t*>(packed.data()), &used, packed.size());
  packed.resize(used);
  return packed;
}

}  // namespace coldcase::test
