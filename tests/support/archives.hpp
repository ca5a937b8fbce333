// Packed files and archives for tests, written by libarchive's own writers.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace coldcase::test {

struct File {
  std::string name, content;
};

// `filter`: "", gzip, xz, bzip2, lz4, zstd. `format`: raw (one file), ustar, pax, zip, zip:store.
std::string archived(std::string_view format, std::string_view filter,
                     const std::vector<File>& files);

// A report of Apport's: the core in gzip, each piece of it in base64 of its own line.
std::string apport_report(std::string_view core);

// 64 bytes that begin an ELF file of this type (4: a core), and what follows.
std::string elf_of(unsigned type, std::string_view rest);

}  // namespace coldcase::test
