// crash-abort: the process ended itself, and nothing more telling is known.
#include "diagnose/crash.hpp"
#include "diagnose/diagnose.hpp"

namespace coldcase {

std::vector<Finding> detect_crash_abort(const Scene& scene) {
  std::vector<Finding> findings;
  for (const CrashFact& crash : scene.facts.crashes) {
    const SignalFact* signal = signal_of(scene, crash);
    if (signal == nullptr || signal->number != 6) continue;
    Finding finding = begin_crash(scene, crash, "crash-abort");
    finding.headline = as_headline("Aborted in " + blamed_function(scene, crash) +
                                   (crash.message.empty() ? "" : ": " + crash.message));
    finding.story.push_back({scene.name_of(crash.thread) + " called abort, in " +
                                 blamed(scene, crash) + python_caller(scene, crash) + ".",
                             crash_evidence(scene, crash, "NT_SIGINFO")});
    if (!crash.message.empty()) {
      finding.story.push_back({"The C library's message: " + crash.message,
                               crash_evidence(scene, crash, "__abort_msg")});
    }
    finding.summary = {scene.name_of(crash.thread) + " aborted in " + blamed(scene, crash) + "."};
    finding.advice.push_back(
        {crash.message.empty()
             ? "Read what the program printed before it aborted: the core does not hold its output."
             : "The message says what was found wrong; with heap corruption the damage was done "
               "earlier, elsewhere.",
         finding.location, ""});
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace coldcase
