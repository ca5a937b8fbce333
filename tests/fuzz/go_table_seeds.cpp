// Writes the seeds of go_table_fuzz into the folder named.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "support/go_table_sample.hpp"

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("usage: go_table_seeds FOLDER\n", stderr);
    return 64;
  }
  const std::filesystem::path folder = arguments[1];
  std::filesystem::create_directories(folder);
  for (const std::uint32_t magic : {0xfffffff0u, 0xfffffff1u}) {
    coldcase::test::GoSample sample;
    sample.magic = magic;
    const coldcase::test::Blob bytes = sample.build();
    std::ofstream(folder / ("table_" + std::to_string(magic)), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  return 0;
}
