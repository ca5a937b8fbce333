// Lines, inlined functions and names for addresses of one file, read straight from its debug
// information: only the units that the addresses lie in are looked at, each once.
#pragma once

#include <functional>
#include <map>
#include <string>

#include "modules/dwarf/functions.hpp"
#include "modules/dwarf/lines.hpp"
#include "modules/dwarf/names.hpp"

namespace coldcase::dwarf {

struct Line {
  std::string file;        // as DWARF has it, with its folder
  std::uint32_t line = 0;  // 0: unknown
};

struct InlinedCode {
  std::string name;  // as the debug information has it; mangled where it is
  Line where;
};

struct CodePlace {
  Line where;                        // of the real function
  std::vector<InlinedCode> inlines;  // innermost first
  std::string function;              // the real function's name
  bool split = false;                // the unit has only lines here: its entries are in a .dwo file
};

class Reader {
 public:
  // `done_with` is told the bytes that will not be looked at again.
  using DoneWith = std::function<void(Bytes)>;
  static constexpr std::uint64_t most_steps = 400'000'000;
  explicit Reader(const Sections& sections, DoneWith done_with = nullptr,
                  std::uint64_t steps = most_steps);

  // One place for each of the sorted addresses. What damaged information makes endless is cut off
  // after a number of steps that no sound file comes near.
  std::vector<CodePlace> places_of(std::span<const std::uint64_t> sorted);
  bool cut_short() const { return !budget_.left(); }

 private:
  using Units = std::map<std::uint64_t, std::vector<std::size_t>>;  // offset: indexes of addresses
  Units assign(std::span<const std::uint64_t> sorted);
  // How many of the addresses were given the unit that covers the range.
  std::size_t assign_range(std::span<const std::uint64_t> sorted, const PcRange& range,
                           std::uint64_t unit, std::vector<std::uint64_t>& units);
  void assign_by_aranges(std::span<const std::uint64_t> sorted, std::vector<std::uint64_t>& units);
  void assign_by_units(std::span<const std::uint64_t> sorted, std::vector<std::uint64_t>& units);
  void read_unit(std::uint64_t offset, std::span<const std::uint64_t> sorted,
                 std::span<CodePlace*> places);
  void read_headers();
  const Unit* unit_around(std::uint64_t offset);

  Sections sections_;
  DoneWith done_with_;
  Budget budget_;
  std::vector<UnitHeader> headers_;       // of all units, in order; read when first needed
  std::map<std::uint64_t, Unit> others_;  // that names of the current unit's entries come from
};

}  // namespace coldcase::dwarf
