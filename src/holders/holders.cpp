#include "holders/holders.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "holders/search.hpp"
#include "threads/unwind.hpp"

namespace coldcase {
namespace {

constexpr std::size_t adding_claim = 500;  // steps of Work: texts, and room for them

// Best first: a question that one of them answers is not asked of the next.
constexpr std::array finders{
    Finder{Basis::cleanup_buffer, look_for_cleanup_record, nullptr},
    Finder{Basis::landing_pad, look_for_landing_pad, nullptr},
    Finder{Basis::call_site, look_for_call_site, nullptr},
    Finder{Basis::call_site, look_for_setter, nullptr},
    Finder{Basis::debug_info, look_for_guard_variable, nullptr},
    Finder{Basis::stack_scan, look_for_address, judge_addresses},
};

std::uint64_t word_of(const ResourceFact& resource, std::string_view name) {
  const auto at = std::ranges::find(resource.words, name, &MemoryWord::name);
  return at == resource.words.end() ? 0 : at->value;
}

// Some thread waits for it as such, not only physically on the way to something a lens explained.
bool is_waited_for(const Facts& facts, ResourceId id) {
  const ResourceFact& resource = facts.resources[id.index];
  return std::ranges::any_of(resource.waiters, [&](const Ref& waiter) {
    const auto thread = waiter.as<RefKind::thread>();
    if (!thread.known() || !facts.threads[thread.index].wait) return false;
    const auto& on = facts.threads[thread.index].wait->on;
    return std::ranges::find(on, Ref(id)) != on.end();
  });
}

// How many can hold it, and whether hints alone may name one; nothing when nobody holds it, or the
// state leaves nothing to look for.
bool set_expectation(const ResourceFact& resource, Question& question) {
  switch (question.lock) {
    case LockClass::mutex:
      // Rust's records no owner at all; its guard is a live value of the holder.
      if (resource.implementation == "Rust std::sync::Mutex") {
        question.most = 1;
        question.scan_may_name = true;
        return resource.state == LockState::locked;
      }
      // Its owner word is 0 for a few instructions only.
      return resource.state == LockState::locked;
    case LockClass::rwlock:
      question.most = word_of(resource, "__readers") >> 3;
      question.scan_may_name = true;
      return resource.state == LockState::read_locked && question.most > 0;
    case LockClass::semaphore:
      question.most = 0;
      return resource.state == LockState::locked;
    case LockClass::word:
      // Where threads wait on a plain word it may as well be a signal or a queue.
      if (resource.kind == WaitKind::spinlock) return true;
      return resource.implementation == "futex" || resource.kind == WaitKind::unknown;
    case LockClass::spinlock:
    case LockClass::guard:
      question.scan_may_name = true;
      return true;
    case LockClass::once:
      return true;
    case LockClass::flag:
      question.most = 0;
      return true;
    case LockClass::none:
    case LockClass::any:
      break;
  }
  return false;
}

// The lock says whose it is: it is no thread of this core, so nobody here is to be found.
bool has_owner_word(const ResourceFact& resource) {
  static constexpr std::array<std::string_view, 6> codes{
      "owner_not_in_core", "owner_in_other_process", "owner_ended",
      "owner_before_fork", "owner_in_parent",        "owner_died"};
  return std::ranges::find(codes, resource.owner_unknown_code) != codes.end() ||
         resource.owner_unknown_code == "no_living_holder";
}

std::vector<Question> questions_of(const Seen& seen, const Facts& facts) {
  std::vector<Question> questions;
  for (std::uint32_t r = 0; r < facts.resources.size(); ++r) {
    const ResourceFact& resource = facts.resources[r];
    Question question;
    question.resource = {r};
    question.lock = class_of(resource);
    question.word = word_of(resource, "word");
    if (question.lock == LockClass::none || !resource.owners.empty() || resource.waiters.empty() ||
        resource.part_of.known() || has_owner_word(resource)) {
      continue;
    }
    if (!set_expectation(resource, question) || !is_waited_for(facts, question.resource)) continue;
    for (const Ref& waiter : resource.waiters) {
      if (const auto thread = waiter.as<RefKind::thread>(); thread.known())
        question.waiters.insert(thread.index);
    }
    for (const Place& place : resource.at) {
      if (!(place.process == seen.view.process)) continue;
      question.address = place.address;
      questions.push_back(question);
    }
  }
  return questions;
}

// A question with as many sure answers as there can be is closed.
void close_answered(Search& search) {
  std::vector<std::set<std::uint32_t>> holders(search.questions.size());
  for (const Claim& claim : search.claims) {
    if (claim.confidence >= Confidence::very_likely)
      holders[claim.question].insert(claim.thread.index);
  }
  for (std::size_t q = 0; q < search.questions.size(); ++q) {
    Question& question = search.questions[q];
    question.open = holders[q].empty() || holders[q].size() < question.most;
  }
}

void look_through_thread(Search& search, const Finder& finder, std::size_t thread,
                         Unwinder& unwinder, const Rules& rules) {
  const View& view = search.seen.view;
  std::size_t index = 0;
  bool sure = true;
  unwinder.walk(view.core.threads[thread].registers, [&](const WalkFrame& frame,
                                                         const Context& at) {
    if (frame.row >= view.threads.names.size() || search.code.work().spent()) return false;
    sure = sure && (frame.trust == Trust::context || frame.trust == Trust::cfi);
    finder.look(search, {thread, index++, frame.row, rules.row(frame.row), at, frame.cfa, sure});
    return true;
  });
}

void search_process(Search& search, Ledger& ledger) {
  const View& view = search.seen.view;
  Rules rules = view.threads.rules;  // a copy: walking may add rows to it
  Unwinder unwinder(view.image, rules);
  for (const Finder& finder : finders) {
    if (std::ranges::none_of(search.questions, &Question::open)) break;
    for (std::size_t i = 0; i < view.core.threads.size(); ++i) {
      if (!search.seen.pthreads.kernel_worker(i))
        look_through_thread(search, finder, i, unwinder, rules);
    }
    if (finder.finish != nullptr) finder.finish(search);
    close_answered(search);
  }
  if (search.code.work().spent()) {
    ledger.add_note("holder-search-limit", Severity::warning,
                    "the search for holders of locks that do not record them was cut short: the "
                    "stacks, or the code around them, are too large",
                    {view.process});
  }
}

// The claims of all processes on one resource, one for each thread: its best.
class Answer {
 public:
  explicit Answer(Question question) : question_(std::move(question)) {}

  void add(const Claim& claim) {
    const auto same = std::ranges::find_if(
        claims_, [&](const Claim& other) { return other.thread == claim.thread; });
    if (same == claims_.end())
      claims_.push_back(claim);
    else if (claim.confidence > same->confidence)
      *same = claim;
  }

  void write(Ledger& ledger);

 private:
  std::vector<Claim> chosen() const;
  EvidenceId add_evidence(const Claim& claim, Ledger& ledger) const;
  void write_unknown(std::size_t named, Ledger& ledger) const;

  Question question_;
  std::vector<Claim> claims_;
};

// Who is named: no more than can hold it. When more than that seem to, something is not as it
// looks, and nobody is.
std::vector<Claim> Answer::chosen() const {
  std::vector<Claim> named;
  const auto fits_in = [&](std::size_t count) {
    return question_.most == 0 || count <= question_.most;
  };
  for (const Confidence level : {Confidence::very_likely, Confidence::likely}) {
    std::vector<Claim> more;
    std::ranges::copy_if(claims_, std::back_inserter(more),
                         [level](const Claim& claim) { return claim.confidence == level; });
    if (!fits_in(named.size() + more.size())) break;
    if (!named.empty() && question_.most == 0) break;
    named.insert(named.end(), more.begin(), more.end());
  }
  return named;
}

EvidenceId Answer::add_evidence(const Claim& claim, Ledger& ledger) const {
  Evidence evidence;
  evidence.claim = claim.text;
  evidence.basis = claim.basis;
  evidence.thread = claim.thread;
  evidence.process = ledger.thread(claim.thread).process;
  evidence.frame = claim.frame;
  evidence.resource = question_.resource;
  evidence.address = claim.address;
  evidence.words = claim.words;
  evidence.source = claim.source;
  return ledger.add_evidence(std::move(evidence));
}

void Answer::write_unknown(std::size_t named, Ledger& ledger) const {
  if (question_.lock == LockClass::flag) return;
  ResourceFact& resource = ledger.resource(question_.resource);
  if (named > 0 && named >= question_.most) {
    resource.owner_unknown_code.clear();
    resource.owner_unknown_text.clear();
    return;
  }
  std::vector<std::string> candidates;
  for (const Claim& claim : claims_) {
    const bool owner = std::ranges::any_of(
        resource.owners, [&](const Owner& one) { return one.by == Ref(claim.thread); });
    const auto tid = ledger.thread(claim.thread).tid;
    if (!owner && tid) candidates.push_back("LWP " + std::to_string(*tid));
  }
  const std::string list = counted(candidates.size(), "candidate") + ": " + join(candidates, ", ");
  if (named > 0) {
    resource.owner_unknown_text = std::to_string(question_.most - named) + " of its " +
                                  counted(question_.most, "reader") + " not found" +
                                  (candidates.empty() ? "" : "; " + list);
  } else if (!candidates.empty()) {
    resource.owner_unknown_code = "candidates";
    resource.owner_unknown_text = list;
  }
}

void Answer::write(Ledger& ledger) {
  const std::vector<Claim> named = chosen();
  for (const Claim& claim : claims_) {
    const EvidenceId known = add_evidence(claim, ledger);
    const bool owner =
        std::ranges::any_of(named, [&](const Claim& one) { return one.thread == claim.thread; });
    if (!owner) continue;
    if (question_.lock == LockClass::flag) {
      ledger.resource(question_.resource)
          .feeders.push_back({claim.thread, std::nullopt, claim.confidence, claim.basis, {known}});
      continue;
    }
    Hold hold;
    hold.resource = question_.resource;
    hold.frame = claim.frame;
    hold.confidence = claim.confidence;
    hold.basis = claim.basis;
    hold.evidence = {known};
    if (question_.lock == LockClass::rwlock)
      hold.mode = Mode::read;
    else if (question_.lock != LockClass::semaphore)
      hold.mode = Mode::exclusive;
    ledger.add_hold(claim.thread, std::move(hold));
  }
  write_unknown(named.size(), ledger);
  if (named.empty()) return;
  // A wait for a lock that somebody holds is no idling.
  for (const std::uint32_t waiter : question_.waiters) {
    ThreadFact& thread = ledger.thread({waiter});
    if (thread.state == ThreadState::idle) thread.state = ThreadState::blocked;
  }
}

}  // namespace

Search::Search(const Seen& of, std::vector<Question> asked)
    : seen(of), code(of.view), flows(code), questions(std::move(asked)) {
  for (std::size_t q = 0; q < questions.size(); ++q)
    by_address[questions[q].address.value].push_back(q);
}

const std::vector<std::size_t>& Search::questions_at(std::uint64_t address) const {
  static const std::vector<std::size_t> none;
  const auto found = by_address.find(address);
  return found == by_address.end() ? none : found->second;
}

void Search::add(Claim claim) {
  code.work().add(adding_claim);
  claims.push_back(std::move(claim));
}

bool Search::gave_back(const Question& question, std::size_t core_thread) const {
  const auto& futex = seen.native.futexes[core_thread];
  if (question.lock != LockClass::mutex || !futex) return false;
  const auto record = seen.pthreads.read_cleanup(core_thread, futex->address);
  return record && record->mutex && *record->mutex == question.address;
}

Claim Search::claim(const Question& question, const FrameHere& here, Basis basis,
                    Confidence confidence) const {
  Claim made;
  made.question = static_cast<std::size_t>(&question - questions.data());
  made.thread = thread_id(here.thread);
  made.frame = seen.merged(here.thread, here.index);
  made.basis = basis;
  made.confidence = here.at_most(confidence);
  return made;
}

std::string name_of_place(const View& view, const FrameHere& here) {
  const CodeName& name = view.threads.names[here.row_index];
  if (name.function.empty()) {
    return "the function at " + hex(here.row.lookup.value) +
           (here.row.module != nullptr ? " of " + clean_text(here.row.module->name(), 256) : "");
  }
  std::string text = clean_text(name.function, 256);
  if (!name.where.file.empty() && name.where.line != 0) {
    text += " (" + std::string(base_name(name.where.file)) + ":" + std::to_string(name.where.line) +
            ")";
  }
  return text;
}

std::string releasing(LockClass lock) {
  switch (lock) {
    case LockClass::rwlock:
      return "unlock this rwlock";
    case LockClass::semaphore:
      return "post this semaphore";
    case LockClass::guard:
      return "abandon the guard of this static variable";
    case LockClass::spinlock:
    case LockClass::word:
      return "release this lock word";
    default:
      return "unlock this lock";
  }
}

void find_holders(const std::vector<std::unique_ptr<Seen>>& processes, Ledger& ledger) {
  std::map<std::uint32_t, Answer> answers;  // by resource
  for (const auto& seen : processes) {
    std::vector<Question> questions = questions_of(*seen, ledger.facts);
    if (questions.empty()) continue;
    Search search(*seen, std::move(questions));
    for (const Question& question : search.questions)
      answers.try_emplace(question.resource.index, question);
    search_process(search, ledger);
    for (const Claim& claim : search.claims)
      answers.at(search.questions[claim.question].resource.index).add(claim);
  }
  for (auto& [resource, answer] : answers) answer.write(ledger);
}

}  // namespace coldcase
