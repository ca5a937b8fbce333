// The instructions of a code object as the compiler wrote them. From 3.11 on the interpreter
// replaces opcodes in place by faster ones for the types it meets; from 3.12 on it also replaces
// those that a tracer (sys.settrace, coverage, debuggers, sys.monitoring) wants to hear of, for
// every thread, and keeps the originals in _co_monitoring. No rule may look at the bytes
// themselves.
#pragma once

#include <span>

#include "lens/cpython/code.hpp"

namespace coldcase::cpython {

// The opcode at a byte offset of the code, as compiled; nothing where it cannot be known.
std::optional<std::uint8_t> original_opcode(const Objects& objects, const Code& code,
                                            std::int64_t offset);

// Puts the kept opcodes back into `bytes`, the whole code, where a tracer's events stand. Bytes
// whose original is not to be had stay as they are.
void restore_traced(const Objects& objects, const Code& code, std::span<std::byte> bytes);

// What a specialised or instrumented opcode of this minor version stands for; any other is itself.
// Those whose original is kept elsewhere (the line and instruction events) are themselves too.
std::uint8_t base_opcode(int minor, std::uint8_t opcode);

}  // namespace coldcase::cpython
