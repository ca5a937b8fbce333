// What the crash patterns share: whom to blame, and the story's first and last sentences. Internal.
#pragma once

#include "diagnose/scene.hpp"

namespace coldcase {

const SignalFact* signal_of(const Scene& scene, const CrashFact& crash);

// A finding with the members every crash has; the caller adds pattern, headline and what is
// special.
Finding begin_crash(const Scene& scene, const CrashFact& crash, std::string_view pattern);

// "read_index at index.c:12": the innermost frame of the user's own code, or the innermost with a
// name.
std::string blamed(const Scene& scene, const CrashFact& crash);
// The function alone, for headlines.
std::string blamed_function(const Scene& scene, const CrashFact& crash);

// ", called from Python at x.py:3 (f)" when native code died under Python code; empty otherwise.
std::string python_caller(const Scene& scene, const CrashFact& crash);

std::vector<EvidenceId> crash_evidence(const Scene& scene, const CrashFact& crash,
                                       std::string_view source);

}  // namespace coldcase
