// Fuzzes open_inputs: archives, packed streams and reports of Apport's. What comes out of any bytes
// can be read from its beginning to its end, or is a message.
#include <sys/mman.h>
#include <unistd.h>

#include <cstdlib>
#include <string>

#include "bytes/handles.hpp"
#include "bytes/input.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using namespace coldcase;
  const FileHandle file{::memfd_create("archive.fuzz", MFD_CLOEXEC)};
  if (!file.valid() || ::write(file.get(), data, size) != static_cast<ssize_t>(size)) std::abort();
  try {
    for (const Input& input : open_inputs("/proc/self/fd/" + std::to_string(file.get()))) {
      std::byte sum{};
      for (const std::byte b : input.content().bytes(0, 1 << 20)) sum ^= b;
      if (input.path.empty() || (sum == std::byte{1} && input.file_bytes == 0)) std::abort();
    }
  } catch (const Error& error) {
    if (std::string(error.what()).empty()) std::abort();
  } catch (const BadFrame&) {
  }
  return 0;
}
