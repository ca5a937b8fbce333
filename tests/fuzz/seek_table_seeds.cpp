// Writes the seeds of seek_table_fuzz into the folder named: tables of every kind.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "support/seekable.hpp"

namespace {

using namespace coldcase::test;

void write(const std::filesystem::path& path, const Blob& bytes) {
  std::ofstream(path, std::ios::binary)
      .write(reinterpret_cast<const char*>(bytes.data()),
             static_cast<std::streamsize>(bytes.size()));
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("usage: seek_table_seeds FOLDER\n", stderr);
    return 64;
  }
  const std::filesystem::path folder = arguments[1];
  std::filesystem::create_directories(folder);
  Blob content = text_blob("of a core, of a core, of a core. ");
  content.resize(200);
  for (unsigned i = 0; i < 50; ++i) append(content, i * i * 2654435761u);
  for (const bool checksums : {false, true}) {
    for (const bool sizes : {false, true}) {
      const std::string name =
          std::string(checksums ? "checked" : "plain") + (sizes ? "_told" : "");
      std::vector<PackedFrame> frames = packed_frames(content, {150, checksums, sizes});
      write(folder / name, seekable_file(frames, checksums));
      frames.insert(frames.begin() + 1, skippable_frame("skip"));
      --frames.back().plain;
      write(folder / (name + "_lying"), seekable_file(frames, checksums));
    }
  }
  return 0;
}
