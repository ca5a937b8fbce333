// A guard of the standard library that is a live variable of the frame: its pointer names the lock,
// and where it records whether it owns it, that is read too.
#include <algorithm>

#include "base/text.hpp"
#include "holders/search.hpp"
#include "modules/dwarf_locals.hpp"

namespace coldcase {
namespace {

struct GuardShape {
  std::string_view type;
  bool records;  // a byte after the pointer says whether it owns the lock
};

// libstdc++ and libc++ alike: the pointer (or reference) first; scoped_lock of several has one
// pointer after the other.
constexpr std::array guards{GuardShape{"lock_guard<", false}, GuardShape{"scoped_lock<", false},
                            GuardShape{"unique_lock<", true}, GuardShape{"shared_lock<", true}};

constexpr std::uint64_t most_pointers = 8;

// The line the function that declares the variable is at; several may be inlined into one frame.
const SourceLine* line_of(const CodeName& name, const LocalVariable& variable) {
  if (variable.inlined == 0) return &name.where;
  if (variable.inlined > name.inlines.size()) return nullptr;
  return &name.inlines[name.inlines.size() - variable.inlined].where;
}

// A variable is in scope from the block's beginning; it is alive after its own line. Memory of
// earlier rounds looks the same.
bool constructed(const CodeName& name, const LocalVariable& variable) {
  const SourceLine* line = line_of(name, variable);
  return line != nullptr && variable.declared.line != 0 && variable.declared.line < line->line &&
         base_name(variable.declared.file) == base_name(line->file);
}

std::optional<Addr> place_of(const LocalVariable& variable, const FrameHere& here) {
  if (variable.place == LocalVariable::Place::frame) {
    if (here.cfa == 0) return std::nullopt;
    return offset_by(Addr{here.cfa}, variable.offset);
  }
  const auto base = here.registers.get(variable.reg);
  if (!base) return std::nullopt;
  return offset_by(Addr{*base}, variable.offset);
}

// Whether the guard points at `lock` and owns it.
bool guards_lock(const MemoryImage& image, const LocalVariable& variable, const GuardShape& shape,
                 const FrameHere& here, Addr lock) {
  if (variable.place == LocalVariable::Place::register_) {
    const auto value = here.registers.get(variable.reg);
    return value && *value == lock.value && variable.size == 8 && !shape.records;
  }
  const auto place = place_of(variable, here);
  if (!place) return false;
  if (shape.records) {
    const auto pointer = image.read_pointer(*place);
    const auto owns = image.read<std::uint8_t>(offset_by(*place, 8));
    return pointer && owns && *pointer == lock && *owns == 1;
  }
  for (std::uint64_t i = 0; i < std::min(variable.size / 8, most_pointers); ++i) {
    const auto pointer = image.read_pointer(offset_by(*place, static_cast<std::int64_t>(i * 8)));
    if (pointer && *pointer == lock) return true;
  }
  return false;
}

}  // namespace

void look_for_guard_variable(Search& search, const FrameHere& here) {
  const View& view = search.seen.view;
  if (here.row.module == nullptr || here.row_index >= view.threads.names.size()) return;
  const auto [known, fresh] = search.locals.try_emplace(here.row_index);
  if (fresh) {
    known->second = find_locals(*here.row.module, here.row.module->to_file(here.row.lookup),
                                {"lock_guard<", "scoped_lock<", "unique_lock<", "shared_lock<"});
  }
  const CodeName& name = view.threads.names[here.row_index];
  for (const LocalVariable& variable : known->second) {
    if (!constructed(name, variable)) continue;
    for (const Question& question : search.questions) {
      search.code.work().add(1);
      if (search.code.work().spent()) return;
      if (!question.open || search.gave_back(question, here.thread)) continue;
      const auto shape = std::ranges::find_if(
          guards, [&](const GuardShape& one) { return variable.type.starts_with(one.type); });
      // The guard being made, for which its own thread waits, says so only when it records that.
      const bool being_made =
          shape != guards.end() && !shape->records && search.waits_for(question, here.thread);
      if (shape == guards.end() || being_made ||
          !guards_lock(view.image, variable, *shape, here, question.address)) {
        continue;
      }
      Claim claim = search.claim(question, here, Basis::debug_info, Confidence::very_likely);
      claim.text = name_of_place(view, here) + " has a live variable " + variable.name + " (" +
                   variable.type + ") that points at this lock" +
                   (shape->records ? " and owns it" : "");
      claim.source = "DWARF of " + clean_text(here.row.module->name(), 256);
      search.add(std::move(claim));
    }
  }
}

}  // namespace coldcase
