// Signature "cc1": one text for one bug, whatever thread numbers, addresses, lines, builds or debug
// files.
#pragma once

#include <coldcase/analysis.hpp>

namespace coldcase {

// From the finding's path: an edge "primitive(mode)@site" for each waiting thread, in ring order,
// rotated to the smallest, equal neighbours collapsed; for a crash the blamed functions. Nothing
// for a hypothesis, and nothing when no user function is known: an empty signature is never a
// bucket. Then `by_module` may still stand.
std::optional<Signature> make_signature(const Facts& facts, const Finding& finding);

// A function's name as it counts: no compiler suffixes, template arguments, parameters or ABI tags;
// of a Python name the last part, a lambda with the function around it.
std::string normal_name(const Frame& frame);

}  // namespace coldcase
