// The merged stacks people see: native frames with their inlines, the interpreter's frames at the
// native calls that run them, equal stacks stored once.
#pragma once

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lens/ledger.hpp"
#include "lens/view.hpp"

namespace coldcase {

// Frames an interpreter runs inside one native call of its evaluation function, innermost first, as
// indices into Facts::frames.
struct InterpretedRun {
  std::vector<std::uint32_t> frames;
  Addr anchor;  // something in the stack frame of that call; null: not known
};

// What one thread's interpreter has; runs innermost first.
struct Interpreted {
  std::vector<InterpretedRun> runs;
  // Frames that are about to run, each after (outside) the walk's frame of this index.
  std::map<std::size_t, std::uint32_t> pending;
};

// Where frames went in the merged stack of one thread.
struct StackMap {
  std::vector<std::uint32_t> native_at;  // walk index -> index into the stack's frames
  std::vector<std::uint32_t> python_at;  // interpreted frame, counted over all runs -> the same
  std::vector<std::size_t> run_at;  // run -> the walk's frame that runs it; fewer: not all agreed
};

class StackBuilder {
 public:
  StackBuilder(const View& view, Ledger& ledger);

  // Adds (or finds) the label of an interpreted frame.
  std::uint32_t add_frame(const Frame& frame);

  // True when the walk frame is a call of CPython's evaluation function.
  bool runs_python(std::uint32_t row) const { return evaluates_[row]; }

  // Builds the thread's stack; `merge` in Stack tells whether the interpreter's runs fitted.
  StackMap build(std::size_t core_thread, ThreadId thread, const Interpreted& interpreted);

 private:
  const std::vector<std::uint32_t>& labels_of_row(std::uint32_t row, Trust trust);
  std::vector<std::size_t> place_runs(const Walk& walk, const Interpreted& interpreted) const;

  void fold(Stack& stack, StackMap& map);

  const View& view_;
  Ledger& ledger_;
  std::vector<bool> evaluates_;
  std::map<std::pair<std::uint32_t, Trust>, std::vector<std::uint32_t>> labels_;
  std::map<std::vector<std::uint32_t>, StackId> known_;
  std::map<std::string, std::uint32_t> frames_;
};

}  // namespace coldcase
