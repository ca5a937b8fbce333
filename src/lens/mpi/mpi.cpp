#include "lens/mpi/mpi.hpp"

#include <algorithm>
#include <set>

#include "base/text.hpp"
#include "lens/mpi/job.hpp"
#include "lens/mpi/rank.hpp"

namespace coldcase::mpi {
namespace {

constexpr std::size_t listed = 8;

// "rank 0", "ranks 0 and 2", "ranks 0, 1 and 3"; of many the first. `count` is of all of them, of
// which `ranks` has at least the first `listed`.
std::string ranks_text(const std::vector<std::int64_t>& ranks, std::uint64_t count) {
  std::string text = count == 1 ? "rank " : "ranks ";
  for (std::size_t i = 0; i < std::min(ranks.size(), listed); ++i) {
    if (i > 0) text += i + 1 == count ? " and " : ", ";
    text += std::to_string(ranks[i]);
  }
  if (count > listed) text += " and " + std::to_string(count - listed) + " more";
  return text;
}

std::string name_of(const Library& library) {
  const std::string version = library.version();
  return (library.implementation() == Implementation::open_mpi ? "Open MPI" : "MPICH") +
         (version.empty() ? "" : " " + version);
}

// The ranks of one job that are here.
struct Present {
  std::set<std::int64_t> ranks;
  bool wait = false;
  std::vector<Ref> about;
};

class MpiLens {
 public:
  MpiLens(const std::vector<std::unique_ptr<Seen>>& processes, Ledger& ledger) : ledger_(ledger) {
    for (const auto& seen : processes) read(*seen);
  }

  void look() {
    shared_ = share_communicators(ranks_, ledger_);
    for (const Rank& rank : ranks_) {
      for (const RankCall& call : rank.calls) record(rank, call);
    }
    note_missing_ranks();
    note_unknown_layouts();
    note_cut();
  }

 private:
  void read(const Seen& seen);
  void record(const Rank& rank, const RankCall& call);
  void add_wait(const Rank& rank, const RankCall& call);
  void wait_for_peer(const Rank& rank, const Call& call, Wait& wait) const;
  EvidenceId call_evidence(const Rank& rank, const RankCall& call);
  EvidenceId communicator_evidence(const Rank& rank, const RankCall& call, ResourceId id);
  EvidenceId request_evidence(const Rank& rank, const RankCall& call, ResourceId id);
  const Shared* find_shared(const Rank& rank, const Communicator* communicator) const;
  std::string peer_text(const Call& call) const;
  void note_missing_ranks();
  void note_missing(std::int64_t size, const Present& job);
  void note_unknown_layouts();
  void note_cut();

  Ledger& ledger_;
  std::vector<Rank> ranks_;
  std::vector<Shared> shared_;
};

void MpiLens::read(const Seen& seen) {
  const auto& processes = ledger_.facts.processes;
  const ProcessFact& process = processes[seen.view.process.index];
  const auto runtime = std::ranges::find(process.runtimes, "mpi", &RuntimeFact::kind);
  if (runtime == process.runtimes.end()) return;
  auto library = Library::find(seen.view, process.mpi);
  if (!library) return;
  std::size_t before = static_cast<std::size_t>(runtime - process.runtimes.begin());
  for (std::uint32_t p = 0; p < seen.view.process.index; ++p)
    before += processes[p].runtimes.size();
  Rank rank{&seen, std::move(*library), process.mpi, {static_cast<std::uint32_t>(before)}, {}};
  ranks_.push_back(std::move(rank));
  Rank& added = ranks_.back();  // calls point into its library's vector, which moves along
  Rules rules = seen.view.threads.rules;
  for (std::size_t i = 0; i < seen.view.core.threads.size(); ++i) {
    if (auto call = read_call(seen.view, added.library, rules, i))
      added.calls.push_back({i, std::move(*call)});
  }
}

const Shared* MpiLens::find_shared(const Rank& rank, const Communicator* communicator) const {
  for (const Shared& shared : shared_) {
    for (const Shared::Member& member : shared.members) {
      if (member.rank == &rank && member.communicator == communicator) return &shared;
    }
  }
  return nullptr;
}

EvidenceId MpiLens::call_evidence(const Rank& rank, const RankCall& of) {
  const View& view = rank.seen->view;
  Evidence evidence;
  evidence.claim = of.call.name + " is the outermost function of MPI on its stack";
  evidence.basis = Basis::call_site;
  evidence.thread = view.thread_id(of.core_thread);
  evidence.process = view.process;
  evidence.frame = rank.seen->merged(of.core_thread, of.call.frame);
  evidence.address = view.threads.pc_of(view.threads.walks[of.core_thread].frames[of.call.frame]);
  evidence.source = "symbols of " + clean_text(rank.library.module().name());
  return ledger_.add_evidence(std::move(evidence));
}

EvidenceId MpiLens::communicator_evidence(const Rank& rank, const RankCall& of, ResourceId id) {
  const Communicator& communicator = *of.call.communicator;
  Evidence evidence;
  const std::string what = ledger_.resource(id).label + " (rank " +
                           std::to_string(communicator.rank) + " of " +
                           std::to_string(communicator.size) + ")";
  evidence.claim = of.call.name == "MPI_Finalize" ? "MPI_Finalize is for every rank of " + what
                   : of.call.basis == Basis::call_site
                       ? "the registers of " + of.call.name + " hold the address of " + what
                       : "of all communicators, the frames below " + of.call.name + " hold " +
                             what + " the most often";
  evidence.basis = of.call.basis;
  evidence.thread = rank.seen->view.thread_id(of.core_thread);
  evidence.process = rank.process();
  evidence.resource = id;
  evidence.address = communicator.at;
  evidence.source = rank.library.source();
  return ledger_.add_evidence(std::move(evidence));
}

// "rank 1 of MPI_COMM_WORLD"; the rank in the job is added where it is another number.
std::string MpiLens::peer_text(const Call& call) const {
  const Request& request = *call.request;
  const Communicator& communicator = *call.communicator;
  if (request.peer < 0) return "any rank";
  std::string text = "rank " + std::to_string(request.peer);
  const auto index = static_cast<std::size_t>(request.peer);
  if (index < communicator.members.size() && communicator.members[index] != request.peer)
    text += " (rank " + std::to_string(communicator.members[index]) + " of the job)";
  return text;
}

EvidenceId MpiLens::request_evidence(const Rank& rank, const RankCall& of, ResourceId id) {
  const Request& request = *of.call.request;
  const std::string_view meaning = meaning_of_tag(request.tag);
  Evidence evidence;
  evidence.claim = std::string("its unfinished ") +
                   (request.receives ? "receive from " : "send to ") + peer_text(of.call) + " on " +
                   ledger_.resource(id).label +
                   (request.tag == -1 ? std::string(" has any tag")
                                      : " has tag " + std::to_string(request.tag)) +
                   (meaning.empty() ? "" : ", Open MPI's for " + std::string(meaning));
  evidence.basis = Basis::memory;
  evidence.thread = rank.seen->view.thread_id(of.core_thread);
  evidence.process = rank.process();
  evidence.resource = id;
  evidence.address = request.at;
  evidence.source =
      "mca_pml_base_request_t.req_comm, req_peer, req_tag; " + std::string(rank.library.source());
  return ledger_.add_evidence(std::move(evidence));
}

// The rank it waits for, when its core is here: a process, as any thread of it could send.
void MpiLens::wait_for_peer(const Rank& rank, const Call& call, Wait& wait) const {
  if (!call.request || call.request->peer < 0) return;
  const Shared* shared = find_shared(rank, call.communicator);
  if (shared == nullptr) return;
  for (const Shared::Member& member : shared->members) {
    if (member.communicator->rank == call.request->peer) wait.on = {member.rank->process()};
  }
}

void MpiLens::add_wait(const Rank& rank, const RankCall& of) {
  const ThreadId id = rank.seen->view.thread_id(of.core_thread);
  ThreadFact& thread = ledger_.thread(id);
  const Call& call = of.call;
  const Shared* shared = find_shared(rank, call.communicator);
  Wait wait;
  if (thread.wait) {  // asleep in the library: the physical wait stays where it is
    wait.at = thread.wait->at;
    wait.syscall_number = thread.wait->syscall_number;
    wait.syscall_name = thread.wait->syscall_name;
  }
  wait.kind = call.kind == CallKind::collective ? WaitKind::collective : WaitKind::io;
  wait.ends = Ends::never;
  wait.frame = rank.seen->merged(of.core_thread, call.frame);
  wait.confidence = Confidence::very_likely;
  wait.evidence.push_back(call_evidence(rank, of));
  if (shared != nullptr) {
    wait.confidence = std::min(Confidence::proved, ceiling_of(call.basis));
    wait.evidence.push_back(call.request ? request_evidence(rank, of, shared->resource)
                                         : communicator_evidence(rank, of, shared->resource));
    if (call.kind == CallKind::collective) wait.on = {shared->resource};
  }
  if (call.kind == CallKind::message) wait_for_peer(rank, call, wait);
  thread.state =
      thread.state == ThreadState::running ? ThreadState::spinning : ThreadState::blocked;
  // A receive that any rank may answer is how a server rests.
  if (call.request && call.request->peer < 0 && call.request->receives)
    thread.state = ThreadState::idle;
  ledger_.set_wait(id, std::move(wait));
}

void MpiLens::record(const Rank& rank, const RankCall& of) {
  const ThreadId id = rank.seen->view.thread_id(of.core_thread);
  ThreadFact& thread = ledger_.thread(id);
  if (thread.state == ThreadState::crashed) return;
  thread.api = Api{of.call.name, rank.runtime, "call_site", Confidence::very_likely};
  if (of.call.kind != CallKind::other && of.call.waiting) add_wait(rank, of);
}

// Whoever is in MPI_Finalize has none any more: there is nothing to miss.
void MpiLens::note_unknown_layouts() {
  std::map<std::string, std::vector<Ref>> unknown;
  for (const Rank& rank : ranks_) {
    const bool missed = std::ranges::any_of(rank.calls, [](const RankCall& of) {
      return of.call.waiting && of.call.kind != CallKind::other && of.call.name != "MPI_Finalize";
    });
    if (missed && !rank.library.fits()) unknown[name_of(rank.library)].emplace_back(rank.process());
  }
  for (auto& [name, about] : unknown) {
    ledger_.add_note("mpi-layout-unknown", Severity::info,
                     name +
                         " keeps its communicators otherwise than the versions measured: which "
                         "call a rank is in is read from its stack, on which communicator is not",
                     std::move(about));
  }
}

void MpiLens::note_cut() {
  std::vector<Ref> about;
  for (const Rank& rank : ranks_) {
    if (rank.library.cut()) about.emplace_back(rank.process());
  }
  if (about.empty()) return;
  ledger_.add_note("mpi-communicators-limit", Severity::warning,
                   "there are more communicators, or more members of them, than are looked at: "
                   "which ranks share one may not be told",
                   std::move(about));
}

// Jobs of which a rank waits in MPI and not all ranks are here.
void MpiLens::note_missing_ranks() {
  std::map<std::pair<std::string, std::int64_t>, Present> jobs;
  for (const Rank& rank : ranks_) {
    if (!rank.place || !rank.place->size) continue;
    Present& job = jobs[{rank.place->job, *rank.place->size}];
    job.ranks.insert(rank.place->rank);
    job.about.emplace_back(rank.process());
    job.wait = job.wait || std::ranges::any_of(rank.calls, [](const RankCall& of) {
                 return of.call.waiting && of.call.kind != CallKind::other;
               });
  }
  for (const auto& [key, job] : jobs) {
    if (job.wait) note_missing(key.second, job);
  }
}

void MpiLens::note_missing(std::int64_t size, const Present& job) {
  std::vector<std::int64_t> missing;  // the first of them
  std::string command = "coldcase analyze";
  for (std::int64_t r = 0; r < size && missing.size() < listed; ++r) {
    if (!job.ranks.contains(r)) missing.push_back(r);
    if (r < 3) command += " core.rank" + std::to_string(r);
  }
  if (missing.empty()) return;
  if (size > 3) command += " ...";
  const std::uint64_t count = static_cast<std::uint64_t>(size) - job.ranks.size();
  const bool one = count == 1;
  ledger_.add_note("mpi-ranks-missing", Severity::warning,
                   ranks_text({job.ranks.begin(), job.ranks.end()}, job.ranks.size()) + " of " +
                       std::to_string(size) + (job.ranks.size() == 1 ? " is" : " are") + " here; " +
                       ranks_text(missing, count) + (one ? " has" : " have") +
                       " no core here, and what " + (one ? "it does" : "they do") + " is not known",
                   job.about,
                   "take a core of every rank, as near together as can be, and give all of them "
                   "at once",
                   command);
}

// Open MPI catches SIGABRT, prints the stack and raises the signal again when its handler returns
// (opal/util/stacktrace.c, parameter opal_signal; seen with 4.1.4): a `kill -ABRT` from outside
// then reads as the process's own abort. Told by the stacks: who aborts is still inside abort or
// raise.
bool raised_again(const View& view) {
  const auto& signal = view.core.signal;
  constexpr int from_itself = -6;  // SI_TKILL
  if (view.core.writer != Writer::kernel || !signal || signal->number != 6 ||
      signal->code != from_itself)
    return false;
  for (std::size_t i = 0; i < view.core.threads.size(); ++i) {
    if (find_frame(view, i, 8,
                   {"abort", "raise", "gsignal", "pthread_kill", "kill", "GI_raise", "GI_abort"}))
      return false;
  }
  return true;
}

void settle_signal(const View& view, Ledger& ledger) {
  ProcessFact& process = ledger.facts.processes[view.process.index];
  if (process.dump_reason != DumpReason::signal || !process.signal || !raised_again(view)) return;
  process.dump_reason = DumpReason::snapshot;
  process.signal->from_outside.reset();
  process.signal->sender_pid.reset();
  ledger.add_note("signal-raised-again", Severity::info,
                  "Open MPI's signal handler caught SIGABRT and raised it again: the core does not "
                  "tell who sent it; no thread had called abort",
                  {view.process});
}

}  // namespace

void add_place(const View& view, Ledger& ledger) {
  const auto place = find_rank(view.core, view.image);
  const auto library = Library::find(view, place);
  if (!library) return;
  ProcessFact& process = ledger.facts.processes[view.process.index];
  process.mpi = place;
  if (const Communicator* world = library->find_world();
      !place && world != nullptr && library->fits())
    process.mpi = MpiFact{world->rank, world->size, find_job(view.core, view.image)};
  RuntimeFact fact;
  fact.kind = "mpi";
  fact.version = library->version();
  fact.module = view.module_id(&library->module());
  fact.details = library->implementation() == Implementation::open_mpi ? "Open MPI" : "MPICH";
  process.runtimes.push_back(std::move(fact));
  if (library->implementation() == Implementation::open_mpi) settle_signal(view, ledger);
}

void look_at_mpi(const std::vector<std::unique_ptr<Seen>>& processes, Ledger& ledger) {
  MpiLens(processes, ledger).look();
}

}  // namespace coldcase::mpi
