#include "bytes/packing.hpp"

#include <algorithm>
#include <array>
#include <coldcase/result.hpp>

#include "bytes/archive_handle.hpp"
#include "bytes/decoder.hpp"

namespace coldcase {
namespace {

constexpr std::array<std::string_view, 6> names{"none", "zstd", "xz", "lz4", "gzip", "bzip2"};

constexpr std::uint32_t zstd_magic = 0xfd2fb528, lz4_magic = 0x184d2204, lz4_legacy = 0x184c2102;
constexpr std::uint32_t skippable = 0x184d2a50;  // low 4 bits free; of zstd and LZ4 alike

bool starts_with(Bytes head, std::string_view magic) {
  return head.size() >= magic.size() &&
         std::equal(magic.begin(), magic.end(), head.begin(),
                    [](char want, std::byte has) { return static_cast<std::byte>(want) == has; });
}

std::string unpack_zstd(Bytes packed, Spool& spool) {
  Decoder decoder;
  const auto take = [&](Bytes piece) {
    if (piece.size() > most_unpacked - spool.size()) return false;
    spool.append(piece);
    return true;
  };
  constexpr std::size_t at_once = std::size_t{1} << 20;
  for (std::uint64_t at = 0; at < packed.size(); at += at_once) {
    const Bytes piece = slice(packed, at, at_once);
    prefetch(slice(packed, at + at_once, at_once));
    if (std::string problem = decoder.feed(piece, take); !problem.empty()) return problem;
  }
  return decoder.inside_frame() ? "the compressed file ends early" : "";
}

int add_filter(archive* reader, Compression compression) {
  switch (compression) {
    case Compression::xz:
      return ::archive_read_support_filter_xz(reader);
    case Compression::lz4:
      return ::archive_read_support_filter_lz4(reader);
    case Compression::gzip:
      return ::archive_read_support_filter_gzip(reader);
    case Compression::bzip2:
      return ::archive_read_support_filter_bzip2(reader);
    default:
      return ARCHIVE_FATAL;
  }
}

// False when it cannot be read; also of an empty content, which has nothing to read.
bool begin(archive* reader, Compression compression, Bytes packed) {
  archive_entry* entry = nullptr;
  return add_filter(reader, compression) == ARCHIVE_OK &&
         ::archive_read_support_format_raw(reader) == ARCHIVE_OK &&
         ::archive_read_open_memory(reader, packed.data(), packed.size()) == ARCHIVE_OK &&
         ::archive_read_next_header(reader, &entry) == ARCHIVE_OK;
}

std::vector<std::byte> peek_zstd(Bytes packed, std::size_t size) {
  std::vector<std::byte> head;
  Decoder decoder;
  const auto take = [&](Bytes piece) {
    head.insert(head.end(), piece.begin(), piece.end());
    return head.size() < size;
  };
  constexpr std::size_t at_once = std::size_t{64} << 10;
  for (std::uint64_t at = 0; at < packed.size() && head.size() < size; at += at_once) {
    if (!decoder.feed(slice(packed, at, at_once), take).empty()) break;
  }
  head.resize(std::min(head.size(), size));
  return head;
}

}  // namespace

std::string_view word(Compression compression) {
  return names[static_cast<std::size_t>(compression)];
}

Compression compression_of(Bytes head) {
  const auto magic = parse_at<std::uint32_t>(head, 0);
  if (!magic) return Compression::none;
  if (*magic == zstd_magic || (*magic & 0xfffffff0u) == skippable) return Compression::zstd;
  if (*magic == lz4_magic || *magic == lz4_legacy) return Compression::lz4;
  if (starts_with(head, {"\xfd"
                         "7zXZ\0",
                         6}))
    return Compression::xz;
  if (starts_with(head, "\x1f\x8b\x08")) return Compression::gzip;
  const auto level = static_cast<char>(*magic >> 24);
  constexpr std::string_view block("1AY&SY"), end("\x17rE8P\x90", 6);
  const Bytes behind = slice(head, 4, 6);
  if (starts_with(head, "BZh") && level >= '1' && level <= '9' &&
      (starts_with(behind, block) || starts_with(behind, end)))
    return Compression::bzip2;
  return Compression::none;
}

std::string unpack_stream(Bytes packed, Compression compression, Spool& spool) {
  if (compression == Compression::zstd) return unpack_zstd(packed, spool);
  const ArchiveHandle reader = new_archive_reader();
  if (!begin(reader.get(), compression, packed)) return error_of(reader.get());
  return copy_data(reader.get(), spool);
}

std::vector<std::byte> peek(Bytes packed, std::size_t size) {
  const Compression compression = compression_of(packed);
  if (compression == Compression::none) return {};
  if (compression == Compression::zstd) return peek_zstd(packed, size);
  const ArchiveHandle reader = new_archive_reader();
  std::vector<std::byte> head(size);
  if (!begin(reader.get(), compression, packed)) return {};
  const la_ssize_t got = ::archive_read_data(reader.get(), head.data(), size);
  head.resize(got > 0 ? static_cast<std::size_t>(got) : 0);
  return head;
}

}  // namespace coldcase
