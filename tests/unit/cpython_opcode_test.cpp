// Specialised and instrumented opcodes go back to what the compiler wrote, whatever the monitoring
// data looks like.
#include "lens/cpython/opcodes.hpp"

#include "support/catch.hpp"
#include "support/core_builder.hpp"

namespace coldcase::cpython {
namespace {

using namespace test;

// A code object's instructions at 0, its monitoring data at 0x1000, what that points to at 0x2000
// and 0x3000.
struct Traced {
  explicit Traced(int minor) : layout(*find_layout(minor)), bytes(0x4000) {
    code.instructions = Addr{base};
    code.monitoring = Addr{base + 0x1000};
    patch(bytes, 0x1000 + static_cast<std::uint64_t>(layout.monitoring_lines), base + 0x2000);
    patch(bytes, 0x1000 + static_cast<std::uint64_t>(layout.monitoring_instructions),
          base + 0x3000);
  }
  static constexpr std::uint64_t base = 0x7f0000000000;
  void put(std::uint64_t at, int byte) { patch(bytes, at, static_cast<std::uint8_t>(byte)); }
  std::optional<std::uint8_t> at(std::int64_t offset) const {
    const MemoryImage image{
        {{{Addr{base}, Addr{base + bytes.size()}}, bytes, Source::core, Absence::not_saved}}};
    return original_opcode(Objects(image, layout), code, offset);
  }
  const Layout& layout;
  Blob bytes;
  Code code;
};

// INSTRUMENTED_LINE, INSTRUMENTED_INSTRUCTION, PUSH_EXC_INFO, CALL, INSTRUMENTED_CALL, and a form
// of CALL for some type.
struct Numbers {
  int minor, line, instruction, push_exc_info, call, instrumented_call, special_call;
};
Numbers any_numbers() {
  return GENERATE(Numbers{12, 254, 253, 35, 171, 241, 38}, Numbers{13, 254, 247, 33, 53, 244, 170},
                  Numbers{14, 254, 238, 32, 52, 250, 150}, Numbers{15, 253, 237, 30, 50, 249, 160});
}

TEST_CASE("opcodes for one type, or for a tracer, stand for a plain one", "[cpython]") {
  const Numbers numbers = any_numbers();
  const auto base = [&](int opcode) {
    return base_opcode(numbers.minor, static_cast<std::uint8_t>(opcode));
  };
  CHECK(base(numbers.call) == numbers.call);
  CHECK(base(numbers.instrumented_call) == numbers.call);
  CHECK(base(numbers.special_call) == numbers.call);
  CHECK(base(numbers.push_exc_info) == numbers.push_exc_info);
  CHECK(base(numbers.line) == numbers.line);
  CHECK(base(numbers.instruction) == numbers.instruction);
  for (int opcode = 0; opcode < 256; ++opcode) CHECK(base(base(opcode)) == base(opcode));
}

TEST_CASE("to 3.10 opcodes are what they are", "[cpython]") {
  for (int opcode = 0; opcode < 256; ++opcode)
    CHECK(base_opcode(GENERATE(6, 10), static_cast<std::uint8_t>(opcode)) == opcode);
  CHECK(base_opcode(11, 38) == 140);  // JUMP_BACKWARD_QUICK
}

TEST_CASE("an instruction no tracer touched", "[cpython]") {
  const Numbers numbers = any_numbers();
  Traced traced(numbers.minor);
  traced.put(6, numbers.special_call);
  traced.put(8, numbers.push_exc_info);
  traced.code.monitoring = Addr{};
  CHECK(traced.at(6) == numbers.call);
  CHECK(traced.at(8) == numbers.push_exc_info);
  CHECK_FALSE(traced.at(7));
  CHECK_FALSE(traced.at(-2));
  CHECK_FALSE(traced.at(0x4000));
  CHECK_FALSE(traced.at(INT64_MAX - 1));
}

// The two shapes of `lines`: pairs (opcode, line increment), and entries of a length that stands in
// front.
TEST_CASE("an instruction that begins a traced line", "[cpython]") {
  const Numbers numbers = any_numbers();
  const int length = GENERATE(0, 2, 3, 4, 5);
  Traced traced(numbers.minor);
  traced.put(0x2000, length);
  const auto put_line = [&](std::uint64_t unit, int opcode) {
    traced.put(unit * 2, numbers.line);
    const auto size = static_cast<std::uint64_t>(length);
    traced.put(0x2000 + (length == 0 ? unit * 2 : 1 + unit * size), opcode);
  };
  put_line(4, numbers.push_exc_info);
  put_line(5, numbers.special_call);
  put_line(6, numbers.instrumented_call);
  put_line(7, numbers.instruction);  // events for lines and for instructions
  traced.put(0x3000 + 7, numbers.instrumented_call);
  put_line(8, numbers.line);
  put_line(9, 0);
  CHECK(traced.at(8) == numbers.push_exc_info);
  CHECK(traced.at(10) == numbers.call);
  CHECK(traced.at(12) == numbers.call);
  CHECK(traced.at(14) == numbers.call);
  CHECK_FALSE(traced.at(16));  // nothing that makes sense is kept
  CHECK_FALSE(traced.at(18));
}

TEST_CASE("an instruction that is traced by itself", "[cpython]") {
  const Numbers numbers = any_numbers();
  Traced traced(numbers.minor);
  traced.put(6, numbers.instruction);
  traced.put(0x3000 + 3, numbers.special_call);
  CHECK(traced.at(6) == numbers.call);
  SECTION("whose own opcode is not kept") {
    traced.put(0x3000 + 3, GENERATE(0, 1) == 0 ? 0 : numbers.instruction);
  }
  SECTION("with no list of them") {
    patch(traced.bytes, 0x1000 + static_cast<std::uint64_t>(traced.layout.monitoring_instructions),
          GENERATE(std::uint64_t{0}, std::uint64_t{0x20}));
  }
  SECTION("with no monitoring data") {
    traced.code.monitoring = GENERATE(Addr{}, Addr{0x20});
  }
  CHECK_FALSE(traced.at(6));
}

TEST_CASE("line data of no known shape", "[cpython]") {
  const Numbers numbers = any_numbers();
  Traced traced(numbers.minor);
  traced.put(6, numbers.line);
  traced.put(0x2000, GENERATE(1, 6, 255));
  CHECK_FALSE(traced.at(6));
}

}  // namespace
}  // namespace coldcase::cpython
