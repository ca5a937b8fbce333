// The processes of one incident joined to each other: parents and children, who waits for whose
// end, what memory, pipes and locks they share. After every process was looked at alone.
#pragma once

#include <memory>
#include <vector>

#include "lens/seen.hpp"

namespace coldcase {

using Family = std::vector<std::unique_ptr<Seen>>;

void join_processes(const Family& family, Ledger& ledger);

// The same memory at the same address in both: one was forked from the other, or both from a third,
// and neither has executed another program since (the kernel gives every program 16 random bytes).
bool forked_kin(const View& a, const View& b);

// Inodes, names under /dev/shm and process numbers mean the same in both: by the side-cars, else
// because the two are relatives.
bool same_machine(const Seen& a, const Seen& b);

// A process known by its number alone; made on the first call.
ProcessId absent_process(Ledger& ledger, std::int64_t pid, ProcessId parent, Fate fate);

// The steps, internal to the stage.
void join_children(const Family& family, Ledger& ledger);  // process_exit waits
void join_shared_memory(const Family& family, Ledger& ledger);
void join_semlocks(const Family& family, Ledger& ledger);     // multiprocessing.SemLock's counts
void join_queues(const Family& family, Ledger& ledger);       // multiprocessing.Queue's feeders
void join_descriptors(const Family& family, Ledger& ledger);  // pipes, sockets, file locks
void join_forks(const Family& family, Ledger& ledger);        // owners of before the fork

}  // namespace coldcase
