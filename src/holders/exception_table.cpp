#include "holders/exception_table.hpp"

namespace coldcase {
namespace {

constexpr std::size_t most_call_sites = 100'000;

// DW_EH_PE_*: the low four bits are the format, the next three what it is relative to.
constexpr unsigned encoding_omit = 0xff, encoding_indirect = 0x80, relative_pc = 0x10;

// Reads forward; once something does not fit, all that follows is refused.
class Cursor {
 public:
  Cursor(Bytes bytes, std::uint64_t base, std::uint64_t address) : bytes_(bytes), base_(base) {
    if (address < base || address - base > bytes.size())
      failed_ = true;
    else
      at_ = address - base;
  }

  bool failed() const { return failed_; }
  std::uint64_t address() const { return base_ + at_; }

  template <Plain T>
  T take() {
    const auto value = failed_ ? std::nullopt : parse_at<T>(bytes_, at_);
    if (!value) {
      failed_ = true;
      return T{};
    }
    at_ += sizeof(T);
    return *value;
  }

  std::uint64_t take_uleb() { return take_leb(false); }

  // A pointer in one of the encodings; what it is relative to must be known.
  std::uint64_t take_encoded(unsigned encoding) {
    const std::uint64_t field = address();
    const std::uint64_t raw = take_raw(encoding & 0x0f);
    if ((encoding & encoding_indirect) != 0) failed_ = true;
    switch (encoding & 0x70) {
      case 0:
        return raw;
      case relative_pc:
        return raw == 0 ? 0 : field + raw;
      default:  // text, data and function relative: no compiler on x86_64 writes them here
        failed_ = true;
        return 0;
    }
  }

  void skip_encoded(unsigned encoding) { (void)take_raw(encoding & 0x0f); }

 private:
  std::uint64_t take_raw(unsigned format) {
    switch (format) {
      case 0x0:
      case 0x4:
      case 0xc:
        return take<std::uint64_t>();
      case 0x1:
        return take_leb(false);
      case 0x9:
        return take_leb(true);
      case 0x2:
        return take<std::uint16_t>();
      case 0xa:
        return static_cast<std::uint64_t>(std::int64_t{take<std::int16_t>()});
      case 0x3:
        return take<std::uint32_t>();
      case 0xb:
        return static_cast<std::uint64_t>(std::int64_t{take<std::int32_t>()});
      default:
        failed_ = true;
        return 0;
    }
  }

  std::uint64_t take_leb(bool is_signed) {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 64; shift += 7) {
      const auto byte = take<std::uint8_t>();
      if (failed_) return 0;
      value |= std::uint64_t{byte & 0x7fu} << shift;
      if ((byte & 0x80) != 0) continue;
      if (is_signed && (byte & 0x40) != 0 && shift + 7 < 64)
        value |= ~std::uint64_t{0} << (shift + 7);
      return value;
    }
    failed_ = true;
    return 0;
  }

  Bytes bytes_;
  std::uint64_t base_;
  std::uint64_t at_ = 0;
  bool failed_ = false;
};

// What a common information entry says of its children.
struct Parent {
  bool has_data = false;  // augmentation 'z': children have augmentation data
  unsigned code_encoding = 0;
  unsigned lsda_encoding = encoding_omit;
};

std::optional<Parent> parse_parent(Bytes bytes, std::uint64_t base, std::uint64_t entry) {
  Cursor cursor(bytes, base, entry);
  const auto length = cursor.take<std::uint32_t>();
  const auto id = cursor.take<std::uint32_t>();
  const auto version = cursor.take<std::uint8_t>();
  if (cursor.failed() || length == 0xffffffff || id != 0 || (version != 1 && version != 3))
    return std::nullopt;
  char letters[8] = {};
  std::size_t count = 0;
  for (; count < sizeof letters; ++count) {
    letters[count] = cursor.take<char>();
    if (cursor.failed()) return std::nullopt;
    if (letters[count] == '\0') break;
  }
  if (count == sizeof letters) return std::nullopt;
  (void)cursor.take_uleb();  // code alignment
  (void)cursor.take_uleb();  // data alignment: signed, and skipped the same
  if (version == 1)
    (void)cursor.take<std::uint8_t>();  // return address register
  else
    (void)cursor.take_uleb();
  Parent parent;
  if (letters[0] != 'z')
    return count == 0 && !cursor.failed() ? std::optional(parent) : std::nullopt;
  parent.has_data = true;
  (void)cursor.take_uleb();
  for (std::size_t i = 1; i < count; ++i) {
    if (letters[i] == 'R') {
      parent.code_encoding = cursor.take<std::uint8_t>();
    } else if (letters[i] == 'L') {
      parent.lsda_encoding = cursor.take<std::uint8_t>();
    } else if (letters[i] == 'P') {
      cursor.skip_encoded(cursor.take<std::uint8_t>());
    } else if (letters[i] != 'S' && letters[i] != 'B') {
      return std::nullopt;
    }
  }
  return cursor.failed() ? std::nullopt : std::optional(parent);
}

}  // namespace

std::optional<FrameEntry> parse_frame_entry(Bytes bytes, std::uint64_t base, std::uint64_t entry) {
  Cursor cursor(bytes, base, entry);
  const auto length = cursor.take<std::uint32_t>();
  const std::uint64_t id_at = cursor.address();
  const auto id = cursor.take<std::uint32_t>();
  if (cursor.failed() || length == 0 || length == 0xffffffff || id == 0 || id > id_at)
    return std::nullopt;
  const auto parent = parse_parent(bytes, base, id_at - id);
  if (!parent) return std::nullopt;
  FrameEntry found;
  found.begin = cursor.take_encoded(parent->code_encoding);
  // The length of the code has the same format, relative to nothing.
  const std::uint64_t size = cursor.take_encoded(parent->code_encoding & 0x0f);
  if (cursor.failed() || __builtin_add_overflow(found.begin, size, &found.end)) return std::nullopt;
  if (parent->has_data) {
    (void)cursor.take_uleb();
    if (parent->lsda_encoding != encoding_omit)
      found.lsda = cursor.take_encoded(parent->lsda_encoding);
  }
  if (cursor.failed()) return std::nullopt;
  return found;
}

std::vector<CallSite> parse_call_sites(Bytes bytes, std::uint64_t base, std::uint64_t lsda,
                                       std::uint64_t function) {
  std::vector<CallSite> sites;
  Cursor cursor(bytes, base, lsda);
  const auto start_encoding = cursor.take<std::uint8_t>();
  const std::uint64_t pads_from =
      start_encoding == encoding_omit ? function : cursor.take_encoded(start_encoding);
  if (cursor.take<std::uint8_t>() != encoding_omit) (void)cursor.take_uleb();
  const auto encoding = cursor.take<std::uint8_t>();
  const std::uint64_t length = cursor.take_uleb();
  const std::uint64_t from = cursor.address();
  while (!cursor.failed() && cursor.address() - from < length && sites.size() < most_call_sites) {
    const std::uint64_t start = cursor.take_encoded(encoding);
    const std::uint64_t size = cursor.take_encoded(encoding);
    const std::uint64_t pad = cursor.take_encoded(encoding);
    (void)cursor.take_uleb();  // the action: a handler's type, or none
    CallSite site;
    if (cursor.failed() || __builtin_add_overflow(function, start, &site.begin) ||
        __builtin_add_overflow(site.begin, size, &site.end)) {
      break;
    }
    if (pad != 0) site.pad = pads_from + pad;
    sites.push_back(site);
  }
  return sites;
}

}  // namespace coldcase
