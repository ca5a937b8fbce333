// A .zst with a seek table, unpacked as it is read: a sparse unlinked file of the whole content's
// length, into which a frame is written when a byte of it is first asked for. The disk holds the
// frames that were touched; memory holds the decoder and 16 bytes a frame. For one thread.
#pragma once

#include <exception>
#include <memory>
#include <optional>
#include <vector>

#include "bytes/decoder.hpp"
#include "bytes/seek_table.hpp"
#include "bytes/spool.hpp"
#include "bytes/stored.hpp"

namespace coldcase {

// A frame cannot be unpacked or is not what the table says, so the place of every other byte is in
// doubt too. Never leaves the library: reading_frames (input.hpp) starts over without the table.
class BadFrame : public std::exception {
 public:
  const char* what() const noexcept override { return "a frame is not what the seek table says"; }
};

class Frames {
 public:
  // Throws Error when there is no room for a file of this length, here or in the address space.
  Frames(Stored packed, SeekTable table);
  // All of the content; what of it was not unpacked reads as zeros.
  Bytes range() const { return plain_.bytes(); }
  // Makes a part of range() readable; throws BadFrame.
  void unpack(Bytes part);

 private:
  void unpack_frame(std::size_t frame);

  Stored packed_;
  SeekTable table_;
  Spool spool_;
  Mapping plain_;
  std::vector<bool> unpacked_;
  std::uint64_t ready_begin_ = 0, ready_end_ = 0;  // the range asked for last, in whole frames
  std::optional<Decoder> decoder_;
};

// Null when the file has no table to go by, and has to be read as one stream.
std::unique_ptr<Frames> open_frames(const Stored& packed);

}  // namespace coldcase
