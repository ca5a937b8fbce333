#include "lens/cpython/code.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace coldcase::cpython {
namespace {

// Reads bytes of a table, ending quietly.
class Cursor {
 public:
  explicit Cursor(const std::vector<std::byte>& bytes) : bytes_(bytes) {}
  bool done() const { return at_ >= bytes_.size(); }
  unsigned next() { return done() ? 0 : std::to_integer<unsigned>(bytes_[at_++]); }
  // Six bits a byte, least significant first, bit 6: more (location table).
  std::uint64_t varint() {
    std::uint64_t value = 0;
    for (unsigned shift = 0; shift < 60; shift += 6) {
      const unsigned byte = next();
      value |= std::uint64_t{byte & 63} << shift;
      if ((byte & 64) == 0) break;
    }
    return value;
  }
  std::int64_t signed_varint() {
    const std::uint64_t value = varint();
    const auto magnitude = static_cast<std::int64_t>(value >> 1);
    return (value & 1) != 0 ? -magnitude : magnitude;
  }
  // Six bits a byte, most significant first (exception table).
  std::int64_t big_varint() {
    std::int64_t value = 0;
    for (int i = 0; i < 10; ++i) {
      const unsigned byte = next();
      value = (value << 6) | static_cast<std::int64_t>(byte & 63);
      if ((byte & 64) == 0) break;
    }
    return value;
  }

 private:
  const std::vector<std::byte>& bytes_;
  std::size_t at_ = 0;
};

// A hostile table may go beyond any line; it must not overflow.
std::int64_t moved(std::int64_t line, std::int64_t change) {
  return std::clamp<std::int64_t>(change, -INT32_MAX, INT32_MAX) +
         std::clamp<std::int64_t>(line, -INT32_MAX, INT32_MAX);
}

std::int64_t as_signed_byte(unsigned byte) {
  return byte < 128 ? byte : std::int64_t{byte} - 256;
}

// To 3.9: pairs (address increment, signed line increment), co_lnotab.
std::int64_t line_from_lnotab(const Code& code, std::int64_t lasti) {
  Cursor table(code.line_table);
  std::int64_t address = 0;
  std::int64_t line = code.first_line;
  while (!table.done()) {
    address += table.next();
    const std::int64_t change = as_signed_byte(table.next());
    if (address > lasti) break;
    line += change;
  }
  return line;
}

// 3.10 (PEP 626): pairs (length, signed line change; -128: no line).
std::int64_t line_from_ranges(const Code& code, std::int64_t lasti) {
  Cursor table(code.line_table);
  std::int64_t start = 0;
  std::int64_t line = code.first_line;
  while (!table.done()) {
    const std::int64_t end = start + table.next();
    const std::int64_t change = as_signed_byte(table.next());
    if (change != -128) line += change;
    if (lasti >= start && lasti < end) return change == -128 ? 0 : line;
    start = end;
  }
  return 0;
}

// 3.11 on (Objects/locations.md): entries of one to many bytes, lengths in code units.
std::int64_t line_from_locations(const Code& code, std::int64_t lasti) {
  Cursor table(code.line_table);
  std::int64_t unit = 0;
  std::int64_t line = code.first_line;
  while (!table.done()) {
    const unsigned first = table.next();
    const unsigned kind = first >> 3 & 15;
    bool has_line = true;
    if (kind <= 9) {
      table.next();
    } else if (kind <= 12) {
      line += kind - 10;
      table.next();
      table.next();
    } else if (kind == 13) {
      line = moved(line, table.signed_varint());
    } else if (kind == 14) {
      line = moved(line, table.signed_varint());
      for (int i = 0; i < 3; ++i) table.varint();
    } else {
      has_line = false;
    }
    unit += (first & 7) + 1;
    if (lasti < unit * 2) return has_line ? line : 0;
  }
  return 0;
}

}  // namespace

Read<Code> read_code(const Objects& objects, Addr at) {
  const Layout& layout = objects.layout();
  const MemoryImage& image = objects.image();
  const auto text = [&](std::int32_t offset) -> Read<std::string> {
    const auto object = image.read_pointer(offset_by(at, offset));
    if (!object) return tl::make_unexpected(object.error());
    return objects.read_str(*object);
  };
  const auto number = [&](std::int32_t offset) {
    return offset < 0 ? 0 : image.read<std::int32_t>(offset_by(at, offset)).value_or(0);
  };
  const auto table = [&](std::int32_t offset) -> std::vector<std::byte> {
    if (offset < 0) return {};
    const auto object = image.read_pointer(offset_by(at, offset));
    return object ? objects.read_bytes(*object).value_or(std::vector<std::byte>{})
                  : std::vector<std::byte>{};
  };
  const auto file = text(layout.code_filename);
  if (!file) return tl::make_unexpected(file.error());
  const auto name = text(layout.code_qualname >= 0 ? layout.code_qualname : layout.code_name);
  if (!name) return tl::make_unexpected(name.error());
  Code code;
  code.at = at;
  code.file = *file;
  code.name = *name;
  code.qualified = layout.code_qualname >= 0;
  code.first_line = number(layout.code_firstlineno);
  code.stack_size = number(layout.code_stacksize);
  code.locals =
      number(layout.code_nlocalsplus >= 0 ? layout.code_nlocalsplus : layout.code_nlocals);
  code.first_traceable = number(layout.code_firsttraceable);
  code.line_table = table(layout.code_linetable);
  code.exception_table = table(layout.code_exceptiontable);
  if (layout.code_monitoring >= 0)
    code.monitoring = image.read_pointer(offset_by(at, layout.code_monitoring)).value_or(Addr{});
  if (layout.code_adaptive >= 0) {
    code.instructions = offset_by(at, layout.code_adaptive);
  } else if (const auto bytes = image.read_pointer(offset_by(at, layout.code_bytes))) {
    code.instructions = offset_by(*bytes, 32);
  }
  return code;
}

std::uint32_t line_at(const Layout& layout, const Code& code, std::int64_t lasti) {
  if (lasti < 0) return static_cast<std::uint32_t>(std::max(code.first_line, 0));
  std::int64_t line = 0;
  if (layout.minor <= 9) line = line_from_lnotab(code, lasti);
  if (layout.minor == 10) line = line_from_ranges(code, lasti);
  if (layout.minor >= 11) line = line_from_locations(code, lasti);
  return line > 0 && line < INT32_MAX ? static_cast<std::uint32_t>(line) : 0;
}

std::optional<Handler> find_handler(const Code& code, std::int64_t offset) {
  Cursor table(code.exception_table);
  const std::int64_t unit = offset / 2;
  while (!table.done()) {
    const std::int64_t start = table.big_varint();
    const std::int64_t length = table.big_varint();
    const std::int64_t target = table.big_varint();
    const std::int64_t depth_and_lasti = table.big_varint();
    if (unit >= start && unit < start + length) {
      return Handler{target * 2, static_cast<std::int32_t>(depth_and_lasti >> 1)};
    }
  }
  return std::nullopt;
}

static std::vector<std::string> read_name_tuple(const Objects& objects, Addr code,
                                                std::int32_t offset) {
  std::vector<std::string> names;
  if (offset < 0) return names;
  const auto tuple = objects.image().read_pointer(offset_by(code, offset));
  const auto items =
      tuple ? objects.read_tuple(*tuple) : Read<std::vector<Addr>>(std::vector<Addr>{});
  if (!items) return names;
  for (const Addr item : *items) names.push_back(objects.read_str(item).value_or("?"));
  return names;
}

std::vector<std::string> read_names(const Objects& objects, Addr code) {
  return read_name_tuple(objects, code, objects.layout().code_names);
}

std::vector<std::string> read_local_names(const Objects& objects, Addr code) {
  std::vector<std::string> names = read_name_tuple(objects, code, objects.layout().code_varnames);
  for (const std::int32_t more : {objects.layout().code_cellvars, objects.layout().code_freevars}) {
    const auto added = read_name_tuple(objects, code, more);
    names.insert(names.end(), added.begin(), added.end());
  }
  return names;
}

void Codes::qualify(Addr at, std::string name) {
  const auto entry = known_.find(at.value);
  if (entry == known_.end() || !entry->second) return;
  entry->second->name = std::move(name);
  entry->second->qualified = true;
}

const Code* Codes::find(Addr at) {
  const auto [entry, fresh] = known_.try_emplace(at.value);
  if (fresh) {
    auto code = read_code(objects_, at);
    if (code) entry->second = std::make_unique<Code>(std::move(*code));
  }
  return entry->second.get();
}

}  // namespace coldcase::cpython
