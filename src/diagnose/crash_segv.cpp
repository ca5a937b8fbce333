// crash-segv: a memory access the processor or the kernel refused.
#include "base/text.hpp"
#include "diagnose/crash.hpp"
#include "diagnose/diagnose.hpp"

namespace coldcase {

std::vector<Finding> detect_crash_segv(const Scene& scene) {
  std::vector<Finding> findings;
  for (const CrashFact& crash : scene.facts.crashes) {
    const SignalFact* signal = signal_of(scene, crash);
    if (signal == nullptr || signal->number != 11) continue;
    Finding finding = begin_crash(scene, crash, "crash-segv");
    const std::string where = blamed(scene, crash) + python_caller(scene, crash);
    const bool null = crash.address && crash.address->value < 65536;
    const std::string what = null ? "Null pointer access" : "Bad memory access";
    finding.headline = as_headline(what + " in " + blamed_function(scene, crash));
    finding.story.push_back({scene.name_of(crash.thread) + " was in " + where + ".", {}});
    std::string text = "The kernel ended the process with ";
    text += signal->name;
    if (!signal->code_name.empty()) text.append(" (").append(signal->code_name).append(")");
    if (crash.address) text.append(" at address ").append(hex(crash.address->value));
    if (!crash.address_is.empty()) text.append(": ").append(crash.address_is);
    text += ".";
    finding.story.push_back({text, crash_evidence(scene, crash, "NT_SIGINFO")});
    std::string summary = what;
    summary.append(" in ").append(where).append(".");
    finding.summary = {summary};
    if (null) {
      finding.advice.push_back(
          {"Find which pointer is null there: the address is its member's offset. Check it, or "
           "find who should have set it.",
           finding.location, ""});
    } else {
      finding.advice.push_back(
          {"Look at the pointer used there: freed, never set, or out of bounds. AddressSanitizer "
           "(-fsanitize=address) names the culprit when the crash repeats.",
           finding.location, ""});
    }
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace coldcase
