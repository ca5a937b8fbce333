// Who only waits for work: threads that take turns at the reading end of a queue.
#pragma once

#include <coldcase/facts.hpp>

namespace coldcase {

// In get() of a multiprocessing queue. One process at a time may read the queue's pipe: it sleeps
// in read() with the queue's read lock in hand until there is an item, and all other idle workers
// stand in line for that lock. That is how an idle multiprocessing.Pool looks, not a hang.
bool gets_next_item(const Facts& facts, ThreadId thread);

// Workers of a pool whose cores are here, by what they do.
struct WorkerCount {
  std::size_t idle = 0, busy = 0, unseen = 0;
};
WorkerCount count_workers(const Facts& facts, const PoolFact& pool);

// Where all workers of a pool are here, at one moment, and wait for work, what is missing comes
// from nobody: its results become orphans. Before anything is concluded.
void settle_pools(Facts& facts);

// A queue's own thread (_feed) with nothing to write: whoever waits for the queue waits for a put.
bool has_nothing_to_feed(const Facts& facts, ThreadId thread);

}  // namespace coldcase
