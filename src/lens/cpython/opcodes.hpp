// The instructions of a code object as the compiler wrote them. From 3.11 on the interpreter
// replaces opcodes in place by faster ones for the types it meets; from 3.12 on it also replaces
// those that a tracer (sys.settrace, coverage, debuggers, sys.monitoring) wants to hear of, for
// every thread, and keeps the originals in _co_monitoring. No rule may look at the bytes
// themselves.
#pragma once

#include "lens/cpython/code.hpp"

namespace coldcase::cpython {

// The opcode at a byte offset of the code, as compiled; nothing where it cannot be known.
std::optional<std::uint8_t> original_opcode(const Objects& objects, const Code& code,
                                            std::int64_t offset);

// What a specialised or instrumented opcode of this minor version stands for; any other is itself.
// Those whose original is kept elsewhere (the line and instruction events) are themselves too.
std::uint8_t base_opcode(int minor, std::uint8_t opcode);

}  // namespace coldcase::cpython
