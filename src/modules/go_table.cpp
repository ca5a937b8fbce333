#include "modules/go_table.hpp"

namespace coldcase {
namespace {

// struct pcHeader: magic u32, two zeros, the least size of an instruction, the size of a pointer,
// then words: functions, files, text (0 from 1.26 on), and where names, units, files, steps and the
// function table begin.
constexpr std::uint32_t magic_118 = 0xfffffff0, magic_120 = 0xfffffff1;
constexpr std::uint64_t pointer_size_at = 7, count_at = 8, text_at_offset = 24, names_at = 32,
                        steps_at = 56, functions_at = 64, header_size = 72;

// A row of the function table: offset of the entry from the text, offset of the record from the
// table's own begin. One more row ends it.
constexpr std::uint64_t row_size = 8;
constexpr std::uint64_t most_functions = 4'000'000;

// struct _func: the name's offset and that of its stack depths stand where they stood in 1.18; 1.20
// put a line number before the flags.
constexpr std::uint64_t name_at = 4, depths_at = 16, flag_at_118 = 37, flag_at_120 = 41;
constexpr unsigned flag_top_frame = 1, flag_writes_sp = 2;

constexpr std::uint64_t most_depth = std::uint64_t{256} << 20;
constexpr std::size_t most_steps = 100'000;  // of one function
constexpr std::size_t longest_name = 1024;

// A number of seven bits a byte; nothing at the end of the bytes.
std::optional<std::uint32_t> take_number(Bytes bytes, std::uint64_t& at) {
  std::uint32_t value = 0;
  for (unsigned shift = 0; shift < 35; shift += 7) {
    const auto byte = parse_at<std::uint8_t>(bytes, at);
    if (!byte) return std::nullopt;
    ++at;
    value |= static_cast<std::uint32_t>(*byte & 0x7f) << shift;
    if ((*byte & 0x80) == 0) return value;
  }
  return std::nullopt;
}

}  // namespace

std::optional<GoTable> GoTable::parse(Bytes bytes, std::uint64_t text) {
  const auto magic = parse_at<std::uint32_t>(bytes, 0);
  if (!magic || (*magic != magic_118 && *magic != magic_120) || bytes.size() < header_size)
    return std::nullopt;
  const auto word = [&](std::uint64_t at) { return *parse_at<std::uint64_t>(bytes, at); };
  GoTable table;
  table.table_ = bytes;
  table.count_ = word(count_at);
  table.says_text_ = word(text_at_offset) != 0;
  table.text_ = table.says_text_ ? word(text_at_offset) : text;
  table.names_ = word(names_at);
  table.steps_ = word(steps_at);
  table.functions_ = word(functions_at);
  table.flag_at_ = *magic == magic_118 ? flag_at_118 : flag_at_120;
  const bool sane = *parse_at<std::uint8_t>(bytes, pointer_size_at) == 8 && table.count_ > 0 &&
                    table.count_ <= most_functions && table.text_ != 0 &&
                    table.names_ < bytes.size() && table.steps_ < bytes.size() &&
                    table.functions_ < bytes.size() &&
                    bytes.size() - table.functions_ >= (table.count_ + 1) * row_size;
  return sane ? std::optional(table) : std::nullopt;
}

std::optional<std::uint32_t> GoTable::find_row(std::uint64_t offset) const {
  const auto entry_of = [&](std::uint64_t row) {
    return std::uint64_t{*parse_at<std::uint32_t>(table_, functions_ + row * row_size)};
  };
  if (offset < entry_of(0) || offset >= entry_of(count_)) return std::nullopt;
  std::uint64_t low = 0;
  std::uint64_t high = count_;
  while (high - low > 1) {
    const std::uint64_t middle = low + (high - low) / 2;
    (entry_of(middle) <= offset ? low : high) = middle;
  }
  // A table out of order leads anywhere.
  return entry_of(low) <= offset ? std::optional(static_cast<std::uint32_t>(low)) : std::nullopt;
}

// Pairs of numbers from -1 and the entry on: how the depth changes (its sign in the lowest bit),
// and for how many bytes of code it then stands. A change of 0 ends them, but not as the first.
std::optional<std::uint64_t> GoTable::depth_at(std::uint32_t first, std::uint64_t entry,
                                               std::uint64_t address) const {
  std::uint64_t at = steps_ + first;
  std::uint64_t pc = entry;
  std::int64_t depth = -1;
  for (std::size_t i = 0; i < most_steps; ++i) {
    const auto change = take_number(table_, at);
    if (!change || (*change == 0 && i > 0)) return std::nullopt;
    const auto length = take_number(table_, at);
    if (!length) return std::nullopt;
    const std::int64_t size = *change >> 1;
    depth += (*change & 1) != 0 ? -size - 1 : size;
    pc += *length;
    if (address >= pc) continue;
    const bool sane = depth >= 0 && depth % 8 == 0 && depth < static_cast<std::int64_t>(most_depth);
    return sane ? std::optional(static_cast<std::uint64_t>(depth)) : std::nullopt;
  }
  return std::nullopt;
}

std::optional<GoFunction> GoTable::find(std::uint64_t address) const {
  const auto row = address >= text_ ? find_row(address - text_) : std::nullopt;
  if (!row) return std::nullopt;
  const std::uint64_t row_at = functions_ + *row * row_size;
  const std::uint64_t record =
      functions_ + *parse_at<std::uint32_t>(table_, row_at + sizeof(std::uint32_t));
  const auto entry = parse_at<std::uint32_t>(table_, record);
  const auto name = parse_at<std::uint32_t>(table_, record + name_at);
  const auto depths = parse_at<std::uint32_t>(table_, record + depths_at);
  const auto flags = parse_at<std::uint8_t>(table_, record + flag_at_);
  // The record says its own entry: the two have to agree.
  if (!entry || !name || !depths || !flags || *entry != *parse_at<std::uint32_t>(table_, row_at))
    return std::nullopt;
  GoFunction function;
  function.entry = text_ + *entry;
  function.name = text_at(slice(table_, names_ + *name, longest_name), 0);
  const auto depth = *depths == 0 ? std::nullopt : depth_at(*depths, function.entry, address);
  if (!depth) return std::nullopt;
  function.depth = *depth;
  function.outermost = (*flags & flag_top_frame) != 0 || function.name == "runtime.mcall";
  // runtime.cgocallback keeps a frame of its own on both stacks, and the runtime walks through it.
  function.switches_stack = (*flags & flag_writes_sp) != 0 && !function.outermost &&
                            !function.name.starts_with("runtime.cgocallback");
  return function;
}

}  // namespace coldcase
