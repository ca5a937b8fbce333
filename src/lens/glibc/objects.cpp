#include "lens/glibc/objects.hpp"

namespace coldcase {

Read<Mutex> read_mutex(const MemoryImage& image, Addr at) {
  return image.read<std::array<std::uint32_t, 5>>(at).map([](const auto& words) {
    return Mutex{words[0], words[1], static_cast<std::int32_t>(words[2]), words[3],
                 static_cast<std::int32_t>(words[4])};
  });
}

Read<Rwlock> read_rwlock(const MemoryImage& image, Addr at) {
  return image.read<std::array<std::uint32_t, 8>>(at).map([](const auto& words) {
    return Rwlock{words[0],
                  words[1],
                  words[2],
                  words[3],
                  static_cast<std::int32_t>(words[6]),
                  static_cast<std::int32_t>(words[7])};
  });
}

Read<Barrier> read_barrier(const MemoryImage& image, Addr at) {
  return image.read<std::array<std::uint32_t, 3>>(at).map([](const auto& words) {
    return Barrier{words[0], words[1], words[2]};
  });
}

}  // namespace coldcase
