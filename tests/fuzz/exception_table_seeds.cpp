// Writes the seeds of exception_table_fuzz into the folder named.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "support/exception_tables.hpp"

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("usage: exception_table_seeds FOLDER\n", stderr);
    return 64;
  }
  const std::filesystem::path folder = arguments[1];
  std::filesystem::create_directories(folder);
  const coldcase::test::Tables tables = coldcase::test::sample_tables();
  const auto* bytes = reinterpret_cast<const char*>(tables.bytes.data());
  for (const std::size_t size : {tables.bytes.size(), tables.bytes.size() - 20}) {
    std::ofstream(folder / ("tables_" + std::to_string(size)), std::ios::binary)
        .write(bytes, static_cast<std::streamsize>(size));
  }
  return 0;
}
