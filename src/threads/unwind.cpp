#include "threads/unwind.hpp"

#include "threads/expression.hpp"

namespace coldcase {
namespace {

using Kind = RegisterRule::Kind;

constexpr std::uint64_t most_frame_size = std::uint64_t{8} << 20;
constexpr std::uint64_t most_stack = std::uint64_t{64} << 20;
constexpr std::size_t scan_words = 512;  // how far up the stack a return address is looked for

struct Recovered {
  std::optional<std::uint64_t> value;
  std::optional<Fault> fault;
};

Recovered read_word(const MemoryImage& image, std::uint64_t at) {
  const auto word = image.read<std::uint64_t>(Addr{at});
  if (!word) return {std::nullopt, word.error()};
  return {*word, std::nullopt};
}

Recovered recover(const RegisterRule& rule, std::size_t number, std::uint64_t cfa,
                  const Context& context, const MemoryImage& image, const Rules& rules) {
  switch (rule.kind) {
    case Kind::unknown:
      return {};
    case Kind::same:
      return {context.get(number), std::nullopt};
    case Kind::saved_at:
      return read_word(image, cfa + static_cast<std::uint64_t>(std::int64_t{rule.offset}));
    case Kind::value_is:
      return {cfa + static_cast<std::uint64_t>(std::int64_t{rule.offset}), std::nullopt};
    case Kind::in_register:
      return {context.get(static_cast<std::size_t>(rule.offset)), std::nullopt};
    case Kind::value_expression:
      return {evaluate(rules.operations(rule), context, image, cfa), std::nullopt};
    case Kind::saved_at_expression: {
      const auto at = evaluate(rules.operations(rule), context, image, cfa);
      if (!at) return {};
      return read_word(image, *at);
    }
  }
  return {};
}

}  // namespace

Context context_of(const Registers& registers) {
  using R = Registers;
  static constexpr std::array<R::Index, register_count> order{
      R::rax, R::rdx, R::rcx, R::rbx, R::rsi, R::rdi, R::rbp, R::rsp, R::r8,
      R::r9,  R::r10, R::r11, R::r12, R::r13, R::r14, R::r15, R::rip};
  Context context;
  for (std::size_t i = 0; i < order.size(); ++i) context.set(i, registers[order[i]]);
  return context;
}

std::optional<Stop> Unwinder::step_by_cfi(Context& context, const Row& row, WalkFrame& frame,
                                          std::uint64_t last_cfa) {
  std::optional<std::uint64_t> cfa;
  if (row.cfa_register >= 0) {
    cfa = context.get(static_cast<std::size_t>(row.cfa_register));
    if (cfa) *cfa += static_cast<std::uint64_t>(std::int64_t{row.cfa_offset});
  } else {
    cfa = evaluate(rules_.operations(row.cfa_expression), context, image_, std::nullopt);
  }
  if (!cfa) return Stop{StopCode::unreadable, std::nullopt, context.pc()};
  frame.cfa = *cfa;
  if (row.outermost) return Stop{StopCode::outermost, std::nullopt, context.pc()};
  // Stacks grow down: a caller's frame lies above. A signal may have switched stacks.
  if (!row.signal_frame && *cfa <= last_cfa)
    return Stop{StopCode::did_not_advance, std::nullopt, context.pc()};
  Context caller;
  for (std::size_t number = 0; number < register_count; ++number) {
    const Recovered word = recover(row.registers[number], number, *cfa, context, image_, rules_);
    if (word.value) caller.set(number, *word.value);
    if (number == dw_ra && !word.value) return Stop{StopCode::unreadable, word.fault, context.pc()};
  }
  if (row.registers[dw_rsp].kind == Kind::unknown || row.registers[dw_rsp].kind == Kind::same) {
    caller.set(dw_rsp, *cfa);
  }
  context = caller;
  return std::nullopt;
}

// Whether the instruction before is a call: e8 rel32, or ff /2 in its encodings of 2 to 7 bytes.
static bool ends_with_call(Bytes before) {
  if (before.size() < 7) return false;
  if (before[2] == std::byte{0xe8}) return true;
  for (const std::size_t length : {2u, 3u, 4u, 6u, 7u}) {
    const std::size_t at = 7 - length;
    if (before[at] != std::byte{0xff}) continue;
    const auto modrm = std::to_integer<unsigned>(before[at + 1]);
    if ((modrm >> 3 & 7) == 2) return true;
  }
  return false;
}

bool Unwinder::plausible_return(Addr pc) {
  if (pc.value < 4096) return false;
  const Row& row = rules_.row(rules_.row_of(pc, false));
  if (!row.in_code || row.module == nullptr || !row.module->file) return false;
  return ends_with_call(row.module->file->at_address(row.module->to_file(pc) - 7, 7));
}

// Code that was made at run time lies in no file. Frame pointers that lead through it are believed
// when they lead on, to three of its frames or out of it. What its return addresses follow need not
// be a call: HotSpot's interpreter returns to entries of a table.
bool Unwinder::returns_into_made_code(Addr pc, std::uint64_t frame_pointer) {
  constexpr int links = 3;
  for (int link = 0; link < links; ++link) {
    if (pc.value < 4096) return false;
    if (plausible_return(pc) || begins_something(pc)) return link > 0;
    const bool in_stack =
        pc.value + (most_frame_size >> 3) > frame_pointer && pc.value < frame_pointer + most_stack;
    if (in_stack || rules_.row(rules_.row_of(pc, false)).module != nullptr ||
        image_.view(Addr{pc.value - 1}, 1).empty())
      return false;
    const auto saved = image_.read<std::uint64_t>(Addr{frame_pointer});
    const auto back = image_.read<std::uint64_t>(Addr{frame_pointer + 8});
    if (!saved || !back || *saved <= frame_pointer || *saved - frame_pointer > most_frame_size)
      return false;
    frame_pointer = *saved;
    pc = Addr{*back};
  }
  return true;
}

// A guess has to lead on: by its own rules to another return address, or to where a thread begins.
bool Unwinder::leads_on(const Context& guess) {
  const Row row = rules_.row(rules_.row_of(guess.pc(), false));
  if (!row.has_cfi) return false;
  if (row.outermost) return true;
  Context context = guess;
  WalkFrame frame;
  if (step_by_cfi(context, row, frame, guess.sp().value - 1)) return false;
  const Addr back = context.pc();
  return plausible_return(back) || begins_something(back);
}

// What is returned to without having called: a signal's trampoline, a context's beginning.
bool Unwinder::begins_something(Addr pc) {
  if (pc.value < 4096) return false;
  const Row& row = rules_.row(rules_.row_of(pc, false));
  return row.in_code && row.has_cfi &&
         (row.signal_frame || (row.outermost && row.lookup == row.pc));
}

bool Unwinder::step_by_frame_pointer(Context& context, Trust& trust) {
  const auto frame_pointer = context.get(dw_rbp);
  if (!frame_pointer || *frame_pointer < context.sp().value || *frame_pointer % 8 != 0 ||
      *frame_pointer - context.sp().value > most_frame_size) {
    return false;
  }
  const auto saved = image_.read<std::uint64_t>(Addr{*frame_pointer});
  const auto back = image_.read<std::uint64_t>(Addr{*frame_pointer + 8});
  if (!saved || !back) return false;
  // The interrupted code may have been on another stack, and a new context has no frame pointer.
  const bool called = *saved > *frame_pointer && (plausible_return(Addr{*back}) ||
                                                  returns_into_made_code(Addr{*back}, *saved));
  if (!called && !begins_something(Addr{*back})) return false;
  Context caller;
  caller.set(dw_rsp, *frame_pointer + 16);
  caller.set(dw_rbp, *saved);
  caller.set(dw_ra, *back);
  context = caller;
  trust = Trust::frame_pointer;
  return true;
}

// Go's runtime.asmcgocall and systemstack leave the frame pointer as their caller had it, on a
// stack of its own. What lies further out on this one was left there by others: it is not looked
// through.
bool Unwinder::step_to_other_stack(Context& context) {
  const auto frame_pointer = context.get(dw_rbp);
  if (!frame_pointer || *frame_pointer % 8 != 0) return false;
  const auto saved = image_.read<std::uint64_t>(Addr{*frame_pointer});
  const auto back = image_.read<std::uint64_t>(Addr{*frame_pointer + 8});
  if (!saved || !back || !plausible_return(Addr{*back})) return false;
  if (!rules_.row(rules_.row_of(Addr{*back}, false)).has_cfi) return false;
  Context caller;
  caller.set(dw_rsp, *frame_pointer + 16);
  caller.set(dw_rbp, *saved);
  caller.set(dw_ra, *back);
  context = caller;
  return true;
}

bool Unwinder::step_by_scan(Context& context, Trust& trust) {
  const std::uint64_t from = (context.sp().value + 7) & ~std::uint64_t{7};
  for (std::size_t i = 0; i < scan_words; ++i) {
    const std::uint64_t at = from + i * 8;
    const auto word = image_.read<std::uint64_t>(Addr{at});
    if (!word) return false;
    if (!plausible_return(Addr{*word})) continue;
    Context caller;
    if (const auto kept = context.get(dw_rbp)) caller.set(dw_rbp, *kept);
    caller.set(dw_rsp, at + 8);
    caller.set(dw_ra, *word);
    if (!leads_on(caller)) continue;
    context = caller;
    trust = Trust::scan;
    return true;
  }
  return false;
}

// From `frame` (its row and trust set) to its caller. Sets the frame's CFA.
std::optional<Stop> Unwinder::step(Context& context, WalkFrame& frame, bool& exact,
                                   std::uint64_t& last_cfa) {
  // By value: looking up other rows may move the table.
  const Row row = rules_.row(frame.row);
  const Addr pc = context.pc();
  if (row.has_cfi) {
    const auto stop = step_by_cfi(context, row, frame, last_cfa);
    if (stop) return stop;
    exact = row.signal_frame;
    last_cfa = row.signal_frame ? 0 : frame.cfa;
    if (context.pc().value == 0) return Stop{StopCode::outermost, std::nullopt, pc};
    return std::nullopt;
  }
  exact = false;
  if (row.switches_stack) {
    if (!step_to_other_stack(context)) return Stop{StopCode::no_unwind_info, std::nullopt, pc};
    frame.cfa = context.sp().value;
    last_cfa = 0;
    next_trust_ = Trust::frame_pointer;
    return std::nullopt;
  }
  Trust next = Trust::scan;
  // A call through a null or wild pointer: the return address is the top of the stack.
  if (!row.in_code && frame.trust == Trust::context) {
    const auto top = image_.read<std::uint64_t>(context.sp());
    if (top && plausible_return(Addr{*top})) {
      context.set(dw_rsp, context.sp().value + 8);
      context.set(dw_ra, *top);
      return std::nullopt;
    }
  }
  const bool code_of_no_file = row.module != nullptr && !row.module->file;
  if (step_by_frame_pointer(context, next) || step_by_scan(context, next)) {
    frame.cfa = context.sp().value;
    last_cfa = context.sp().value;
    next_trust_ = next;
    return std::nullopt;
  }
  if (code_of_no_file) {
    const Absence why = row.module->found == Found::mismatch ? Absence::file_mismatch
                        : row.module->unverifiable           ? Absence::file_unproved
                                                             : Absence::file_missing;
    return Stop{StopCode::no_unwind_info, Fault{pc, why}, pc};
  }
  return Stop{StopCode::no_unwind_info, std::nullopt, pc};
}

Stop Unwinder::walk(const Registers& registers, const Visit& visit, std::size_t limit) {
  Context context = context_of(registers);
  bool exact = true;
  std::uint64_t last_cfa = 0;
  Trust trust = Trust::context;
  for (std::size_t depth = 0; depth < limit; ++depth) {
    WalkFrame frame{rules_.row_of(context.pc(), exact), trust, 0};
    const Context here = context;
    next_trust_ = Trust::cfi;
    const auto stop = step(context, frame, exact, last_cfa);
    if (!visit(frame, here)) return Stop{StopCode::limit, std::nullopt, here.pc()};
    if (stop) return *stop;
    trust = next_trust_;
  }
  return Stop{StopCode::limit, std::nullopt, context.pc()};
}

Walk Unwinder::unwind(const Registers& registers) {
  Walk walked;
  walked.stop = walk(registers, [&](const WalkFrame& frame, const Context&) {
    walked.frames.push_back(frame);
    return true;
  });
  return walked;
}

}  // namespace coldcase
