// Writes the seeds of sections_fuzz into the folder named.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "support/section_sample.hpp"

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("usage: sections_seeds FOLDER\n", stderr);
    return 64;
  }
  using namespace coldcase::test;
  const std::filesystem::path folder = arguments[1];
  std::filesystem::create_directories(folder);
  SectionSample packed;
  packed.line.clear();
  for (const std::uint64_t word : {1u, 100u, 1u}) append(packed.line, word);
  append(packed.line, std::uint64_t{0x030000000001'9c78});  // an empty zlib stream
  int number = 0;
  for (const SectionSample& sample : {SectionSample(), packed}) {
    Blob bytes;
    for (const Blob* part : {&sample.note, &sample.symtab, &sample.strtab, &sample.line})
      append(bytes, static_cast<std::uint16_t>(part->size()));
    for (const Blob* part :
         {&sample.note, &sample.symtab, &sample.strtab, &sample.line, &sample.line_text})
      bytes.insert(bytes.end(), part->begin(), part->end());
    std::ofstream(folder / std::to_string(number++), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  return 0;
}
