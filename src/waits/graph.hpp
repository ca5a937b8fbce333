// Who waits for whom: the graph over threads, resources and processes; which threads can never go
// on, the rings among them, and who is held up behind whom.
#pragma once

#include <coldcase/facts.hpp>
#include <vector>

namespace coldcase {

// One step of a ring: the thread waits for the resource, which the next thread of the ring holds or
// would feed; or, with no resource, it waits for the next thread's (or its process's) end.
struct RingStep {
  ThreadId thread;
  ResourceId resource;
  std::size_t owner = 0;  // index into the resource's owners, or feeders: the claim about the next
  bool fed = false;       // feeders
  ProcessId process;      // the claim, or the wait, names this process: the next thread is its
  friend bool operator==(const RingStep&, const RingStep&) = default;
};

// Threads in a ring, each waiting for what the next holds; a ring of one waits for itself. Begins
// with its lowest thread.
struct Ring {
  std::vector<RingStep> steps;
  Confidence confidence = Confidence::hypothesis;  // of its weakest edge
  bool contains(ThreadId thread) const;
};

// By thread: can never go on. A wait on several objects ends with any one of them, so all of them
// have to be out of reach; a condition's waiter needs its mutex as well, so either is enough. A
// thread whose wait a timeout ends, or whose holder or feeder is not known, can go on.
std::vector<bool> find_stuck(const Facts& facts);

// All rings among the stuck threads. Sorted: the surest first, then by thread.
// `cut` tells that the search ended at its limit: there may be more.
std::vector<Ring> find_rings(const Facts& facts, bool* cut = nullptr);

// Threads that wait, directly or through others, for a thread of the set; without the set itself.
std::vector<ThreadId> find_behind(const Facts& facts, const std::vector<ThreadId>& set);

// One way on from a waiting thread.
struct Way {
  ThreadId thread;
  RingStep step;
  Confidence confidence = Confidence::hypothesis;
};
// Empty for a thread that waits for nobody known, or with a timeout.
std::vector<Way> ways_on(const Facts& facts, ThreadId from);

// A thread that waits for no other thread and that others wait for, most of them first.
struct Root {
  ThreadId thread;
  std::vector<ThreadId> behind;
  bool holds = false;   // one of them waits for a lock it holds, not for its end alone
  bool blocks = false;  // as `holds`, or one of those behind it holds a lock that others want
  Confidence confidence = Confidence::hypothesis;  // of the surest way to it
};
std::vector<Root> find_roots(const Facts& facts);

// Nobody alive can release it: its owner ended, or never lived in this process.
bool is_orphaned(const ResourceFact& resource);

// A future whose work stands in the queue of a pool: nobody runs it yet.
bool is_queued(const Facts& facts, const ResourceFact& future);

// Other processes may act on it.
bool may_be_shared(const Facts& facts, const ResourceFact& resource);

// More than one process has a core here: threads are told with theirs.
bool has_several_processes(const Facts& facts);

// Each core has a side-car: all are of one moment (capture stops the processes first), and a child
// that was not dumped is known. Cores taken one after the other may contradict each other, and a
// process that nobody thought of may be missing.
bool has_side_cars(const Facts& facts);

// The thread a process ends with: its first.
ThreadId main_thread(const Facts& facts, ProcessId process);

// Makes the two sides of the graph agree and puts it in the report's order. Before anything is
// concluded.
void settle_waits(Facts& facts);

}  // namespace coldcase
