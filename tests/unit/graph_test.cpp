// Rings among hand-written waits and holds, and who is held up behind them.
#include "waits/graph.hpp"

#include <algorithm>
#include <map>
#include <set>

#include "support/catch.hpp"
#include "support/incident.hpp"

namespace coldcase {
namespace {

using namespace test;

std::vector<std::uint32_t> threads_of(const Ring& ring) {
  std::vector<std::uint32_t> threads;
  for (const RingStep& step : ring.steps) threads.push_back(step.thread.index);
  return threads;
}

std::vector<std::vector<std::uint32_t>> rings_of(const Facts& facts) {
  std::vector<std::vector<std::uint32_t>> all;
  for (const Ring& ring : find_rings(facts)) all.push_back(threads_of(ring));
  return all;
}

// Each step's resource is waited for by its thread and owned, by the claim it names, by the next.
bool holds_together(const Facts& facts, const Ring& ring) {
  for (std::size_t i = 0; i < ring.steps.size(); ++i) {
    const RingStep& step = ring.steps[i];
    const Ref next = ring.steps[(i + 1) % ring.steps.size()].thread;
    const Wait& wait = *facts.threads[step.thread.index].wait;
    if (!step.resource.known()) {
      if (wait.on.front() != next) return false;
      continue;
    }
    if (wait.on.front() != Ref(step.resource)) return false;
    if (facts.resources[step.resource.index].owners.at(step.owner).by != next) return false;
  }
  return true;
}

using Lists = std::vector<std::vector<std::uint32_t>>;

TEST_CASE("rings of one, two and five", "[graph]") {
  const std::size_t n = GENERATE(1u, 2u, 5u);
  Incident incident;
  incident.thread("bystander");
  incident.ring(n);
  const std::vector<Ring> rings = find_rings(incident.facts());
  REQUIRE(rings.size() == 1);
  CHECK(rings[0].steps.size() == n);
  CHECK(rings[0].steps[0].thread == ThreadId{1});  // begins with its lowest thread
  CHECK(rings[0].confidence == Confidence::proved);
  CHECK(holds_together(incident.facts(), rings[0]));
  CHECK(rings[0].contains(ThreadId{1}));
  CHECK_FALSE(rings[0].contains(ThreadId{0}));
}

TEST_CASE("nothing waits, nothing rings", "[graph]") {
  CHECK(find_rings(Facts{}).empty());
  Incident incident;
  const ThreadId a = incident.thread("a"), b = incident.thread("b");
  const ResourceId x = incident.lock("x");
  incident.holds(a, x).waits(b, x);
  CHECK(find_rings(incident.facts()).empty());
}

TEST_CASE("a chain that ends is no ring", "[graph]") {
  Incident incident;
  const std::vector<ThreadId> ring = incident.ring(3);
  incident.at(ring[2]).wait.reset();  // the last one runs
  CHECK(find_rings(incident.facts()).empty());
}

TEST_CASE("a lock without a known owner ends the chain", "[graph]") {
  Incident incident;
  incident.ring(2);
  incident.facts().resources[1].owners.clear();
  CHECK(find_rings(incident.facts()).empty());
}

TEST_CASE("an owner in a process that has no core ends the chain", "[graph]") {
  Incident incident;
  incident.ring(2);
  ProcessFact absent;
  absent.captured = false;
  incident.facts().processes.push_back(absent);
  incident.facts().resources[1].owners[0].by = ProcessId{1};
  CHECK(find_rings(incident.facts()).empty());
}

TEST_CASE("joins are edges: two threads that wait for each other's end", "[graph]") {
  Incident incident;
  const ThreadId a = incident.thread("a"), b = incident.thread("b");
  incident.joins(a, b).joins(b, a);
  const std::vector<Ring> rings = find_rings(incident.facts());
  REQUIRE(rings.size() == 1);
  CHECK(rings[0].steps.size() == 2);
  CHECK_FALSE(rings[0].steps[0].resource.known());
  CHECK(holds_together(incident.facts(), rings[0]));
}

TEST_CASE("a join and a lock make a ring", "[graph]") {
  Incident incident;
  const ThreadId a = incident.thread("a"), b = incident.thread("b");
  const ResourceId x = incident.lock("x");
  incident.holds(a, x).joins(a, b).waits(b, x);
  const std::vector<Ring> rings = find_rings(incident.facts());
  REQUIRE(rings.size() == 1);
  CHECK(holds_together(incident.facts(), rings[0]));
  CHECK_FALSE(rings[0].steps[0].resource.known());
  CHECK(rings[0].steps[1].resource == x);
}

TEST_CASE("two rings apart from each other", "[graph]") {
  Incident incident;
  incident.ring(2);
  incident.ring(3);
  CHECK(rings_of(incident.facts()) == Lists{{0, 1}, {2, 3, 4}});
}

// A writer waits for a lock that two readers hold, and each of them waits for the writer.
TEST_CASE("two rings that share a thread", "[graph]") {
  Incident incident;
  const ThreadId writer = incident.thread("writer");
  const ThreadId one = incident.thread("one"), two = incident.thread("two");
  const ResourceId table = incident.lock("table", WaitKind::rwlock, "pthread_rwlock_t");
  const ResourceId log = incident.lock("log");
  incident.holds(one, table).holds(two, table).holds(writer, log);
  incident.waits(writer, table).waits(one, log).waits(two, log);
  const std::vector<Ring> rings = find_rings(incident.facts());
  REQUIRE(rings.size() == 2);
  CHECK(rings_of(incident.facts()) == Lists{{0, 1}, {0, 2}});
  CHECK(rings[0].steps[0].owner == 0);
  CHECK(rings[1].steps[0].owner == 1);
  for (const Ring& ring : rings) CHECK(holds_together(incident.facts(), ring));
}

// As above, but the readers wait for a lock in between: the rings share two threads.
Incident parting_and_meeting(Confidence first_reader) {
  Incident incident;
  const ThreadId writer = incident.thread("writer");
  const ThreadId one = incident.thread("one"), two = incident.thread("two");
  const ThreadId meeting = incident.thread("meeting");
  const ResourceId table = incident.lock("table", WaitKind::rwlock, "pthread_rwlock_t");
  const ResourceId log = incident.lock("log"), index = incident.lock("index");
  incident.holds(one, table, {.confidence = first_reader}).holds(two, table);
  incident.holds(meeting, log).holds(writer, index);
  incident.waits(writer, table).waits(one, log).waits(two, log).waits(meeting, index);
  return incident;
}

TEST_CASE("two rings that part and meet again are both found", "[graph]") {
  Incident incident = parting_and_meeting(Confidence::proved);
  CHECK(rings_of(incident.facts()) == Lists{{0, 1, 3}, {0, 2, 3}});
}

TEST_CASE("a guessed ring does not hide a proved one", "[graph]") {
  Incident incident = parting_and_meeting(Confidence::hypothesis);
  const std::vector<Ring> rings = find_rings(incident.facts());
  REQUIRE_FALSE(rings.empty());
  CHECK(rings[0].confidence == Confidence::proved);
}

TEST_CASE("a wait with a timeout breaks the ring", "[graph]") {
  const std::size_t timed = GENERATE(0u, 1u, 2u);
  Incident incident;
  const std::vector<ThreadId> ring = incident.ring(3);
  incident.at(ring[timed]).wait->ends = Ends::timeout;
  CHECK(find_rings(incident.facts()).empty());
}

TEST_CASE("the GIL's polling does not break the ring", "[graph]") {
  Incident incident;
  const std::vector<ThreadId> ring = incident.ring(2);
  incident.at(ring[1]).wait->ends = Ends::poll_retry;
  CHECK(find_rings(incident.facts()).size() == 1);
}

TEST_CASE("a wait of unknown end counts as endless", "[graph]") {
  Incident incident;
  const std::vector<ThreadId> ring = incident.ring(2);
  incident.at(ring[1]).wait->ends.reset();
  CHECK(find_rings(incident.facts()).size() == 1);
}

TEST_CASE("a wait that any of several things would end is no edge", "[graph]") {
  Incident incident;
  const std::vector<ThreadId> ring = incident.ring(2);
  const ResourceId other = incident.lock("other");
  incident.at(ring[0]).wait->on.push_back(other);
  CHECK(find_rings(incident.facts()).empty());
  incident.at(ring[0]).wait->on.clear();
  CHECK(find_rings(incident.facts()).empty());
}

TEST_CASE("a ring is as sure as its weakest edge", "[graph]") {
  const Confidence weakest =
      GENERATE(Confidence::hypothesis, Confidence::likely, Confidence::very_likely);
  const bool in_wait = GENERATE(true, false);
  Incident incident;
  const std::vector<ThreadId> ring = incident.ring(3);
  if (in_wait) {
    incident.at(ring[1]).wait->confidence = weakest;
  } else {
    incident.facts().resources[1].owners[0].confidence = weakest;
  }
  const std::vector<Ring> rings = find_rings(incident.facts());
  REQUIRE(rings.size() == 1);
  CHECK(rings[0].confidence == weakest);
}

TEST_CASE("the surest ring comes first, then the lowest thread", "[graph]") {
  Incident incident;
  const std::vector<ThreadId> weak = incident.ring(2);
  incident.ring(2);
  incident.ring(2);
  incident.at(weak[0]).wait->confidence = Confidence::likely;
  CHECK(rings_of(incident.facts()) == Lists{{2, 3}, {4, 5}, {0, 1}});
}

TEST_CASE("a long ring is found whole", "[graph]") {
  Incident incident;
  incident.ring(500);
  const std::vector<Ring> rings = find_rings(incident.facts());
  REQUIRE(rings.size() == 1);
  CHECK(rings[0].steps.size() == 500);
}

TEST_CASE("who waits behind a ring, near and far", "[graph]") {
  Incident incident;
  // Given in the wrong order, so that one pass over the threads is not enough.
  const ThreadId far = incident.thread("far"), near = incident.thread("near");
  const ThreadId timed = incident.thread("timed"), free = incident.thread("free");
  const std::vector<ThreadId> ring = incident.ring(2);
  const ResourceId of_near = incident.lock("of near"), of_far = incident.lock("of far");
  incident.holds(near, of_near).holds(far, of_far);
  incident.joins(near, ring[0]).waits(far, of_near);
  incident.waits(timed, of_near, {.ends = Ends::timeout});
  (void)free;
  CHECK(find_behind(incident.facts(), ring) == std::vector<ThreadId>{far, near});
  CHECK(find_behind(incident.facts(), {}).empty());
  CHECK(find_behind(incident.facts(), {near}) == std::vector<ThreadId>{far});
}

TEST_CASE("a ring's own threads are not behind it", "[graph]") {
  Incident incident;
  const std::vector<ThreadId> ring = incident.ring(3);
  CHECK(find_behind(incident.facts(), ring).empty());
  CHECK(find_behind(incident.facts(), {ring[0]}) == std::vector<ThreadId>{ring[1], ring[2]});
}

TEST_CASE("settling sorts both sides and drops what is said twice", "[graph]") {
  Incident incident;
  const ThreadId a = incident.thread("a"), b = incident.thread("b");
  const ResourceId x = incident.lock("x"), y = incident.lock("y");
  incident.holds(b, x).holds(a, x).holds(a, y);
  std::ranges::reverse(incident.at(a).holds);
  incident.at(x).waiters = {b, a, b};
  incident.at(x).owner_unknown_code = "no-owner-field";
  incident.at(x).owner_unknown_text = "the lock keeps no owner";
  const ResourceId z = incident.lock("z");
  incident.at(z).owner_unknown_code = "no-owner-field";
  settle_waits(incident.facts());
  CHECK(incident.at(x).waiters == std::vector<Ref>{a, b});
  CHECK(incident.at(x).owners[0].by == Ref(a));
  CHECK(incident.at(x).owners[1].by == Ref(b));
  CHECK(incident.at(x).owner_unknown_code.empty());
  CHECK(incident.at(x).owner_unknown_text.empty());
  CHECK(incident.at(z).owner_unknown_code == "no-owner-field");
  CHECK(incident.at(a).holds[0].resource == x);
  CHECK(incident.at(a).holds[1].resource == y);
}

// The same facts with the threads in another order: new index = order[old index].
Facts permuted(const Facts& facts, const std::vector<std::uint32_t>& order) {
  Facts other = facts;
  const auto moved = [&](Ref ref) {
    const ThreadId id = ref.as<RefKind::thread>();
    return id.known() ? Ref(ThreadId{order[id.index]}) : ref;
  };
  for (std::uint32_t i = 0; i < order.size(); ++i) {
    ThreadFact& thread = other.threads[order[i]] = facts.threads[i];
    if (!thread.wait) continue;
    for (Ref& on : thread.wait->on) on = moved(on);
  }
  for (ResourceFact& resource : other.resources) {
    for (Owner& owner : resource.owners) owner.by = moved(owner.by);
    for (Ref& waiter : resource.waiters) waiter = moved(waiter);
  }
  settle_waits(other);
  return other;
}

// A ring as the names of its threads from the smallest on, whatever their numbers.
std::vector<std::string> named(const Facts& facts, const Ring& ring) {
  std::vector<std::string> names;
  for (const RingStep& step : ring.steps) names.push_back(facts.threads[step.thread.index].name);
  std::ranges::rotate(names, std::ranges::min_element(names));
  return names;
}

TEST_CASE("the order of the threads changes no ring", "[graph]") {
  Incident incident;
  const std::vector<ThreadId> three = incident.ring(3);
  incident.at(three[0]).wait->confidence = Confidence::likely;
  const ThreadId reader = incident.thread("reader"), writer = incident.thread("writer");
  const ThreadId behind = incident.thread("behind");
  const ResourceId table = incident.lock("table", WaitKind::rwlock, "pthread_rwlock_t");
  const ResourceId log = incident.lock("log");
  incident.holds(reader, table).holds(three[0], table).holds(writer, log);
  incident.waits(writer, table).waits(reader, log).joins(behind, three[1]);
  settle_waits(incident.facts());
  const auto picture = [](const Facts& facts) {
    std::multiset<std::pair<std::vector<std::string>, Confidence>> rings;
    std::vector<ThreadId> all;
    for (const Ring& ring : find_rings(facts)) {
      rings.insert({named(facts, ring), ring.confidence});
      for (const RingStep& step : ring.steps) all.push_back(step.thread);
    }
    std::set<std::string> later;
    for (const ThreadId id : find_behind(facts, all)) later.insert(facts.threads[id.index].name);
    return std::pair(rings, later);
  };
  const auto expected = picture(incident.facts());
  REQUIRE(expected.first.size() == 2);
  CHECK(expected.second == std::set<std::string>{"behind"});
  std::vector<std::uint32_t> order = {0, 1, 2, 3, 4, 5};
  do {
    const Facts other = permuted(incident.facts(), order);
    const std::vector<Ring> rings = find_rings(other);
    bool sorted = true;
    for (std::size_t i = 1; i < rings.size(); ++i)
      sorted = sorted && rings[i].confidence <= rings[i - 1].confidence;
    for (const Ring& ring : rings) sorted = sorted && holds_together(other, ring);
    if (picture(other) != expected || !sorted) {
      CAPTURE(order);
      FAIL("another order, another picture");
    }
  } while (std::ranges::next_permutation(order).found);
}

TEST_CASE("the same facts give the same rings twice", "[graph]") {
  Incident incident;
  incident.ring(2);
  incident.ring(4);
  CHECK(rings_of(incident.facts()) == rings_of(incident.facts()));
}

// ---- who can never go on

TEST_CASE("all of a wait's objects have to be out of reach", "[graph]") {
  Incident incident;
  const auto ring = incident.ring(2);
  const ThreadId waiter = incident.thread("waiter"), runs = incident.thread("runs");
  const ResourceId free = incident.lock("held by one that runs");
  incident.holds(runs, free).waits(waiter, ResourceId{0});
  CHECK(find_stuck(incident.facts())[waiter.index]);
  incident.at(waiter).wait->on.push_back(free);
  const std::vector<bool> stuck = find_stuck(incident.facts());
  CHECK_FALSE(stuck[waiter.index]);
  CHECK(stuck[ring[0].index]);
  CHECK_FALSE(stuck[runs.index]);
}

TEST_CASE("a condition's waiter needs its mutex as well", "[graph]") {
  Incident incident;
  incident.ring(2);
  const ThreadId waiter = incident.thread("waiter");
  const ResourceId signal = incident.lock("condition", WaitKind::condition, "pthread_cond_t");
  incident.waits(waiter, signal);
  CHECK_FALSE(find_stuck(incident.facts())[waiter.index]);
  incident.at(waiter).wait->then = ResourceId{0};
  CHECK(find_stuck(incident.facts())[waiter.index]);
}

TEST_CASE("every feeder has to be stuck, and none is the only one for sure", "[graph]") {
  Incident incident;
  const ThreadId reader = incident.thread("reader"), writer = incident.thread("writer");
  const ThreadId other = incident.thread("other");
  const ResourceId pipe = incident.lock("pipe", WaitKind::pipe, "");
  incident.waits(reader, pipe).joins(writer, reader);
  const auto feeds = [&](ThreadId id) {
    incident.at(pipe).feeders.push_back(
        {id, std::nullopt, Confidence::proved, Basis::side_car, {}});
  };
  feeds(writer);
  const std::vector<Ring> rings = find_rings(incident.facts());
  REQUIRE(rings.size() == 1);
  CHECK(rings[0].steps[0].fed);
  CHECK(rings[0].confidence == Confidence::very_likely);
  feeds(other);  // which runs
  CHECK(find_rings(incident.facts()).empty());
}

TEST_CASE("any holder of a counting semaphore may release it", "[graph]") {
  Incident incident;
  const auto ring = incident.ring(2);
  const ThreadId waiter = incident.thread("waiter"), runs = incident.thread("runs");
  const WaitKind kind = GENERATE(WaitKind::semaphore, WaitKind::rwlock);
  const ResourceId shared = incident.lock("shared", kind, "");
  incident.holds(ring[0], shared).holds(runs, shared).waits(waiter, shared);
  CHECK(find_stuck(incident.facts())[waiter.index] == (kind == WaitKind::rwlock));
}

TEST_CASE("a root blocks when anyone behind it holds what others want", "[graph]") {
  Incident incident;
  const ThreadId root = incident.thread("root"), holder = incident.thread("holder");
  const ThreadId waiter = incident.thread("waiter");
  const ResourceId lock = incident.lock("lock");
  incident.joins(holder, root);
  CHECK_FALSE(find_roots(incident.facts()).at(0).blocks);
  incident.holds(holder, lock).waits(waiter, lock);
  const std::vector<Root> roots = find_roots(incident.facts());
  REQUIRE(roots.size() == 1);
  CHECK(roots[0].thread == root);
  CHECK(roots[0].behind == std::vector<ThreadId>{holder, waiter});
  CHECK(roots[0].blocks);
  CHECK_FALSE(roots[0].holds);
}

}  // namespace
}  // namespace coldcase
