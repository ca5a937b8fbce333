#include "bytes/seek_table.hpp"

#include <zstd.h>

#include <algorithm>

namespace coldcase {
namespace {

constexpr std::uint32_t table_magic = 0x184d2a5e, footer_magic = 0x8f92eab1;
constexpr std::size_t head_size = 8, footer_size = 9;
constexpr std::uint8_t has_checksums = 0x80, reserved_flags = 0x7c;

// RFC 8878: a skippable frame has 8 bytes before its content; the header of another up to 18.
constexpr std::uint32_t skippable = 0x184d2a50, skippable_mask = 0xfffffff0;
constexpr std::size_t smallest_frame = 8, largest_header = 18;
// The smallest block has 4 bytes and yields 128 KiB: a bound on what a frame can hold.
constexpr std::uint64_t smallest_block = 4, largest_block = std::uint64_t{128} << 10;

struct Layout {
  Bytes frames;
  Bytes rows;
  std::size_t row_size;
};

std::optional<Layout> find_rows(Bytes file) {
  if (file.size() < head_size + footer_size) return std::nullopt;
  const Bytes footer = file.last(footer_size);
  const auto count = *parse_at<std::uint32_t>(footer, 0);
  const auto flags = *parse_at<std::uint8_t>(footer, 4);
  if (parse_at<std::uint32_t>(footer, 5) != footer_magic || (flags & reserved_flags) != 0 ||
      count == 0 || count > most_seek_frames)
    return std::nullopt;
  const std::size_t row_size = (flags & has_checksums) != 0 ? 12 : 8;
  const std::size_t rows_size = count * row_size;
  const std::size_t whole = head_size + rows_size + footer_size;
  if (whole > file.size()) return std::nullopt;
  const Bytes table = file.last(whole);
  if (parse_at<std::uint32_t>(table, 0) != table_magic ||
      parse_at<std::uint32_t>(table, 4) != whole - head_size)
    return std::nullopt;
  return Layout{file.first(file.size() - whole), table.subspan(head_size, rows_size), row_size};
}

// Whether this may be a frame whose content has `plain` bytes.
bool agrees(Bytes frame, std::uint32_t plain) {
  if (frame.size() < smallest_frame || plain > frame.size() / smallest_block * largest_block)
    return false;
  if ((*parse_at<std::uint32_t>(frame, 0) & skippable_mask) == skippable)
    return plain == 0 && *parse_at<std::uint32_t>(frame, 4) == frame.size() - 8;
  const unsigned long long told =
      ZSTD_getFrameContentSize(frame.data(), std::min(frame.size(), largest_header));
  // Of a frame said to be empty nothing is ever read, so only its own word for it counts.
  return told == plain || (told == ZSTD_CONTENTSIZE_UNKNOWN && plain > 0);
}

}  // namespace

std::size_t SeekTable::find(std::uint64_t offset) const {
  const auto frame = std::ranges::upper_bound(frames, offset, {}, &SeekFrame::plain_end);
  return static_cast<std::size_t>(frame - frames.begin());
}

std::optional<SeekTable> parse_seek_table(Bytes file) {
  const auto layout = find_rows(file);
  if (!layout) return std::nullopt;
  SeekTable table;
  table.frames.reserve(layout->rows.size() / layout->row_size);
  SeekFrame end;
  for (std::size_t row = 0; row < layout->rows.size(); row += layout->row_size) {
    const auto packed = *parse_at<std::uint32_t>(layout->rows, row);
    const auto plain = *parse_at<std::uint32_t>(layout->rows, row + 4);
    const Bytes frame = slice(layout->frames, end.packed_end, packed);
    if (frame.size() != packed || !agrees(frame, plain)) return std::nullopt;
    end = {end.packed_end + packed, end.plain_end + plain};
    table.frames.push_back(end);
    if (layout->row_size == 12)
      table.checksums.push_back(*parse_at<std::uint32_t>(layout->rows, row + 8));
  }
  if (end.packed_end != layout->frames.size() || end.plain_end == 0) return std::nullopt;
  return table;
}

}  // namespace coldcase
