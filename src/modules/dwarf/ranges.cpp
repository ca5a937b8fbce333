#include "modules/dwarf/ranges.hpp"

#include <dwarf.h>

namespace coldcase::dwarf {
namespace {

void add(std::vector<PcRange>& ranges, std::uint64_t begin, std::uint64_t end) {
  if (begin != 0 && begin < end) ranges.push_back({begin, end});
}

// DWARF 4, 2.17.3: pairs of offsets from a base; a pair that begins with all ones sets the base.
void read_pairs(const Unit& unit, std::uint64_t at, Budget& budget, std::vector<PcRange>& ranges) {
  Cursor cursor(unit.sections().ranges, at);
  std::uint64_t base = unit.low_pc();
  while (budget.spend(1)) {
    const auto begin = cursor.take<std::uint64_t>();
    const auto end = cursor.take<std::uint64_t>();
    if (!cursor.good() || (begin == 0 && end == 0)) return;
    if (begin == UINT64_MAX)
      base = end;
    else if (begin != end)
      add(ranges, base + begin, base + end);
  }
}

// DWARF 5, 2.17.3.
void read_list(const Unit& unit, std::uint64_t at, Budget& budget, std::vector<PcRange>& ranges) {
  Cursor cursor(unit.sections().rnglists, at);
  std::uint64_t base = unit.low_pc();
  const auto indexed = [&] { return unit.indexed_address(cursor.take_unsigned()).value_or(0); };
  while (cursor.good() && budget.spend(1)) {
    std::uint64_t begin = 0;
    switch (cursor.take<std::uint8_t>()) {
      case DW_RLE_base_addressx:
        base = indexed();
        break;
      case DW_RLE_base_address:
        base = cursor.take<std::uint64_t>();
        break;
      case DW_RLE_startx_endx:
        begin = indexed();
        add(ranges, begin, indexed());
        break;
      case DW_RLE_startx_length:
        begin = indexed();
        add(ranges, begin, begin + cursor.take_unsigned());
        break;
      case DW_RLE_offset_pair:
        begin = cursor.take_unsigned();
        add(ranges, base + begin, base + cursor.take_unsigned());
        break;
      case DW_RLE_start_end:
        begin = cursor.take<std::uint64_t>();
        add(ranges, begin, cursor.take<std::uint64_t>());
        break;
      case DW_RLE_start_length:
        begin = cursor.take<std::uint64_t>();
        add(ranges, begin, begin + cursor.take_unsigned());
        break;
      default:
        return;  // DW_RLE_end_of_list, and what nobody knows
    }
  }
}

}  // namespace

std::vector<PcRange> ranges_of(const Unit& unit, const Entry& entry, Budget& budget) {
  std::vector<PcRange> ranges;
  (void)budget.spend(1);
  if (const auto low = unit.address_of(entry.low_pc); low && entry.high_pc) {
    // The end is an address, or (a constant) the size.
    const auto size = constant_of(entry.high_pc);
    add(ranges, *low, size ? *low + *size : unit.address_of(entry.high_pc).value_or(0));
  } else if (const auto list = unit.range_list_of(entry.ranges)) {
    if (unit.header().format.version >= 5)
      read_list(unit, *list, budget, ranges);
    else
      read_pairs(unit, *list, budget, ranges);
  }
  return ranges;
}

}  // namespace coldcase::dwarf
