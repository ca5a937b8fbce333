// Words that the tables of `coldcase show` share. Internal to the driver.
#pragma once

#include <coldcase/facts.hpp>
#include <string>

namespace coldcase {

// Its name, or the function it began in.
std::string name_of(const ThreadFact& thread);
// "LWP 885"; a resource's label; empty for what has neither.
std::string lwp_of(const Facts& facts, Ref ref);
// As lwp_of, and a thread by its name too: "worker (LWP 885)".
std::string named(const Facts& facts, Ref ref);
std::string owners_of(const Facts& facts, const ResourceFact& resource);
// Where some come to read or take and others to write or put, that is told of each.
std::string waiters_of(const Facts& facts, const ResourceFact& resource);
// "2 of 3 parties have arrived", or in a word.
std::string state_of(const ResourceFact& resource);
// What its wait is for, as far as that has a name: "LWP 885", "threading.Lock guard", "io (poll)".
std::string target_of(const Facts& facts, const ThreadFact& thread);
// "very_likely (value_stack)" for each owner, or why there is none.
std::string basis_of(const ResourceFact& resource);
// A lock of Python's that is free and that nobody waits for, such as a condition's.
bool is_of_no_account(const ResourceFact& resource);

}  // namespace coldcase
