// Ranks of an MPI job, hand-written: who is in which call on which communicator, and what is said.
#include <algorithm>

#include "diagnose/diagnose.hpp"
#include "diagnose/mpi_ranks.hpp"
#include "support/agreement.hpp"
#include "support/catch.hpp"
#include "support/incident.hpp"

namespace coldcase {
namespace {

using namespace test;

// One process and one thread for each rank, all in no call and running.
struct Job : Incident {
  std::vector<ThreadId> ranks;
  std::vector<ProcessId> processes;
  ResourceId world;

  explicit Job(std::int64_t here, std::int64_t size = -1, const std::string& name = "job") {
    if (size < 0) size = here;
    facts().processes.clear();
    for (std::int64_t r = 0; r < here; ++r) add_rank(r, size, name);
    world = communicator("MPI_COMM_WORLD", processes, size);
    if (size > here)
      facts().notes.push_back({"mpi-ranks-missing", Severity::warning, "x.", "", "", {}});
  }

  void add_rank(std::int64_t rank, std::int64_t size, const std::string& name) {
    ProcessFact process;
    process.pid = 100 + static_cast<std::int64_t>(facts().processes.size());
    process.dump_reason = DumpReason::snapshot;
    process.mpi = MpiFact{rank, size, name};
    facts().processes.push_back(process);
    processes.push_back({static_cast<std::uint32_t>(facts().processes.size() - 1)});
    const ThreadId id = thread("main");
    at(id).process = processes.back();
    Frame site = native_frame("work", "/src/app.c", 10 + static_cast<std::uint32_t>(rank));
    site.in_app = true;
    stack(id, {site}, 0);
    ranks.push_back(id);
  }

  ResourceId communicator(const std::string& label, const std::vector<ProcessId>& members,
                          std::int64_t size) {
    const ResourceId id = lock(label, WaitKind::collective, "MPI communicator");
    at(id).at.clear();
    for (const ProcessId process : members) at(id).at.push_back({process, Addr{0x1000}});
    at(id).state = LockState::waiting;
    at(id).words = {{"size", Addr{}, static_cast<std::uint64_t>(size), ""}};
    return id;
  }

  Job& traffic(ResourceId of, std::uint64_t count) {
    at(of).words.push_back({"messages under way", Addr{}, count, ""});
    return *this;
  }

  Job& enters(std::size_t rank, const std::string& call, ResourceId on, WaitPlan plan = {}) {
    waits(ranks[rank], on, plan);
    return in(rank, call);
  }

  Job& in(std::size_t rank, const std::string& call) {
    at(ranks[rank]).api = Api{call, {}, "call_site", Confidence::very_likely};
    at(ranks[rank]).state = ThreadState::spinning;
    return *this;
  }

  // `peer` < 0: it could be any rank.
  Job& receives(std::size_t rank, int peer) {
    Wait wait;
    wait.kind = WaitKind::io;
    wait.ends = Ends::never;
    wait.confidence = Confidence::proved;
    if (peer >= 0) wait.on = {processes[static_cast<std::size_t>(peer)]};
    at(ranks[rank]).wait = wait;
    in(rank, "MPI_Recv");
    if (peer < 0) at(ranks[rank]).state = ThreadState::idle;
    return *this;
  }
};

Analysis diagnosed(const Job& job) {
  Analysis analysis = job.analysis;
  settle_waits(analysis.facts);
  diagnose(analysis);
  CHECK(disagreements(analysis) == std::vector<std::string>{});
  CHECK(analysis.verdict.headline.size() <= 120);
  for (const Finding& finding : analysis.findings) {
    CAPTURE(finding.pattern, finding.headline);
    CHECK(finding.headline.size() <= 120);
    CHECK_FALSE(finding.story.empty());
    CHECK_FALSE(finding.advice.empty());
    CHECK(finding.summary.size() <= 5);
    for (const Edge& edge : finding.path) CHECK(edge.confidence >= finding.confidence);
    for (std::size_t i = 0; finding.cyclic && i < finding.path.size(); ++i)
      CHECK(finding.path[i].to == finding.path[(i + 1) % finding.path.size()].from);
  }
  return analysis;
}

std::string told(const Finding& finding) {
  std::string text;
  for (const StoryLine& line : finding.story) text += line.text + "\n";
  for (const Advice& advice : finding.advice) text += advice.text + "\n";
  return text;
}

bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

const Finding& only(const Analysis& analysis, std::string_view pattern) {
  REQUIRE(analysis.findings.size() == 1);
  CHECK(analysis.findings.front().pattern == pattern);
  return analysis.findings.front();
}

TEST_CASE("two ranks in different collectives", "[mpi]") {
  Job job(2);
  job.enters(0, "MPI_Bcast", job.world).enters(1, "MPI_Allreduce", job.world);
  SECTION("with nothing on its way it is proved") {
    job.traffic(job.world, 0);
    const Analysis analysis = diagnosed(job);
    const Finding& finding = only(analysis, "collective-mismatch");
    CHECK(analysis.verdict.kind == VerdictKind::deadlock);
    CHECK(finding.confidence == Confidence::proved);
    CHECK(finding.headline ==
          "Rank 0 is in MPI_Bcast while rank 1 is in MPI_Allreduce, on MPI_COMM_WORLD");
    CHECK(finding.cyclic);
    CHECK(finding.path.size() == 4);
    CHECK(finding.threads == job.ranks);
    CHECK(contains(told(finding), "work at app.c:10"));
    CHECK(contains(told(finding), "work at app.c:11"));
    CHECK(finding.signature);
    CHECK(analysis.facts.threads[0].tag == Tag::deadlocked);
  }
  SECTION("a broadcast's root leaves early: without the counters it is likely only") {
    CHECK(only(diagnosed(job), "collective-mismatch").confidence == Confidence::likely);
  }
  SECTION("messages under way: of different moments") {
    job.traffic(job.world, 3);
    const Analysis analysis = diagnosed(job);
    CHECK(analysis.verdict.kind == VerdictKind::inconclusive);
    CHECK(only(analysis, "collective-mismatch").confidence == Confidence::hypothesis);
    CHECK(contains(told(analysis.findings.front()), "different moments"));
  }
}

TEST_CASE("calls that nobody leaves before all are there", "[mpi]") {
  Job job(2, 4);  // ranks 2 and 3 have no core
  job.enters(0, "MPI_Barrier", job.world).enters(1, "MPI_Allreduce", job.world);
  const Analysis analysis = diagnosed(job);
  const Finding& finding = only(analysis, "collective-mismatch");
  CHECK(finding.confidence == Confidence::likely);  // of which moments the cores are is not known
  CHECK(contains(told(finding), "Ranks 2 and 3 have no core here"));
}

TEST_CASE("a rank that may have left early, and ranks that were not dumped", "[mpi]") {
  Job job(2, 4);
  job.traffic(job.world, 0);
  job.enters(0, "MPI_Bcast", job.world).enters(1, "MPI_Allreduce", job.world);
  const Analysis analysis = diagnosed(job);
  CHECK(analysis.verdict.kind == VerdictKind::inconclusive);
  CHECK(only(analysis, "collective-mismatch").confidence == Confidence::hypothesis);
}

TEST_CASE("all ranks in one call are on their way", "[mpi]") {
  Job job(3);
  for (std::size_t r = 0; r < 3; ++r) job.enters(r, "MPI_Barrier", job.world);
  const Analysis analysis = diagnosed(job);
  CHECK(analysis.findings.empty());
  CHECK(analysis.verdict.kind == VerdictKind::none);
}

TEST_CASE("ranks that wait for one that runs are healthy", "[mpi]") {
  Job job(4);
  for (const std::size_t r : {0u, 1u, 3u}) job.enters(r, "MPI_Barrier", job.world);
  SECTION("one thread") {
    const Analysis analysis = diagnosed(job);
    const Finding& finding = only(analysis, "collective-wait");
    CHECK(analysis.verdict.kind == VerdictKind::none);
    CHECK(finding.kind == FindingKind::info);
    CHECK(contains(finding.headline, "Ranks 0, 1 and 3 wait in MPI_Barrier for rank 2"));
    CHECK(contains(finding.headline, "app.c:12"));
    for (const ThreadFact& thread : analysis.facts.threads) CHECK(thread.tag != Tag::deadlocked);
  }
  SECTION("its main thread waits for a message, and a worker runs") {
    job.receives(2, 0);
    const ThreadId worker = job.thread("worker", ThreadState::running);
    job.at(worker).process = job.processes[2];
    CHECK(diagnosed(job).verdict.kind == VerdictKind::none);
  }
  SECTION("it crashed: that is the story, not this") {
    job.facts().processes[2].dump_reason = DumpReason::signal;
    job.at(job.ranks[2]).state = ThreadState::crashed;
    for (const Finding& finding : diagnosed(job).findings)
      CHECK(finding.pattern != "collective-mismatch");
  }
}

TEST_CASE("the odd one out of four", "[mpi]") {
  Job job(4);
  job.traffic(job.world, 0);
  for (const std::size_t r : {0u, 1u, 3u}) job.enters(r, "MPI_Allreduce", job.world);
  job.enters(2, "MPI_Barrier", job.world);
  const Analysis analysis = diagnosed(job);
  const Finding& finding = only(analysis, "collective-mismatch");
  CHECK(contains(finding.headline, "Rank 2 is in MPI_Barrier while ranks 0, 1 and 3 are in"));
  CHECK(contains(told(finding), "Find why rank 2 came to work at app.c:12"));
  REQUIRE(finding.location);
  CHECK(finding.location->line == 12u);
  CHECK(finding.threads.size() == 4);
}

TEST_CASE("ranks behind a knot are not part of it", "[mpi]") {
  Job job(4);
  const ResourceId half =
      job.communicator("communicator \"solvers\"", {job.processes[0], job.processes[2]}, 2);
  job.traffic(job.world, 0).traffic(half, 0);
  job.enters(0, "MPI_Allgather", half).enters(2, "MPI_Allreduce", half);
  job.enters(1, "MPI_Barrier", job.world).enters(3, "MPI_Barrier", job.world);
  const Analysis analysis = diagnosed(job);
  const Finding& finding = only(analysis, "collective-mismatch");
  CHECK(finding.threads == std::vector<ThreadId>{job.ranks[0], job.ranks[2]});
  CHECK(finding.resources == std::vector<ResourceId>{half});
  CHECK(contains(told(finding), "Ranks 1 and 3 wait in MPI too"));
}

TEST_CASE("two communicators entered in different orders", "[mpi]") {
  Job job(2);
  const ResourceId left = job.communicator("communicator 3 of 2 ranks", job.processes, 2);
  const ResourceId right = job.communicator("communicator 4 of 2 ranks", job.processes, 2);
  job.traffic(left, 0).traffic(right, 0);
  job.enters(0, "MPI_Barrier", left).enters(1, "MPI_Barrier", right);
  const Analysis analysis = diagnosed(job);
  const Finding& finding = only(analysis, "collective-mismatch");
  CHECK(finding.confidence == Confidence::proved);
  CHECK(finding.cyclic);
  CHECK(finding.resources.size() == 2);
}

TEST_CASE("a rank that never enters", "[mpi]") {
  Job job(3);
  job.enters(0, "MPI_Barrier", job.world).enters(2, "MPI_Barrier", job.world);
  SECTION("it waits for a message of one that waits for it") {
    job.traffic(job.world, 0).receives(1, 0);
    const Analysis analysis = diagnosed(job);
    const Finding& finding = only(analysis, "collective-mismatch");
    CHECK(finding.headline == "Rank 1, in MPI_Recv, keeps ranks 0 and 2 waiting in MPI_Barrier");
    CHECK(finding.confidence == Confidence::proved);
    CHECK(finding.cyclic);
  }
  SECTION("it waits for a message of anybody: whose is not known") {
    job.receives(1, -1);
    CHECK(only(diagnosed(job), "collective-mismatch").confidence == Confidence::likely);
  }
  SECTION("it is blocked by a lock") {
    const ResourceId lock = job.lock("mutex m");
    job.waits(job.ranks[1], lock);
    const Analysis analysis = diagnosed(job);
    const Finding& finding = only(analysis, "collective-mismatch");
    CHECK(finding.confidence == Confidence::likely);
    CHECK_FALSE(finding.cyclic);
    CHECK(contains(told(finding), "waits for mutex m"));
  }
  SECTION("it sleeps or reads a file: that can end") {
    Wait wait;
    wait.kind = WaitKind::io;
    job.at(job.ranks[1]).wait = wait;
    job.at(job.ranks[1]).state = ThreadState::idle;
    CHECK(diagnosed(job).verdict.kind == VerdictKind::none);
  }
  SECTION("it is in MPI_Finalize, where its communicators are gone") {
    Wait wait;
    wait.kind = WaitKind::collective;
    wait.ends = Ends::never;
    wait.confidence = Confidence::very_likely;
    job.at(job.ranks[1]).wait = wait;
    job.in(1, "MPI_Finalize");
    job.at(job.world).at.erase(job.at(job.world).at.begin() + 1);
    CHECK(only(diagnosed(job.traffic(job.world, 0)), "collective-mismatch").confidence ==
          Confidence::very_likely);
  }
}

TEST_CASE("communicators that could not be read", "[mpi]") {
  for (const std::int64_t size : {2, 3}) {
    CAPTURE(size);
    Job job(size);
    for (std::size_t r = 0; r < job.ranks.size(); ++r) {
      Wait wait;
      wait.kind = WaitKind::collective;
      wait.ends = Ends::never;
      wait.confidence = Confidence::very_likely;
      job.at(job.ranks[r]).wait = wait;
      job.in(r, r == 0 ? "MPI_Barrier" : "MPI_Allgather");
    }
    // Of three, two may be in one communicator's call and the third in another's.
    CHECK(only(diagnosed(job), "collective-mismatch").confidence ==
          (size == 2 ? Confidence::likely : Confidence::hypothesis));
  }
}

TEST_CASE("ranks of different jobs are no mismatch", "[mpi]") {
  Job job(1, 2, "one");
  job.add_rank(1, 2, "other");
  job.enters(0, "MPI_Barrier", job.world);
  const ResourceId other = job.communicator("MPI_COMM_WORLD", {job.processes[1]}, 2);
  job.enters(1, "MPI_Allreduce", other);
  const Analysis analysis = diagnosed(job);
  CHECK(analysis.findings.empty());
  CHECK(analysis.verdict.kind == VerdictKind::inconclusive);
}

TEST_CASE("one rank alone tells nothing", "[mpi]") {
  Job job(1, 2);
  job.enters(0, "MPI_Barrier", job.world);
  const Analysis analysis = diagnosed(job);
  CHECK(analysis.findings.empty());
  CHECK(analysis.verdict.kind == VerdictKind::inconclusive);
  CHECK(contains(analysis.verdict.headline, "other ranks"));
}

TEST_CASE("messages in a ring", "[mpi]") {
  Job job(3);
  SECTION("each waits for the next") {
    job.receives(0, 1).receives(1, 2).receives(2, 0);
    const Analysis analysis = diagnosed(job);
    const Finding& finding = only(analysis, "message-cycle");
    CHECK(analysis.verdict.kind == VerdictKind::deadlock);
    CHECK(finding.confidence == Confidence::likely);
    CHECK(finding.cyclic);
    CHECK(finding.path.size() == 6);
  }
  SECTION("a server that waits for anybody, and a worker that runs") {
    job.receives(0, -1).receives(1, 0);
    const Analysis analysis = diagnosed(job);
    CHECK(analysis.findings.empty());
    CHECK(analysis.verdict.kind == VerdictKind::none);
  }
  SECTION("all wait for anybody: no cause can be named") {
    job.receives(0, -1).receives(1, -1).receives(2, -1);
    const Analysis analysis = diagnosed(job);
    CHECK(analysis.findings.empty());
    CHECK(analysis.verdict.kind == VerdictKind::inconclusive);
  }
}

TEST_CASE("many ranks cost little", "[mpi]") {
  Job job(300);
  job.traffic(job.world, 0);
  for (std::size_t r = 0; r < 300; ++r)
    job.enters(r, r == 7 ? "MPI_Barrier" : "MPI_Allreduce", job.world);
  const Analysis analysis = diagnosed(job);
  const Finding& finding = only(analysis, "collective-mismatch");
  CHECK(finding.threads.size() == 300);
  CHECK(finding.path.size() == 4);
  CHECK(contains(finding.headline, "Rank 7 is in MPI_Barrier"));
}

TEST_CASE("ranks in words", "[mpi]") {
  CHECK(ranks_text({3}) == "rank 3");
  CHECK(ranks_text({0, 2}) == "ranks 0 and 2");
  CHECK(ranks_text({0, 1, 2, 3, 4, 5, 6, 7, 8, 9}) == "ranks 0, 1, 2, 3, 4, 5, 6, 7 and 2 more");
}

}  // namespace
}  // namespace coldcase
