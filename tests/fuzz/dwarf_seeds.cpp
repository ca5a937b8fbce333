// Writes the seeds of dwarf_fuzz into the folder named.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "support/dwarf_sample.hpp"

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("usage: dwarf_seeds FOLDER\n", stderr);
    return 64;
  }
  const std::filesystem::path folder = arguments[1];
  std::filesystem::create_directories(folder);
  for (const int version : {4, 5}) {
    const coldcase::test::DwarfSample sample(version);
    coldcase::test::Blob whole;
    for (const auto& part : sample.parts)
      coldcase::test::append(whole, static_cast<std::uint16_t>(part.size()));
    for (const auto& part : sample.parts) whole.insert(whole.end(), part.begin(), part.end());
    std::ofstream(folder / ("dwarf_" + std::to_string(version)), std::ios::binary)
        .write(reinterpret_cast<const char*>(whole.data()),
               static_cast<std::streamsize>(whole.size()));
  }
  return 0;
}
