// Writes the seeds of separate_fuzz into the folder named.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "support/separate_samples.hpp"

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("usage: separate_seeds FOLDER\n", stderr);
    return 64;
  }
  using namespace coldcase::test;
  const std::filesystem::path folder = arguments[1];
  std::filesystem::create_directories(folder);
  int number = 0;
  for (const Blob& bytes :
       {debug_link_sample("libring.so.debug", 77), alt_link_sample("../common.dwz", 20),
        package_note_sample(R"({"type":"deb","name":"coreutils","version":"9"})"),
        packed_sample(Blob(2000, std::byte{3}))}) {
    std::ofstream(folder / std::to_string(number++), std::ios::binary)
        .write(reinterpret_cast<const char*>(bytes.data()),
               static_cast<std::streamsize>(bytes.size()));
  }
  return 0;
}
