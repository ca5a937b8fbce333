#include "support/seekable.hpp"

#include <zstd.h>

#include <algorithm>
#include <memory>
#include <stdexcept>

namespace coldcase::test {
namespace {

void append_blob(Blob& blob, std::span<const std::byte> more) {
  blob.insert(blob.end(), more.begin(), more.end());
}

Blob packed(std::span<const std::byte> content, bool size, bool checksum) {
  const std::unique_ptr<ZSTD_CCtx, decltype(&ZSTD_freeCCtx)> encoder(ZSTD_createCCtx(),
                                                                     &ZSTD_freeCCtx);
  ZSTD_CCtx_setParameter(encoder.get(), ZSTD_c_contentSizeFlag, size ? 1 : 0);
  ZSTD_CCtx_setParameter(encoder.get(), ZSTD_c_checksumFlag, checksum ? 1 : 0);
  Blob out(ZSTD_compressBound(content.size()));
  const std::size_t done =
      ZSTD_compress2(encoder.get(), out.data(), out.size(), content.data(), content.size());
  if (ZSTD_isError(done) != 0) throw std::runtime_error(ZSTD_getErrorName(done));
  out.resize(done);
  return out;
}

}  // namespace

std::vector<PackedFrame> packed_frames(std::span<const std::byte> content,
                                       const SeekableShape& shape) {
  std::vector<PackedFrame> frames;
  while (!content.empty()) {
    const auto part = content.first(std::min(shape.frame_bytes, content.size()));
    PackedFrame frame{packed(part, shape.sizes_in_frames, false),
                      static_cast<std::uint32_t>(part.size())};
    // A frame that has a checksum ends with it: the low half of XXH64 of its content (RFC 8878).
    const Blob checked = packed(part, true, true);
    std::memcpy(&frame.checksum, &*checked.end() - 4, 4);
    frames.push_back(std::move(frame));
    content = content.subspan(part.size());
  }
  return frames;
}

PackedFrame skippable_frame(std::string_view content) {
  PackedFrame frame;
  append(frame.bytes, std::uint32_t{0x184d2a53});
  append(frame.bytes, static_cast<std::uint32_t>(content.size()));
  append_blob(frame.bytes, std::as_bytes(std::span(content)));
  return frame;
}

Blob seekable_file(const std::vector<PackedFrame>& frames, bool checksums) {
  Blob file;
  Blob rows;
  for (const PackedFrame& frame : frames) {
    append_blob(file, frame.bytes);
    append(rows, static_cast<std::uint32_t>(frame.bytes.size()));
    append(rows, frame.plain);
    if (checksums) append(rows, frame.checksum);
  }
  append(file, std::uint32_t{0x184d2a5e});
  append(file, static_cast<std::uint32_t>(rows.size() + 9));
  append_blob(file, rows);
  append(file, static_cast<std::uint32_t>(frames.size()));
  append(file, static_cast<std::uint8_t>(checksums ? 0x80 : 0));
  append(file, std::uint32_t{0x8f92eab1});
  return file;
}

Blob seekable_file(std::span<const std::byte> content, const SeekableShape& shape) {
  return seekable_file(packed_frames(content, shape), shape.checksums);
}

}  // namespace coldcase::test
