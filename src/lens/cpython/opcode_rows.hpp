// What an opcode of one CPython version is to the rules that read bytecode (bytecode.hpp): one row
// for each number, specialised and instrumented forms included, in tables that tools/python-opcodes
// makes from the interpreters.
#pragma once

#include <cstdint>
#include <span>

namespace coldcase::cpython {

enum class Op : std::uint8_t {
  other,
  extended_arg,
  load_fast,
  load_fast_pair,
  store_fast,  // also the deletion of a local
  store_fast_pair,
  store_load_fast,
  load_deref,
  store_deref,
  load_global,
  load_name,
  store_global,
  store_name,
  load_attr,
  load_method,
  load_super_attr,
  store_attr,
  load_const,
  call,
  call_keywords,
  call_unpacked,
  keyword_names,  // 3.11 and 3.12: the next call has arguments with names
  binary,         // takes two values, leaves one
  pop_top,
  unary_not,
  to_bool,
  copy,
  before_with,  // from 3.11; to 3.10 setup_with does both
  setup_with,
  setup_finally,
  setup_loop,  // to 3.7
  pop_block,
  break_loop,     // to 3.7
  call_finally,   // 3.8
  begin_finally,  // 3.8
  end_finally,    // to 3.8
  jump,
  jump_if_true,
  jump_if_false,
  jump_maybe,  // on something else than the truth of a value
  for_iter,
  give_back,  // return
  raise,
  with_except_start,
  push_exc_info,
};

// How the argument tells the target of a jump.
enum class Way : std::uint8_t { none, forward, back, absolute };

struct OpcodeRow {
  std::uint8_t number;
  Op op;
  Way way;
  std::uint8_t caches;  // inline cache units after it
};

// Empty for a version that no interpreter was asked about. A number without a row is Op::other and
// has no caches.
std::span<const OpcodeRow> opcode_rows(int minor);

}  // namespace coldcase::cpython
