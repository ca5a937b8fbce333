// Writes the seeds of core_fuzz into the folder named: small cores of both writers, whole and cut.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "support/core_builder.hpp"

namespace {

using namespace coldcase::test;

void write(const std::filesystem::path& path, const Blob& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

Built many_headers(Style style) {
  CoreBuilder core(style);
  core.align(16).extended_count().thread({.tid = 1}).files({{0x1000, 0x2000, 0x1000, "/a"}});
  core.segment({.begin = 0x1000, .size = 0x1000, .saved = text_blob("saved")});
  return core.build();
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("usage: core_seeds FOLDER\n", stderr);
    return 64;
  }
  const std::filesystem::path folder = arguments[1];
  std::filesystem::create_directories(folder);
  for (const Style style : {Style::kernel, Style::gcore}) {
    const std::string name = style == Style::kernel ? "kernel" : "gcore";
    Built whole = small_core(style);
    write(folder / name, whole.bytes);
    whole.bytes.resize(whole.segment_at.at(2) + 10);
    write(folder / (name + "_cut"), whole.bytes);
    Built many = many_headers(style);
    write(folder / (name + "_many"), many.bytes);
    many.bytes.resize(many.bytes.size() - 64);
    write(folder / (name + "_many_cut"), many.bytes);
  }
  return 0;
}
