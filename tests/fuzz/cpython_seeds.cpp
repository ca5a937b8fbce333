// Writes the seeds of cpython_fuzz into the folder named: for each version a dict with one text key
// whose type stands before it, and tables with an entry of every kind.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "support/core_builder.hpp"

using namespace coldcase;

static test::Blob sample(std::uint8_t version) {
  constexpr std::uint64_t base = 0x10000;
  test::Blob blob(2048);
  test::patch(blob, 0, version);
  test::patch(blob, 1, std::uint8_t{512 / 8});  // the object
  test::patch(blob, 2, std::uint8_t{64});       // instructions
  test::patch(blob, 3, std::uint8_t{256 / 8});  // monitoring data: all its pointers to lines
  const std::uint8_t tables[] = {0xf8, 0x81, 0x12, 0xd8, 4,  9, 0xe8, 0x0b, 0xf7, 0x42, 3,  1,
                                 5,    9,    0x83, 5,    20, 4, 0xc1, 36,   4,    0x42, 10, 0};
  for (std::size_t i = 0; i < sizeof tables; ++i) test::patch(blob, 8 + i, tables[i]);
  for (std::uint64_t i = 0; i < 32; ++i)
    test::patch(blob, 64 + i * 2, static_cast<std::uint8_t>(230 + i % 26));
  for (std::uint64_t at = 256; at < 384; at += 8) test::patch(blob, at, base + 400);
  test::patch(blob, 400, std::uint8_t{2});
  // The object: a dict whose type is at 600; keys at 900; its key a str of the same type.
  test::patch(blob, 512 + 8, base + 600);
  test::patch(blob, 512 + 16, std::uint64_t{1});
  test::patch(blob, 512 + 32, base + 900);
  test::patch(blob, 600 + 168, ~std::uint64_t{1 << 2 | 1 << 4});
  test::patch(blob, 600 + 288, std::uint64_t{16});
  test::patch(blob, 900 + 8, std::uint64_t{8});
  test::patch(blob, 900 + 24, std::uint64_t{1});
  test::patch(blob, 900 + 32, std::uint64_t{1});
  for (std::uint64_t at = 940; at < 1000; at += 8) test::patch(blob, at, base + 512);
  return blob;
}

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("usage: cpython_seeds FOLDER\n", stderr);
    return 64;
  }
  const std::filesystem::path folder = arguments[1];
  std::filesystem::create_directories(folder);
  for (std::uint8_t version = 0; version < 10; ++version) {
    const test::Blob blob = sample(version);
    std::ofstream(folder / ("objects_" + std::to_string(version)), std::ios::binary)
        .write(reinterpret_cast<const char*>(blob.data()),
               static_cast<std::streamsize>(blob.size()));
  }
  return 0;
}
