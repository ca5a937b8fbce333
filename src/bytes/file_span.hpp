// A part of an input whose bytes may still be packed: what later stages hold of a file instead of a
// plain span. Its address range is fixed; asking for bytes unpacks the frames that hold them, so
// nothing can be read that is not there yet, and what nobody asks for stays packed.
//
//   FileSpan segment = file.part(offset, size);       // nothing is unpacked
//   Bytes page = segment.bytes(4096, 4096);           // the frames of these bytes are
#pragma once

#include <concepts>

#include "bytes/view.hpp"

namespace coldcase {

class Frames;
// Throws BadFrame (frames.hpp).
void unpack(Frames& frames, Bytes part);

class FileSpan {
 public:
  FileSpan() = default;
  FileSpan(Bytes range, Frames* frames) : range_(range), frames_(frames) {}
  // Bytes that are all there.
  template <class Whole>
  requires(std::convertible_to<const Whole&, Bytes> && !std::same_as<Whole, FileSpan>)
      FileSpan(const Whole& bytes)
      : range_(bytes) {}

  std::size_t size() const { return range_.size(); }
  bool empty() const { return range_.empty(); }

  // The part that exists of [offset, offset + size).
  FileSpan part(std::uint64_t offset, std::uint64_t size) const {
    return {slice(range_, offset, size), frames_};
  }
  Bytes bytes(std::uint64_t offset, std::uint64_t size) const {
    const Bytes wanted = slice(range_, offset, size);
    if (frames_ != nullptr) unpack(*frames_, wanted);
    return wanted;
  }
  Bytes bytes() const { return bytes(0, size()); }

 private:
  Bytes range_;
  Frames* frames_ = nullptr;  // null: nothing is packed
};

// The value at `offset`, or nothing when it does not lie whole inside the span.
template <Plain T, std::same_as<FileSpan> Span>
std::optional<T> parse_at(const Span& span, std::uint64_t offset) {
  return parse_at<T>(span.bytes(offset, sizeof(T)), 0);
}

}  // namespace coldcase
