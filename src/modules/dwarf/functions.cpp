#include "modules/dwarf/functions.hpp"

#include <dwarf.h>

namespace coldcase::dwarf {
namespace {

constexpr std::uint64_t deepest_space = 24;  // of namespaces, classes and functions
constexpr int deepest_scope = 64;            // of nested blocks and inlines

// How far in functions are looked for. GCC puts those with code beside the namespaces, clang into
// them, both put lambdas' into the function that has them; going through all classes is what costs.
enum class Reach : std::uint8_t { unit, namespaces, classes, functions };

bool holds_functions(std::uint16_t tag, Reach reach) {
  if (tag == DW_TAG_namespace) return reach != Reach::unit;
  if (tag == DW_TAG_class_type || tag == DW_TAG_structure_type) return reach >= Reach::classes;
  return reach == Reach::functions && (tag == DW_TAG_subprogram || tag == DW_TAG_lexical_block);
}

class Search {
 public:
  Search(const Unit& unit, std::span<const std::uint64_t> sorted, Budget& budget)
      : unit_(unit),
        wanted_(sorted),
        found_(sorted.size()),
        missing_(sorted.size()),
        budget_(budget) {}

  bool complete() const { return missing_ == 0; }
  std::vector<std::optional<Entry>> take() { return std::move(found_); }

  void go_through(Reach reach) {
    if (!unit_.root().shape->children) return;
    Cursor cursor = unit_.cursor_at(unit_.root().behind);
    std::uint64_t depth = 1;
    std::uint64_t passing = 0;  // the depth whose children are passed by; 0: none
    while (depth > 0 && missing_ > 0 && cursor.good() && budget_.spend(1)) {
      const std::uint64_t at = cursor.at();
      const Abbreviation* shape = unit_.take_shape(cursor);
      if (shape == nullptr) {
        if (!cursor.good() || unit_.sections().info[at] != std::byte{0}) return;
        if (--depth == passing) passing = 0;
        continue;
      }
      if (passing == 0 && shape->tag == DW_TAG_subprogram) consider(at);
      const bool enter =
          passing == 0 && depth <= deepest_space && holds_functions(shape->tag, reach);
      if (unit_.step_over(cursor, *shape, shape->children && !enter) || !shape->children) continue;
      if (!enter && passing == 0) passing = depth;
      ++depth;
    }
  }

 private:
  void consider(std::uint64_t offset) {
    const auto entry = unit_.entry_at(offset);
    if (!entry || (!entry->low_pc && !entry->ranges)) return;
    for (const PcRange& range : ranges_of(unit_, *entry, budget_)) {
      auto at = std::ranges::lower_bound(wanted_, range.begin);
      for (; at != wanted_.end() && *at < range.end && budget_.spend(1); ++at) {
        std::optional<Entry>& found = found_[static_cast<std::size_t>(at - wanted_.begin())];
        if (found) continue;
        found = entry;
        --missing_;
      }
    }
  }

  const Unit& unit_;
  std::span<const std::uint64_t> wanted_;
  std::vector<std::optional<Entry>> found_;
  std::size_t missing_;
  Budget& budget_;
};

// The block or inlined function among an entry's children that covers `pc`.
std::optional<Entry> find_scope(const Unit& unit, const Entry& parent, std::uint64_t pc,
                                Budget& budget) {
  if (!parent.shape->children) return std::nullopt;
  for (std::uint64_t at = parent.behind; at != 0 && budget.spend(1);) {
    Cursor cursor = unit.cursor_at(at);
    const Abbreviation* shape = unit.take_shape(cursor);
    if (shape == nullptr) return std::nullopt;
    const bool scope =
        shape->tag == DW_TAG_inlined_subroutine || shape->tag == DW_TAG_lexical_block;
    if (!scope && unit.step_over(cursor, *shape, shape->children)) {
      at = cursor.at();
      continue;
    }
    const auto entry = unit.entry_at(at);
    if (!entry) return std::nullopt;
    if (scope) {
      for (const PcRange& range : ranges_of(unit, *entry, budget)) {
        if (range.covers(pc)) return entry;
      }
    }
    at = unit.next_of(*entry, budget);
  }
  return std::nullopt;
}

}  // namespace

std::vector<std::optional<Entry>> find_functions(const Unit& unit,
                                                 std::span<const std::uint64_t> sorted,
                                                 Budget& budget) {
  Search search(unit, sorted, budget);
  for (const Reach reach : {Reach::unit, Reach::namespaces, Reach::classes, Reach::functions}) {
    if (!search.complete()) search.go_through(reach);
  }
  return search.take();
}

std::vector<Entry> find_inlined(const Unit& unit, const Entry& function, std::uint64_t pc,
                                Budget& budget) {
  std::vector<Entry> inlined;
  Entry parent = function;
  for (int depth = 0; depth <= deepest_scope; ++depth) {
    const auto scope = find_scope(unit, parent, pc, budget);
    if (!scope) break;
    if (scope->shape->tag == DW_TAG_inlined_subroutine) inlined.push_back(*scope);
    parent = *scope;
  }
  return inlined;
}

}  // namespace coldcase::dwarf
