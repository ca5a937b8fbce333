// crash-assert: a failed assertion; the C library keeps its text.
#include "diagnose/crash.hpp"
#include "diagnose/diagnose.hpp"

namespace coldcase {

std::vector<Finding> detect_crash_assert(const Scene& scene) {
  std::vector<Finding> findings;
  for (const CrashFact& crash : scene.facts.crashes) {
    if (crash.message.find("Assertion `") == std::string::npos) continue;
    Finding finding = begin_crash(scene, crash, "crash-assert");
    const auto begin = crash.message.find("Assertion `");
    finding.headline = as_headline("Assertion failed in " + blamed_function(scene, crash) + ": " +
                                   crash.message.substr(begin + 10));
    finding.story.push_back({scene.name_of(crash.thread) + " was in " + blamed(scene, crash) +
                                 python_caller(scene, crash) + ".",
                             {}});
    finding.story.push_back({"An assertion failed there: " + crash.message,
                             crash_evidence(scene, crash, "__abort_msg")});
    finding.summary = {"An assertion failed in " + blamed(scene, crash) + "."};
    finding.advice.push_back(
        {"Look at the values in the asserted condition: who broke it came before.",
         finding.location, ""});
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace coldcase
