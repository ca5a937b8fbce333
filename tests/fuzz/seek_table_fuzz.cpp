// Fuzzes parse_seek_table and the reading by frames: a table that is believed keeps its promises,
// and what is read by it is what the file holds as one stream, or BadFrame.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <coldcase/result.hpp>
#include <cstdio>
#include <cstdlib>

#include "bytes/frames.hpp"
#include "bytes/packing.hpp"
#include "hostile/seek_table_invariants.hpp"

using namespace coldcase;

namespace {

constexpr std::uint64_t most_content = std::uint64_t{1} << 20;  // larger ones cost time alone

void demand(bool kept, const char* promise) {
  if (kept) return;
  std::fprintf(stderr, "broken promise: %s\n", promise);
  std::abort();
}

// False when a frame was found out.
bool unpack_backwards(Frames& frames) {
  constexpr std::size_t step = 777;
  try {
    for (std::size_t at = frames.range().size(); at > 0; at -= std::min(at, step))
      frames.unpack(frames.range().subspan(at - std::min(at, step), std::min(at, step)));
    return true;
  } catch (const BadFrame&) {
    return false;
  }
}

void compare(const FileHandle& file, std::uint64_t size) {
  const auto frames = open_frames(Stored(Mapping(file.get(), size)));
  demand(frames != nullptr, "a table that is there is used");
  if (!unpack_backwards(*frames)) return;
  Spool whole;
  const Mapping packed(file.get(), size);
  demand(unpack_stream(packed.bytes(), Compression::zstd, whole).empty(), "it is one stream too");
  const Mapping content = whole.map();
  demand(std::ranges::equal(content.bytes(), frames->range()), "one stream holds the same");
}

}  // namespace

extern "C" int LLVMFuzzerInitialize(int* count, char*** arguments);
extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerInitialize(int*, char***) {
  ::setenv("TMPDIR", "/dev/shm", 1);
  return 0;
}

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const Bytes bytes = std::as_bytes(std::span(data, size));
  const std::string_view broken = test::broken_table(bytes);
  demand(broken.empty(), broken.data());
  const auto table = parse_seek_table(bytes);
  if (!table || table->plain_bytes() > most_content) return 0;
  const FileHandle file{::memfd_create("fuzz", MFD_CLOEXEC)};
  if (::write(file.get(), data, size) != static_cast<ssize_t>(size)) std::abort();
  ::lseek(file.get(), 0, SEEK_SET);
  compare(file, size);
  return 0;
}
