#include "lens/cpython/opcodes.hpp"

#include <algorithm>
#include <array>

namespace coldcase::cpython {
namespace {

// Opcodes `first` to `last` stand for `base`: the specialised forms (_PyOpcode_Deopt in Include/
// internal/pycore_opcode.h, later pycore_opcode_metadata.h), and the instrumented forms by their
// names. Equal in 3.13.0, .5, .15, .18; 3.14.8, .10; 3.15.0, .2.
struct Run {
  std::uint8_t first, last, base;
};

// size: table
// clang-format off
constexpr std::array stands_for_3_11 = std::to_array<Run>({
    {3, 8, 122}, {13, 14, 122}, {16, 16, 122}, {17, 21, 25}, {22, 24, 171}, {26, 29, 107}, {34,
    34, 144}, {38, 38, 140}, {39, 43, 106}, {44, 44, 100}, {45, 46, 124}, {47, 48, 116}, {55,
    55, 116}, {56, 59, 160}, {62, 63, 160}, {64, 67, 166}, {72, 73, 166}, {76, 81, 166}, {113,
    113, 166}, {121, 121, 166}, {127, 127, 166}, {141, 141, 166}, {143, 143, 166}, {150, 150,
    151}, {153, 154, 95}, {158, 159, 95}, {161, 161, 125}, {167, 167, 125}, {168, 170, 60},
    {177, 180, 92}});
constexpr std::array stands_for_3_12 = std::to_array<Run>({
    {6, 8, 122}, {10, 10, 122}, {13, 14, 122}, {16, 16, 122}, {18, 18, 122}, {19, 22, 25}, {23,
    24, 171}, {28, 29, 171}, {34, 34, 171}, {38, 48, 171}, {56, 56, 171}, {57, 59, 107}, {62,
    65, 93}, {66, 67, 141}, {70, 70, 106}, {72, 73, 106}, {76, 82, 106}, {84, 84, 100}, {86, 86,
    124}, {88, 88, 124}, {111, 112, 116}, {113, 113, 95}, {148, 148, 95}, {153, 153, 95}, {154,
    154, 125}, {158, 158, 125}, {159, 160, 60}, {161, 161, 92}, {166, 167, 92}, {168, 168, 123},
    {237, 237, 141}, {238, 238, 129}, {239, 239, 128}, {240, 240, 151}, {241, 241, 171}, {242,
    242, 83}, {243, 243, 150}, {244, 244, 142}, {245, 245, 110}, {246, 246, 140}, {247, 247,
    121}, {248, 248, 93}, {249, 249, 114}, {250, 250, 115}, {251, 251, 4}, {252, 252, 5}});
constexpr std::array stands_for_3_13 = std::to_array<Run>({
    {3, 3, 45}, {150, 156, 45}, {157, 161, 5}, {162, 181, 53}, {182, 184, 58}, {185, 186, 59},
    {187, 190, 72}, {191, 202, 82}, {203, 204, 91}, {205, 206, 93}, {207, 207, 149}, {208, 208,
    104}, {209, 211, 108}, {212, 213, 39}, {214, 219, 40}, {220, 222, 117}, {236, 236, 149},
    {237, 237, 11}, {238, 238, 12}, {239, 239, 36}, {240, 240, 103}, {241, 241, 118}, {242, 242,
    93}, {243, 243, 72}, {244, 244, 53}, {245, 245, 57}, {246, 246, 54}, {248, 248, 79}, {249,
    249, 77}, {250, 250, 100}, {251, 251, 97}, {252, 252, 98}, {253, 253, 99}});
constexpr std::array stands_for_3_14 = std::to_array<Run>({
    {3, 3, 44}, {129, 142, 44}, {143, 150, 52}, {151, 153, 55}, {154, 165, 52}, {166, 168, 56},
    {169, 170, 57}, {171, 174, 70}, {175, 176, 75}, {177, 189, 80}, {190, 191, 82}, {192, 193,
    92}, {194, 195, 96}, {196, 196, 128}, {197, 197, 106}, {198, 200, 110}, {201, 202, 38},
    {203, 208, 39}, {209, 211, 119}, {234, 234, 9}, {235, 235, 30}, {236, 236, 10}, {237, 237,
    70}, {239, 239, 77}, {240, 240, 28}, {241, 241, 103}, {242, 242, 100}, {243, 243, 101},
    {244, 244, 102}, {245, 245, 128}, {246, 246, 35}, {247, 247, 120}, {248, 248, 68}, {249,
    249, 96}, {250, 250, 52}, {251, 251, 55}, {252, 252, 4}, {253, 253, 75}});
constexpr std::array stands_for_3_15 = std::to_array<Run>({
    {3, 3, 42}, {129, 143, 42}, {144, 150, 50}, {151, 152, 4}, {153, 153, 50}, {154, 156, 53},
    {157, 168, 50}, {169, 171, 54}, {172, 173, 55}, {174, 178, 68}, {179, 180, 70}, {181, 182,
    74}, {183, 195, 79}, {196, 197, 91}, {198, 199, 95}, {200, 201, 128}, {202, 204, 105}, {205,
    207, 109}, {208, 209, 36}, {210, 215, 37}, {216, 218, 118}, {233, 233, 9}, {234, 234, 28},
    {235, 235, 10}, {236, 236, 68}, {238, 238, 76}, {239, 239, 26}, {240, 240, 102}, {241, 241,
    99}, {242, 242, 100}, {243, 243, 101}, {244, 244, 128}, {245, 245, 33}, {246, 246, 119},
    {247, 247, 66}, {248, 248, 95}, {249, 249, 50}, {250, 250, 53}, {251, 251, 4}, {252, 252,
    74}});
// clang-format on

// Those whose original opcode the code object's monitoring data has.
struct Events {
  int minor;
  std::uint8_t line, instruction;
};
constexpr std::array events{Events{12, 254, 253}, Events{13, 254, 247}, Events{14, 254, 238},
                            Events{15, 253, 237}};

std::span<const Run> runs_of(int minor) {
  switch (minor) {
    case 11:
      return stands_for_3_11;
    case 12:
      return stands_for_3_12;
    case 13:
      return stands_for_3_13;
    case 14:
      return stands_for_3_14;
    case 15:
      return stands_for_3_15;
  }
  return {};
}

// _PyCoMonitoringData.lines: to 3.13.0 pairs (opcode, line increment); later a byte that says how
// long an entry is (2 to 5: the opcode and the line), then the entries. The first pair's opcode is
// 0, as a function's first instruction begins no line of its own.
std::optional<std::uint8_t> read_line_opcode(const MemoryImage& image, Addr lines,
                                             std::int64_t unit) {
  const auto first = image.read<std::uint8_t>(lines);
  if (!first || *first == 1 || *first > 5) return std::nullopt;
  const Addr at = *first == 0 ? offset_by(lines, unit * 2) : offset_by(lines, 1 + unit * *first);
  const auto opcode = image.read<std::uint8_t>(at);
  return opcode && *opcode != 0 ? std::optional(*opcode) : std::nullopt;
}

std::optional<std::uint8_t> read_kept(const Objects& objects, const Code& code, std::int64_t unit,
                                      const Events& event, std::uint8_t opcode) {
  const MemoryImage& image = objects.image();
  if (code.monitoring.value == 0) return std::nullopt;
  if (opcode == event.line) {
    const auto lines =
        image.read_pointer(offset_by(code.monitoring, objects.layout().monitoring_lines));
    const auto kept = lines && lines->value != 0 ? read_line_opcode(image, *lines, unit)
                                                 : std::optional<std::uint8_t>();
    if (!kept || *kept == event.line) return std::nullopt;
    opcode = *kept;
  }
  if (opcode == event.instruction) {
    const auto opcodes =
        image.read_pointer(offset_by(code.monitoring, objects.layout().monitoring_instructions));
    const auto kept = opcodes && opcodes->value != 0
                          ? image.read<std::uint8_t>(offset_by(*opcodes, unit))
                          : Read<std::uint8_t>(std::uint8_t{0});
    if (!kept || *kept == 0 || *kept == event.line || *kept == event.instruction)
      return std::nullopt;
    opcode = *kept;
  }
  return opcode;
}

}  // namespace

std::uint8_t base_opcode(int minor, std::uint8_t opcode) {
  const auto runs = runs_of(minor);
  const auto run = std::ranges::upper_bound(runs, opcode, {}, &Run::first);
  if (run == runs.begin()) return opcode;
  return opcode <= std::prev(run)->last ? std::prev(run)->base : opcode;
}

std::optional<std::uint8_t> original_opcode(const Objects& objects, const Code& code,
                                            std::int64_t offset) {
  if (offset < 0 || offset > most_code || offset % 2 != 0) return std::nullopt;
  const auto opcode = objects.image().read<std::uint8_t>(offset_by(code.instructions, offset));
  if (!opcode) return std::nullopt;
  const int minor = objects.layout().minor;
  const auto event = std::ranges::find(events, minor, &Events::minor);
  if (event == events.end()) return base_opcode(minor, *opcode);
  if (*opcode != event->line && *opcode != event->instruction) return base_opcode(minor, *opcode);
  const auto kept = read_kept(objects, code, offset / 2, *event, *opcode);
  return kept ? std::optional(base_opcode(minor, *kept)) : std::nullopt;
}

}  // namespace coldcase::cpython
