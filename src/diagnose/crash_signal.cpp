// crash-bus, crash-fpe, crash-illegal-instruction, and crash-killed for the signals that say no
// more than that.
#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "diagnose/crash.hpp"
#include "diagnose/diagnose.hpp"

namespace coldcase {
namespace {

struct SignalShape {
  std::int64_t number;
  std::string_view pattern, what, advice;
};

constexpr std::array shapes{
    SignalShape{4, "crash-illegal-instruction", "Illegal instruction",
                "Look for __builtin_trap, unreachable code, a jump through a bad pointer, or code "
                "built for another processor."},
    SignalShape{7, "crash-bus", "Bus error",
                "A mapped file became shorter than its mapping, or the disk or memory behind it "
                "failed: check the file and the system log."},
    SignalShape{
        8, "crash-fpe", "Arithmetic error",
        "Find the division by zero, or the quotient that does not fit (the least integer by -1)."},
};

std::vector<Finding> detect_signal(const Scene& scene, const SignalShape& shape) {
  std::vector<Finding> findings;
  for (const CrashFact& crash : scene.facts.crashes) {
    const SignalFact* signal = signal_of(scene, crash);
    if (signal == nullptr || signal->number != shape.number) continue;
    Finding finding = begin_crash(scene, crash, shape.pattern);
    const std::string where = blamed(scene, crash) + python_caller(scene, crash);
    const std::string what(shape.what);
    finding.headline = as_headline(what + " in " + blamed_function(scene, crash));
    std::string summary = what;
    summary.append(" in ").append(where).append(".");
    finding.summary = {summary};
    finding.story.push_back({scene.name_of(crash.thread) + " was in " + where + ".", {}});
    std::string text = "The kernel ended the process with ";
    text += signal->name;
    if (!signal->code_name.empty()) text.append(" (").append(signal->code_name).append(")");
    text += ".";
    finding.story.push_back({text, crash_evidence(scene, crash, "NT_SIGINFO")});
    finding.advice.push_back({std::string(shape.advice), finding.location, ""});
    findings.push_back(std::move(finding));
  }
  return findings;
}

}  // namespace

std::vector<Finding> detect_crash_illegal_instruction(const Scene& scene) {
  return detect_signal(scene, shapes[0]);
}
std::vector<Finding> detect_crash_bus(const Scene& scene) {
  return detect_signal(scene, shapes[1]);
}
std::vector<Finding> detect_crash_fpe(const Scene& scene) {
  return detect_signal(scene, shapes[2]);
}

std::vector<Finding> detect_crash_killed(const Scene& scene) {
  std::vector<Finding> findings;
  for (const CrashFact& crash : scene.facts.crashes) {
    const SignalFact* signal = signal_of(scene, crash);
    if (signal == nullptr || signal->number == 6 || signal->number == 11) continue;
    if (std::ranges::find(shapes, signal->number, &SignalShape::number) != shapes.end()) continue;
    const SignalShape shape{
        signal->number, "crash-killed", "Killed by a signal",
        "Find who raised the signal: the program itself did, not somebody outside."};
    for (Finding& finding : detect_signal(scene, shape)) findings.push_back(std::move(finding));
    break;  // detect_signal takes every crash of this signal
  }
  return findings;
}

}  // namespace coldcase
