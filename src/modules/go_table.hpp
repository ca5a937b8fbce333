// Go's own unwind table (.gopclntab): every Go program carries it, stripped or not, and has no
// other in memory. For each pc it tells how far the return address lies above the stack pointer,
// and which functions end a stack. The runtime walks stacks by it (runtime/symtab.go,
// traceback.go).
#pragma once

#include <optional>
#include <string_view>

#include "bytes/view.hpp"

namespace coldcase {

struct GoFunction {
  std::uint64_t entry = 0;  // address of the file
  std::string_view name;    // "runtime.futexsleep"; of the table's bytes
  std::uint64_t depth = 0;  // bytes between the stack pointer and the return address
  // Nothing lies further out: the first function of a goroutine or of a thread of the runtime, or
  // runtime.mcall, which has left the goroutine it came from for good.
  bool outermost = false;
  // It moves to another stack by itself: what lies further out is not on this one.
  bool switches_stack = false;
};

class GoTable {
 public:
  // Of Go 1.18 and later (magic 0xfffffff0, and 0xfffffff1 from 1.20 on). `text` is where the
  // functions begin, for tables that do not say so (1.26 and later).
  static std::optional<GoTable> parse(Bytes table, std::uint64_t text);

  std::uint64_t text() const { return text_; }
  bool says_text() const { return says_text_; }
  std::optional<GoFunction> find(std::uint64_t address) const;

 private:
  std::optional<std::uint64_t> depth_at(std::uint32_t row, std::uint64_t entry,
                                        std::uint64_t address) const;
  std::optional<std::uint32_t> find_row(std::uint64_t offset) const;

  Bytes table_;
  std::uint64_t count_ = 0, text_ = 0;
  std::uint64_t names_ = 0, steps_ = 0, functions_ = 0;  // offsets of the parts
  std::uint64_t flag_at_ = 0;                            // of a function's record
  bool says_text_ = false;
};

}  // namespace coldcase
