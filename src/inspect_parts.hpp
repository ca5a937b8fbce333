// Words that the tables of `coldcase show` share. Internal to the driver.
#pragma once

#include <coldcase/facts.hpp>
#include <string>

namespace coldcase {

// Its name, or the function it began in.
std::string name_of(const ThreadFact& thread);
// "LWP 885"; a resource's label; empty for what has neither.
std::string lwp_of(const Facts& facts, Ref ref);
// What its wait is for, as far as that has a name: "LWP 885", "threading.Lock guard", "io (poll)".
std::string target_of(const Facts& facts, const ThreadFact& thread);
// "very_likely (value_stack)" for each owner, or why there is none.
std::string basis_of(const ResourceFact& resource);

}  // namespace coldcase
