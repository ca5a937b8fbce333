// The contents of a report as people read it, before text or Markdown give it a shape: rows, lines
// of stacks, groups of threads. All from an analysis that cleaned() made.
#pragma once

#include <coldcase/analysis.hpp>
#include <span>
#include <string>
#include <unordered_map>
#include <vector>

namespace coldcase::report {

// The verdict's main finding, or null.
const Finding* main_finding(const Analysis& analysis);
// A paragraph for each of the others, in their order; those like another, or like the one that is
// shown in full (may be null), are only counted.
std::vector<std::string> other_paragraphs(const Analysis& analysis, const Finding* shown);

// "core.885, python3.6 (CPython 3.6.11), 10 threads, taken by gcore 2019-10-22 14:03 UTC"
std::vector<std::string> subject_lines(const Analysis& analysis);
// "pattern lock-cycle, signature cc1:..": empty when neither is known.
std::string pattern_line(const Finding& finding);
// "the lock's writer field holds 898; ..." from the claims; empty without evidence.
std::string known_from(const Analysis& analysis, const std::vector<EvidenceId>& evidence);
// " [e3, e5]"
std::string evidence_marks(const std::vector<EvidenceId>& evidence);

struct WaitRow {
  std::string thread;
  std::string waits_for;
  std::string held_by;
  std::string how;
};
// Equal ones merged, and no more than people read; then more_waits_text says how many are left.
std::vector<WaitRow> wait_rows(const Analysis& analysis, const Finding& finding);
std::string more_waits_text(const Finding& finding);

// Whether the waits of the path end by themselves; empty when that is not known of all.
std::string ends_text(const Analysis& analysis, const Finding& finding);

struct AdviceLine {
  std::string text;
  std::string url;
};
std::vector<AdviceLine> advice_lines(const Analysis& analysis, const Finding* finding);
// What is known of a crash beside its story.
std::vector<std::string> crash_lines(const Finding& finding);
// The others' one paragraph each.
std::string finding_paragraph(const Finding& finding);

struct StackLine {
  enum class Kind { frame, event, remark };
  Kind kind = Kind::frame;
  std::string left;  // the function; or the event or remark
  bool python = false;
  std::string right;  // where
};
// Whose stack it is: a thread's or a task's.
struct StackParty {
  StackId stack;
  const std::optional<Wait>& wait;
  const std::vector<Hold>& holds;
  std::span<const LocalFact> locals = {};
};
// What the frames of an analysis are called in its stacks, each made once. Short names also fold
// what the C++ and Rust libraries have between a thread's start and the user's code.
class FrameNames {
 public:
  FrameNames(const Analysis& analysis, bool full) : analysis_(analysis), full_(full) {}
  const std::string& name(std::uint32_t frame) { return row(frame).name; }
  bool is_glue(std::uint32_t frame) { return row(frame).glue; }

 private:
  struct Row {
    std::string name;
    bool glue = false;
  };
  const Row& row(std::uint32_t frame);

  const Analysis& analysis_;
  bool full_;
  std::unordered_map<std::uint32_t, Row> rows_;
};

// Frames with the waits and holds at them; interpreter's own and nameless frames folded.
std::vector<StackLine> stack_lines(const Analysis& analysis, const StackParty& party,
                                   FrameNames& names);
bool same_lines(const std::vector<StackLine>& a, const std::vector<StackLine>& b);

struct StackBlock {
  std::vector<ThreadId> threads;  // all with the very same lines
  std::vector<StackLine> lines;
};
// How many of so many blocks are shown: all of a few, and of a ring of hundreds some examples.
inline std::size_t shown_blocks(std::size_t blocks) {
  return blocks > 12 ? 4 : blocks;
}
std::vector<StackBlock> stack_blocks(const Analysis& analysis, const std::vector<ThreadId>& threads,
                                     bool full_names);
std::vector<ThreadId> involved_threads(const Analysis& analysis, const Finding* finding);
std::vector<ThreadId> other_threads(const Analysis& analysis, const Finding* finding);

struct ThreadGroup {
  std::vector<ThreadId> threads;
  std::string state;  // "idle", "held up behind it"
  std::string what;   // "waits for the GIL"
  std::string where;  // "queue.get"
  std::string names;  // "890, 891"
};
// More groups than that are merged, where only addresses tell them apart; renderers show so many.
constexpr std::size_t group_limit = 20;
std::vector<ThreadGroup> thread_groups(const Analysis& analysis,
                                       const std::vector<ThreadId>& threads);
// "23 of 23 stacks complete; 5 locks known to be held, none by a blocked thread"
std::string checked_text(const Analysis& analysis);

struct MissingLine {
  std::string text;
  std::string command;
};
std::vector<MissingLine> missing_lines(const Analysis& analysis);  // warnings and errors
std::string remarks_text(const Analysis& analysis);  // notes that are only information
std::string private_text(const Analysis& analysis);  // what was left out for privacy

}  // namespace coldcase::report
