// What was at this address, and how do we know: the memory of the dead process as one value. Bytes
// saved in the core always win; a mapped file's bytes fill only what the core left out.
//
//   MemoryImage image = core_image(core);
//   Read<std::uint32_t> word = image.read<std::uint32_t>(Addr{0x7f00});
#pragma once

#include <array>
#include <coldcase/address.hpp>
#include <coldcase/result.hpp>
#include <optional>
#include <span>
#include <string>
#include <variant>
#include <vector>

#include "bytes/file_span.hpp"
#include "core/core.hpp"

namespace coldcase {

enum class Source : std::uint8_t { core, file };

// `bytes` may be shorter than `range`; what lies beyond is absent because of `rest`.
struct Extent {
  Range range;
  FileSpan bytes;
  Source source = Source::core;
  Absence rest = Absence::not_saved;
};

class MemoryImage {
 public:
  MemoryImage() = default;
  // Takes extents in any order. Where two overlap the earlier in the vector wins.
  explicit MemoryImage(std::vector<Extent> extents);

  template <Plain T>
  Read<T> read(Addr at) const {
    if (const Extent* extent = find(at)) {
      const std::uint64_t offset = at.value - extent->range.begin.value;
      if (const auto value = parse_at<T>(extent->bytes, offset)) return *value;
    }
    std::array<std::byte, sizeof(T)> buffer{};
    if (const auto all = read_into(at, buffer); !all) return tl::make_unexpected(all.error());
    return std::bit_cast<T>(buffer);
  }

  Read<Addr> read_pointer(Addr at) const {
    return read<std::uint64_t>(at).map([](std::uint64_t value) { return Addr{value}; });
  }

  // Fills `into` from `at` on, across extents; a fault names the first absent byte.
  Read<std::monostate> read_into(Addr at, std::span<std::byte> into) const;

  // Up to `limit` bytes before the first NUL. A fault when there is none in what is present.
  Read<std::string> read_text(Addr at, std::size_t limit = 4096) const;

  // The bytes present from `at` on without a gap inside one extent, at most `size`; empty when
  // absent. All of them are unpacked: ask for what is read, not for what may be there.
  Bytes view(Addr at, Size size) const;

  // Why the byte at `at` is absent; nothing when it is present.
  std::optional<Absence> why_absent(Addr at) const;
  bool present(Addr at) const { return !why_absent(at); }
  bool mapped(Addr at) const { return find(at) != nullptr; }

  // The extent that covers `at`.
  const Extent* find(Addr at) const;
  const std::vector<Extent>& extents() const { return extents_; }

  // A new image in which these extents fill what this one has mapped and not saved (or not mapped).
  MemoryImage with_files(std::vector<Extent> files) const;

 private:
  std::vector<Extent> extents_;     // by address, disjoint
  mutable std::size_t recent_ = 0;  // where find() looked last: most reads stay near
};

// The image of a core alone: its segments, and as "not saved" what only NT_FILE mentions.
MemoryImage core_image(const Core& core);

}  // namespace coldcase
