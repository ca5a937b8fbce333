// The bounded evaluator for the DWARF expressions of call frame information: the PLT's CFA and the
// registers of a signal trampoline need it. 64 stack slots, 256 operations, no calls, no loops
// back.
#pragma once

#include <optional>

#include "threads/context.hpp"

namespace coldcase {

// `initial` is pushed first (the CFA, for register rules). Nothing when the expression is
// ill-formed, uses an operation CFI may not, or reads memory that is absent.
std::optional<std::uint64_t> evaluate(std::span<const Operation> operations, const Context& context,
                                      const MemoryImage& image,
                                      std::optional<std::uint64_t> initial);

}  // namespace coldcase
