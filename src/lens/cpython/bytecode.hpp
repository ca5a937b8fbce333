// Bytecode as instructions and calls. Pure functions of bytes, the same for every version that
// opcode_rows.hpp has a table of: specialised forms are told as what they came from.
#pragma once

#include <cstddef>
#include <optional>
#include <vector>

#include "bytes/view.hpp"
#include "lens/cpython/opcode_rows.hpp"

namespace coldcase::cpython {

struct Instruction {
  std::int32_t begin = 0;   // byte offset, of the EXTENDED_ARG in front when it has one
  std::int32_t offset = 0;  // of the opcode itself
  std::int32_t next = 0;    // behind its caches
  Op op = Op::other;
  // Of a name, local or cell, without the flags that some versions keep in the same number.
  std::uint32_t arg = 0;
  std::int32_t target = -1;  // byte offset a jump goes to, or a block's handler
};

// Ends at the first thing that cannot be; empty for a version without a table.
std::vector<Instruction> decode(Bytes code, int minor);

// The expression a method is called on: a name, then attributes of it.
struct Receiver {
  // load_fast, load_deref, load_global, load_name, load_super_attr; call: what a global called
  // without arguments gives; other: none of these.
  Op root = Op::other;
  std::uint32_t index = 0;
  std::vector<std::uint32_t> attributes;  // indices into co_names
  friend bool operator==(const Receiver&, const Receiver&) = default;
};

// `a.b.method(...)`.
struct Call {
  std::uint32_t at = 0;  // the instruction that calls
  Receiver on;
  std::uint32_t method = 0;  // index into co_names
  std::uint32_t arguments = 0;
  bool named_arguments = false;  // or unpacked ones
};

// A code object as rules read it.
struct Routine {
  int minor = 0;
  std::vector<Instruction> instructions;
  std::vector<std::int32_t> handlers;  // by instruction, from 3.11: the handler's first, or -1
  std::vector<Call> calls;             // by place

  // The instruction that has this byte in it, caches included; nothing outside the code.
  std::optional<std::size_t> find(std::int64_t offset) const;
  // The one before it.
  std::optional<std::size_t> find_before(std::int64_t offset) const;
};

Routine parse_routine(Bytes code, Bytes exception_table, int minor);

// The instruction that enters the with block of this handler (a byte offset).
std::optional<std::size_t> find_with_entry(const Routine& routine, std::int64_t handler);

}  // namespace coldcase::cpython
