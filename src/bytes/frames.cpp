#include "bytes/frames.hpp"

#include <coldcase/result.hpp>
#include <utility>

#include "base/xxh64.hpp"
#include "bytes/file_span.hpp"

namespace coldcase {
namespace {

Spool spool_of(std::uint64_t size) {
  Spool spool;
  spool.extend(size);
  return spool;
}

}  // namespace

Frames::Frames(Stored packed, SeekTable table)
    : packed_(std::move(packed)),
      table_(std::move(table)),
      spool_(spool_of(table_.plain_bytes())),
      plain_(spool_.map()),
      unpacked_(table_.frames.size()) {}

void Frames::unpack(Bytes part) {
  if (part.empty()) return;
  const auto begin = static_cast<std::uint64_t>(part.data() - range().data());
  const std::uint64_t end = begin + part.size();
  if (ready_begin_ <= begin && end <= ready_end_) return;
  const std::size_t first = table_.find(begin);
  std::size_t frame = first;
  for (; frame < table_.frames.size() && table_.begin_of(frame).plain_end < end; ++frame) {
    if (unpacked_[frame]) continue;
    unpack_frame(frame);
    unpacked_[frame] = true;
  }
  ready_begin_ = table_.begin_of(first).plain_end;
  ready_end_ = table_.begin_of(frame).plain_end;
}

void Frames::unpack_frame(std::size_t frame) {
  const auto [packed_begin, plain_begin] = table_.begin_of(frame);
  const auto [packed_end, plain_end] = table_.frames[frame];
  const Bytes packed = slice(packed_.bytes, packed_begin, packed_end - packed_begin);
  prefetch(packed);
  if (!decoder_) decoder_.emplace();
  decoder_->start_anew();
  const bool checked = !table_.checksums.empty();
  Xxh64 checksum;
  std::uint64_t at = plain_begin;
  const std::uint64_t end = plain_end;
  const std::string problem = decoder_->feed(packed, [&](Bytes piece) {
    if (piece.size() > end - at) return false;
    try {
      spool_.write(at, piece);
    } catch (const Error&) {
      throw BadFrame();  // a full disk: read as one stream it is told in the usual way
    }
    if (checked) checksum.add(piece);
    at += piece.size();
    return true;
  });
  if (!problem.empty() || decoder_->inside_frame() || at != end) throw BadFrame();
  if (checked && static_cast<std::uint32_t>(checksum.value()) != table_.checksums[frame])
    throw BadFrame();
}

void unpack(Frames& frames, Bytes part) {
  frames.unpack(part);
}

std::unique_ptr<Frames> open_frames(const Stored& packed) {
  expect_scattered_reads(packed.bytes);  // one header a frame, and later whole frames, prefetched
  auto table = parse_seek_table(packed.bytes);
  if (!table) return nullptr;
  try {
    return std::make_unique<Frames>(packed, std::move(*table));
  } catch (const Error&) {
    return nullptr;
  }
}

}  // namespace coldcase
