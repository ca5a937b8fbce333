// Writes the seeds of archive_fuzz into the folder named: each packing, each archive.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "support/archives.hpp"

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("usage: archive_seeds FOLDER\n", stderr);
    return 64;
  }
  using namespace coldcase::test;
  const std::filesystem::path folder = arguments[1];
  std::filesystem::create_directories(folder);
  const auto write = [&](const std::string& name, const std::string& text) {
    std::ofstream(folder / name, std::ios::binary) << text;
  };
  const std::string core = elf_of(4, "content");
  for (const char* filter : {"gzip", "xz", "bzip2", "lz4", "zstd"})
    write(filter, archived("raw", filter, {{"", core}}));
  for (const char* format : {"ustar", "pax", "zip", "zip:store"}) {
    const std::vector<File> files{{"lib.so", elf_of(3, "")},
                                  {"core", core},
                                  {"core.gz", archived("raw", "gzip", {{"", core}})}};
    write(std::string("plain ") + format, archived(format, "", files));
    write(std::string("packed ") + format, archived(format, "gzip", files));
  }
  write("apport", apport_report(core));
}
