#include "holders/polling.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "holders/polled_loop.hpp"

namespace coldcase {
namespace {

constexpr std::uint64_t enough_ms = 100;  // of processor time: more than a loop that soon ends has
constexpr std::size_t most_work = 2'000'000;  // steps of Work for one process

// How long it has been at it. That alone says that it runs, not that it gets nowhere.
EvidenceId add_time_evidence(ThreadId id, Ledger& ledger) {
  const ThreadFact& thread = ledger.thread(id);
  if (!thread.cpu_ms || !thread.cpu_from) return {};
  const bool side_car = *thread.cpu_from == CpuFrom::side_car;
  Evidence evidence;
  evidence.claim = *thread.cpu_from == CpuFrom::core_remainder
                       ? "it and threads that have ended ran "
                       : "it ran ";
  evidence.claim += seconds_text(*thread.cpu_ms) + " of CPU";
  if (thread.cpu_system_ms)
    evidence.claim += ", " + seconds_text(*thread.cpu_system_ms) + " of it in the kernel";
  if (thread.age_ms)
    evidence.claim += ", in the " + seconds_text(*thread.age_ms) + " since it began";
  if (!thread.in_syscall.value_or(true)) evidence.claim += "; its registers show no system call";
  evidence.basis = side_car ? Basis::side_car : Basis::register_;
  evidence.thread = id;
  evidence.source =
      side_car ? "/proc/PID/task/TID/stat" : "NT_PRSTATUS.pr_utime, pr_stime, pr_reg.orig_rax";
  return ledger.add_evidence(std::move(evidence));
}

ResourceId resource_of(const View& view, const PolledWord& word, Ledger& ledger) {
  const ResourceId id = ledger.resource_at(
      view.process, word.address, word.exchanged ? WaitKind::spinlock : WaitKind::polled_word,
      word.exchanged ? "lock word" : "word");
  ResourceFact& fact = ledger.resource(id);
  if (!fact.label.empty()) return id;
  fact.label = label_of_object(view, word.address, word.exchanged ? "lock word" : "word");
  fact.words = {{"word", Addr{}, word.value, ""}};
  fact.state = word.exchanged ? LockState::locked : LockState::waiting;
  fact.owner_unknown_code = word.exchanged ? "owner_not_recorded" : "no_owner";
  fact.owner_unknown_text = word.exchanged ? "a lock word does not record its owner"
                                           : "nobody owns it: some thread has to change it";
  return id;
}

Confidence confidence_of(const PolledLoop& loop, const ThreadFact& thread) {
  const bool own = thread.cpu_from == CpuFrom::core || thread.cpu_from == CpuFrom::side_car;
  // It may only just have come to the loop.
  if (!thread.cpu_ms || *thread.cpu_ms < enough_ms) return Confidence::likely;
  return own && !loop.unverified ? Confidence::proved : Confidence::very_likely;
}

class Process {
 public:
  Process(const Seen& seen, Ledger& ledger) : seen_(seen), ledger_(ledger), code_(seen.view) {}

  void look(std::size_t i) {
    const ThreadId id = seen_.view.thread_id(i);
    const EvidenceId time = add_time_evidence(id, ledger_);
    ThreadFact& thread = ledger_.thread(id);
    if (thread.wait && time.known()) thread.wait->evidence.push_back(time);
    const bool turns =
        thread.state == ThreadState::running || thread.state == ThreadState::spinning;
    const bool in_code = seen_.native.calls[i].state == CallState::user_code;
    if (thread.wait || !turns || !in_code || spent()) return;
    const auto loop = find_polled_loop(code_, seen_.view, seen_.view.core.threads[i].registers);
    if (!loop) return;
    thread.state = ThreadState::spinning;
    if (!loop->words.empty()) wait_for_words(i, *loop, time);
  }
  bool spent() const { return code_.work().done() > most_work; }

 private:
  void wait_for_words(std::size_t i, const PolledLoop& loop, EvidenceId time);

  const Seen& seen_;
  Ledger& ledger_;
  Code code_;
};

void Process::wait_for_words(std::size_t i, const PolledLoop& loop, EvidenceId time) {
  const ThreadId id = seen_.view.thread_id(i);
  Wait wait;
  wait.ends = Ends::never;
  wait.confidence = confidence_of(loop, ledger_.thread(id));
  wait.frame = seen_.merged(i, loop.callers);
  Evidence evidence;
  for (const PolledWord& word : loop.words) {
    wait.on.push_back(resource_of(seen_.view, word, ledger_));
    evidence.words.push_back({"", word.address, word.value, ""});
  }
  const ResourceId first = wait.on.front().as<RefKind::resource>();
  wait.kind = ledger_.resource(first).kind;
  if (wait.on.size() == 1) wait.at = first;
  const std::string these =
      loop.words.size() == 1 ? "this word stays as it is" : "these words stay as they are";
  evidence.claim =
      "worked through from where it stands, its code comes back to the same place with "
      "the same registers every " +
      counted(loop.instructions, "instruction") + ", as long as " + these;
  evidence.basis = Basis::memory;
  evidence.thread = id;
  evidence.frame = wait.frame;
  evidence.resource = first;
  evidence.address = loop.words.front().address;
  evidence.source = "the thread's registers, its code and the memory it reads";
  wait.evidence.push_back(ledger_.add_evidence(std::move(evidence)));
  if (time.known()) wait.evidence.push_back(time);
  ledger_.set_wait(id, std::move(wait));
}

}  // namespace

void find_polling(const std::vector<std::unique_ptr<Seen>>& processes, Ledger& ledger) {
  for (const auto& seen : processes) {
    Process process(*seen, ledger);
    for (std::size_t i = 0; i < seen->view.core.threads.size(); ++i) {
      const bool asleep = seen->native.calls[i].state == CallState::asleep;
      if (!asleep && !seen->pthreads.kernel_worker(i)) process.look(i);
    }
    if (process.spent()) {
      ledger.add_note("polling-search-limit", Severity::info,
                      "the search for loops that poll memory was cut short: too many threads run",
                      {seen->view.process});
    }
  }
}

}  // namespace coldcase
