// What the finders share while they look through the frames of one process: the questions (locks
// with waiters whose holder nobody wrote down), the frame they stand at, and the claims they make.
// A finder is one file and one row in the table of holders.cpp.
#pragma once

#include <algorithm>
#include <coldcase/facts.hpp>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "holders/code.hpp"
#include "holders/flow.hpp"
#include "holders/machine.hpp"
#include "lens/seen.hpp"
#include "modules/dwarf_locals.hpp"

namespace coldcase {

struct Question {
  ResourceId resource;
  LockClass lock = LockClass::none;
  Addr address;
  std::uint64_t word = 0;  // of a lock word or flag: what it holds
  std::size_t most = 1;    // holders there can be; 0: not known
  // Hints from the stack alone may name its holder. Not for a semaphore, which as often signals as
  // it locks, and not for a mutex that is just being handed over.
  bool scan_may_name = false;
  bool open = true;
  std::set<std::uint32_t> waiters;  // thread ids
};

// "This thread holds that lock."
struct Claim {
  std::size_t question = 0;
  ThreadId thread;
  std::optional<std::uint32_t> frame;
  Basis basis = Basis::inference;
  Confidence confidence = Confidence::hypothesis;  // hypothesis: a candidate, never an owner
  std::string text;
  std::string source;
  std::optional<Addr> address;
  std::vector<MemoryWord> words;
};

struct FrameHere {
  std::size_t thread = 0;  // of the core
  std::size_t index = 0;   // of the walk
  std::uint32_t row_index = 0;
  const Row& row;
  const Context& registers;
  std::uint64_t cfa = 0;
  bool sure = true;  // it and all frames inside it were found by call frame information
  Confidence at_most(Confidence claimed) const {
    return sure ? claimed : std::min(claimed, Confidence::likely);
  }
  bool after_call() const { return row.lookup != row.pc; }
};

// An exact address of a lock where a frame would need it.
struct Hit {
  std::size_t question = 0;
  std::size_t thread = 0;
  std::size_t index = 0;  // of the walk
  std::uint32_t row = 0;
  std::optional<std::uint32_t> frame;
  std::int64_t place = 0;  // offset from the CFA, or 1 + the register's number
  int points = 0;
};

struct Search {
  Search(const Seen& of, std::vector<Question> asked);
  const Seen& seen;
  Code code;
  Flows flows;
  std::vector<Question> questions;
  std::vector<Claim> claims;
  std::vector<Hit> hits;
  std::map<std::uint32_t, std::vector<LocalVariable>> locals;  // guards, by row
  std::map<std::uint64_t, bool> barren;  // landing pads by whether they release nothing
  std::unordered_map<std::uint64_t, std::vector<std::size_t>> by_address;  // questions

  ThreadId thread_id(std::size_t core_thread) const { return seen.view.thread_id(core_thread); }
  bool waits_for(const Question& question, std::size_t core_thread) const {
    return question.waiters.contains(thread_id(core_thread).index);
  }
  // Of the locks that lie there.
  const std::vector<std::size_t>& questions_at(std::uint64_t address) const;
  void add(Claim claim);
  // It is inside pthread_cond_wait, which gave this mutex back.
  bool gave_back(const Question& question, std::size_t core_thread) const;
  Claim claim(const Question& question, const FrameHere& here, Basis basis,
              Confidence confidence) const;
};

struct Finder {
  Basis basis;
  void (*look)(Search&, const FrameHere&);
  void (*finish)(Search&);  // after all frames; may be null
};

void look_for_cleanup_record(Search& search, const FrameHere& here);
void look_for_landing_pad(Search& search, const FrameHere& here);
void look_for_call_site(Search& search, const FrameHere& here);
void look_for_setter(Search& search, const FrameHere& here);
void look_for_guard_variable(Search& search, const FrameHere& here);
void look_for_address(Search& search, const FrameHere& here);
void judge_addresses(Search& search);

// "stream_rows (reader.cpp:41)"; "the function at 0x... of libx.so" without a name.
std::string name_of_place(const View& view, const FrameHere& here);

// "unlock this rwlock".
std::string releasing(LockClass lock);

// Whether the lock is surely held, surely not, or neither where this frame stands.
FlowState flow_state(Search& search, const FrameHere& here, const Question& question);

}  // namespace coldcase
