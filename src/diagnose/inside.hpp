// Waits that only a thread of the same process can end. Internal to this stage.
#pragma once

#include <coldcase/facts.hpp>

namespace coldcase {

// Conditions, semaphores, queues, futures: woken by another's act, held by nobody.
bool is_signal_kind(WaitKind kind);

// No timeout, and nothing that another process, a child or the outside could do.
bool ends_from_inside(const Facts& facts, const ThreadFact& thread);

// The signals the program handles in Python, without those that people send to end it.
std::vector<std::string> waking_handlers(const ProcessFact& process);

// Whether a handler for a signal may end this wait: POSIX lets it post a semaphore. Conditions are
// signalled from there as well, though nobody should. Python's handlers are ordinary code of the
// first thread, and may do anything.
enum class ByHandler : std::uint8_t { no, forbidden, yes };
ByHandler may_end_by_handler(const Facts& facts, const ThreadFact& thread);

// Its process has a Python interpreter in it.
bool runs_python(const Facts& facts, ThreadId thread);

// Every thread waits for another of its own process to act: what is left to wake one of them is a
// handler for a signal. False when any of them runs, or waits for the outside or for what is not
// known.
bool all_wait_inside(const Facts& facts);

}  // namespace coldcase
