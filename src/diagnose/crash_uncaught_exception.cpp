// crash-uncaught-exception: a C++ exception that nobody caught.
#include "base/readable_name.hpp"
#include "base/text.hpp"
#include "diagnose/crash.hpp"
#include "diagnose/diagnose.hpp"

namespace coldcase {

std::vector<Finding> detect_crash_uncaught_exception(const Scene& scene) {
  std::vector<Finding> findings;
  for (const CrashFact& crash : scene.facts.crashes) {
    if (crash.exception_type.empty()) continue;
    Finding finding = begin_crash(scene, crash, "crash-uncaught-exception");
    const auto type = readable_name(crash.exception_type);
    const std::string what = crash.exception_what.empty() ? "" : ": " + crash.exception_what;
    finding.headline =
        as_headline(join({"Uncaught", type, "from", blamed_function(scene, crash)}, " ") + what);
    finding.story.push_back(
        {scene.name_of(crash.thread) + " threw " + type + " in " + blamed(scene, crash) +
             python_caller(scene, crash) +
             (what.empty() ? "." : ", saying \"" + crash.exception_what + "\"."),
         crash_evidence(scene, crash, "struct __cxa_exception")});
    finding.story.push_back(
        {"No function up the stack catches it, so the C++ runtime ended the process "
         "(std::terminate, abort).",
         crash_evidence(scene, crash, "NT_SIGINFO")});
    finding.summary = {"A C++ exception of type " + type + " was thrown in " +
                       blamed(scene, crash) + " and never caught."};
    finding.advice.push_back(
        {std::string("Catch it where it can be handled, or find why it was thrown: ") +
             (crash.exception_what.empty() ? "its type says what was wrong."
                                           : "its text says what was wrong."),
         finding.location, ""});
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace coldcase
