#include "lens/cpython/bytecode.hpp"

#include <algorithm>
#include <array>

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_code = 1 << 20;
constexpr std::size_t most_arguments = 64;     // instructions between a method and its call
constexpr std::size_t most_covered = 1 << 20;  // instructions that handlers cover; they may repeat

using Numbers = std::array<OpcodeRow, 256>;

Numbers numbers_of(std::span<const OpcodeRow> rows) {
  Numbers numbers{};
  for (const OpcodeRow& row : rows) numbers[row.number] = row;
  return numbers;
}

// To 3.9 arguments of jumps count bytes, from 3.10 on code units.
std::int32_t target_of(const Instruction& instruction, Way way, int minor) {
  const std::int64_t distance = std::int64_t{instruction.arg} * (minor >= 10 ? 2 : 1);
  std::int64_t target = -1;
  if (way == Way::absolute) target = distance;
  if (way == Way::forward) target = instruction.next + distance;
  if (way == Way::back) target = instruction.next - distance;
  return target >= 0 && target < static_cast<std::int64_t>(most_code)
             ? static_cast<std::int32_t>(target)
             : -1;
}

// Some versions keep flags in the low bits of a name's index: 3.11 of a global (push NULL as well),
// 3.12 of an attribute (bind a method: LOAD_METHOD is gone), and two of super().
void drop_flags(Instruction& instruction, int minor) {
  if (instruction.op == Op::load_global && minor >= 11) instruction.arg >>= 1;
  if (instruction.op == Op::load_attr && minor >= 12) {
    if ((instruction.arg & 1) != 0) instruction.op = Op::load_method;
    instruction.arg >>= 1;
  }
  if (instruction.op == Op::load_super_attr) instruction.arg >>= 2;
}

// What an instruction loads last, when that is a name.
std::optional<Receiver> root_of(const Instruction& instruction) {
  switch (instruction.op) {
    case Op::load_fast:
    case Op::load_deref:
    case Op::load_global:
    case Op::load_name:
      return Receiver{instruction.op, instruction.arg, {}};
    case Op::load_fast_pair:  // 3.13: four bits each
    case Op::store_load_fast:
      return Receiver{Op::load_fast, instruction.arg & 15, {}};
    default:
      return std::nullopt;
  }
}

// The result of a global's call without arguments: super(), to 3.11. A PRECALL may lie between.
std::optional<Receiver> result_root(const std::vector<Instruction>& code, std::size_t at) {
  if (code[at].op != Op::call || code[at].arg != 0) return std::nullopt;
  for (std::size_t i = at; i-- > 0 && at - i <= 2;) {
    if (code[i].op == Op::load_global) return Receiver{Op::call, code[i].arg, {}};
    if (code[i].op != Op::other) break;
  }
  return std::nullopt;
}

Receiver receiver_before(const std::vector<Instruction>& code, std::size_t method) {
  std::vector<std::uint32_t> attributes;
  for (std::size_t i = method; i-- > 0 && attributes.size() < 8;) {
    if (code[i].op == Op::load_attr) {
      attributes.push_back(code[i].arg);
      continue;
    }
    auto receiver = root_of(code[i]);
    if (!receiver) receiver = result_root(code, i);
    if (!receiver) break;
    std::ranges::reverse(attributes);
    receiver->attributes = std::move(attributes);
    return *receiver;
  }
  return {};
}

// How many values an instruction leaves, of those that arguments are made with.
int pushes(Op op) {
  switch (op) {
    case Op::load_fast:
    case Op::load_deref:
    case Op::load_global:
    case Op::load_name:
    case Op::load_const:
    case Op::copy:
      return 1;
    case Op::load_fast_pair:
      return 2;
    case Op::binary:
      return -1;
    default:
      return 0;
  }
}

bool ends_statement(Op op) {
  switch (op) {
    case Op::pop_top:
    case Op::store_fast:
    case Op::store_fast_pair:
    case Op::store_load_fast:
    case Op::store_deref:
    case Op::store_global:
    case Op::store_name:
    case Op::store_attr:
    case Op::before_with:
    case Op::setup_with:
    case Op::setup_finally:
    case Op::setup_loop:
    case Op::pop_block:
    case Op::give_back:
    case Op::raise:
      return true;
    default:
      return false;
  }
}

// The call of the method that was loaded: the first that takes just what was pushed since. A plain
// attribute may as well be an argument of a call further out, or have an attribute looked up.
void find_its_call(const std::vector<Instruction>& code, std::size_t method, Call& call) {
  const bool attribute = code[method].op == Op::load_attr;
  std::int64_t pushed = 0;
  bool named = false;
  const std::size_t end = std::min(code.size(), method + most_arguments);
  for (std::size_t i = method + 1; i < end && !ends_statement(code[i].op); ++i) {
    const std::int64_t wanted = code[i].arg;
    const bool plain = code[i].op == Op::call, keywords = code[i].op == Op::call_keywords;
    named = named || code[i].op == Op::keyword_names;
    if (code[i].op == Op::call_unpacked && pushed <= 2) {
      call.at = static_cast<std::uint32_t>(i);
      call.arguments = 1;
      call.named_arguments = true;
      return;
    }
    if (code[i].target >= 0) return;
    if (plain || keywords) {
      const std::int64_t taken = wanted + (keywords ? 1 : 0);
      if (attribute && taken > pushed) return;
      if (taken >= pushed) {
        call.at = static_cast<std::uint32_t>(i);
        call.arguments = code[i].arg;
        call.named_arguments = named || keywords;
        return;
      }
      pushed -= taken;  // of an argument
      named = false;
    }
    pushed += pushes(code[i].op);
  }
}

std::vector<Call> find_calls(const std::vector<Instruction>& code) {
  std::vector<Call> calls;
  for (std::size_t i = 0; i < code.size(); ++i) {
    const bool super = code[i].op == Op::load_super_attr;
    if (code[i].op != Op::load_method && code[i].op != Op::load_attr && !super) continue;
    const bool attribute = i + 1 < code.size() &&
                           (code[i + 1].op == Op::load_attr || code[i + 1].op == Op::load_method);
    if (attribute) continue;  // its value has one looked up
    Call call;
    call.method = code[i].arg;
    find_its_call(code, i, call);
    if (call.at == 0) continue;  // no call
    call.on = super ? Receiver{Op::load_super_attr, 0, {}} : receiver_before(code, i);
    calls.push_back(std::move(call));
  }
  return calls;
}

// co_exceptiontable: start, length, target, depth and flag in code units, six bits a byte, the most
// significant first; bit 6: more, bit 7: an entry begins.
struct HandlerRange {
  std::int64_t start = 0, end = 0, target = 0;
};

std::vector<HandlerRange> parse_handlers(Bytes table) {
  std::vector<HandlerRange> ranges;
  std::size_t at = 0;
  const auto next = [&] {
    std::int64_t value = 0;
    for (int i = 0; i < 6 && at < table.size(); ++i) {
      const auto byte = std::to_integer<std::int64_t>(table[at++]);
      value = (value << 6) | (byte & 63);
      if ((byte & 64) == 0) break;
    }
    return value;
  };
  while (at < table.size()) {
    HandlerRange range;
    range.start = next() * 2;
    range.end = range.start + next() * 2;
    range.target = next() * 2;
    next();
    ranges.push_back(range);
  }
  return ranges;
}

void add_handlers(Routine& routine, Bytes table) {
  routine.handlers.assign(routine.instructions.size(), -1);
  std::size_t covered = 0;
  for (const HandlerRange& range : parse_handlers(table)) {
    const auto first = routine.find(range.start);
    const auto target = routine.find(range.target);
    if (!first || !target) continue;
    for (std::size_t i = *first; i < routine.instructions.size() && covered < most_covered &&
                                 routine.instructions[i].begin < range.end;
         ++i, ++covered)
      routine.handlers[i] = static_cast<std::int32_t>(*target);
  }
}

}  // namespace

std::vector<Instruction> decode(Bytes code, int minor) {
  std::vector<Instruction> instructions;
  const auto rows = opcode_rows(minor);
  if (rows.empty() || code.size() > most_code) return instructions;
  const Numbers numbers = numbers_of(rows);
  std::uint32_t extended = 0;
  std::int32_t begin = 0;
  for (std::size_t at = 0; at + 1 < code.size();) {
    const OpcodeRow& row = numbers[std::to_integer<std::uint8_t>(code[at])];
    const std::uint32_t arg = extended << 8 | std::to_integer<std::uint32_t>(code[at + 1]);
    if (row.op == Op::extended_arg) {
      extended = arg;
      at += 2;
      continue;
    }
    Instruction one;
    one.begin = begin;
    one.offset = static_cast<std::int32_t>(at);
    at += 2 + std::size_t{row.caches} * 2;
    one.next = begin = static_cast<std::int32_t>(at);
    one.op = row.op;
    one.arg = arg;
    one.target = target_of(one, row.way, minor);
    drop_flags(one, minor);
    instructions.push_back(one);
    extended = 0;
  }
  return instructions;
}

std::optional<std::size_t> Routine::find(std::int64_t offset) const {
  const auto after = std::ranges::upper_bound(instructions, offset, {}, &Instruction::begin);
  if (after == instructions.begin() || offset < 0) return std::nullopt;
  const auto at = after - 1;
  if (offset >= at->next) return std::nullopt;
  return static_cast<std::size_t>(at - instructions.begin());
}

std::optional<std::size_t> Routine::find_before(std::int64_t offset) const {
  const auto after = std::ranges::lower_bound(instructions, offset, {}, &Instruction::begin);
  if (after == instructions.begin()) return std::nullopt;
  return static_cast<std::size_t>(after - instructions.begin()) - 1;
}

Routine parse_routine(Bytes code, Bytes exception_table, int minor) {
  Routine routine;
  routine.minor = minor;
  routine.instructions = decode(code, minor);
  routine.calls = find_calls(routine.instructions);
  if (minor >= 11) add_handlers(routine, exception_table);
  return routine;
}

std::optional<std::size_t> find_with_entry(const Routine& routine, std::int64_t handler) {
  const auto& code = routine.instructions;
  const auto target = routine.find(handler);
  if (!target) return std::nullopt;
  for (std::size_t i = 0; i < code.size(); ++i) {
    if (routine.minor < 11) {
      if (code[i].op == Op::setup_with && code[i].target == handler) return i;
    } else if (routine.handlers[i] == static_cast<std::int32_t>(*target)) {
      // The first instruction covered stands right behind the one that entered.
      return i > 0 ? std::optional(i - 1) : std::nullopt;
    }
  }
  return std::nullopt;
}

}  // namespace coldcase::cpython
