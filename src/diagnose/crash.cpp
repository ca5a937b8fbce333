#include "diagnose/crash.hpp"

#include "base/function_name.hpp"
#include "base/text.hpp"
#include "diagnose/gil_inversion.hpp"

namespace coldcase {
namespace {

// Machinery of dying, below which the culprit lies.
bool is_machinery(const Frame& frame) {
  return frame.kind == FrameKind::signal || frame.function.empty() ||
         starts_with_any(frame.function,
                         {"__pthread_kill", "pthread_kill", "raise", "__GI_", "abort",
                          "__assert_fail", "__libc_message", "malloc_printerr", "__fortify_fail",
                          "__stack_chk_fail", "std::terminate", "__cxxabiv1::",
                          "__gnu_cxx::__verbose_terminate_handler", "__cxa_throw", "_Unwind_"});
}

const Frame* blamed_frame(const Scene& scene, const CrashFact& crash) {
  if (const Frame* site = scene.site_of(crash.thread)) return site;
  const StackId stack = scene.thread(crash.thread).stack;
  if (!stack.known()) return nullptr;
  for (const std::uint32_t f : scene.facts.stacks[stack.index].frames) {
    if (!is_machinery(scene.facts.frames[f])) return &scene.facts.frames[f];
  }
  return nullptr;
}

}  // namespace

const SignalFact* signal_of(const Scene& scene, const CrashFact& crash) {
  const auto& signal = scene.facts.processes[scene.thread(crash.thread).process.index].signal;
  return signal ? &*signal : nullptr;
}

std::string blamed(const Scene& scene, const CrashFact& crash) {
  const std::string text = Scene::text_of(blamed_frame(scene, crash));
  return text.empty() ? "code without a name" : text;
}

std::string blamed_function(const Scene& scene, const CrashFact& crash) {
  const Frame* frame = blamed_frame(scene, crash);
  if (frame == nullptr || frame->function.empty()) return "code without a name";
  std::string text =
      frame->kind == FrameKind::python ? frame->function : plain_function(frame->function);
  if (!frame->file.empty() && frame->line)
    text += " (" + std::string(base_name(frame->file)) + ":" + std::to_string(*frame->line) + ")";
  return text;
}

std::string python_caller(const Scene& scene, const CrashFact& crash) {
  const Frame* frame = blamed_frame(scene, crash);
  const Frame* python = find_python_frame(scene, crash.thread, true);
  if (python == nullptr || frame == python) return {};
  return ", called from Python in " + Scene::text_of(python);
}

std::vector<EvidenceId> crash_evidence(const Scene& scene, const CrashFact& crash,
                                       std::string_view source) {
  return find_evidence(scene, crash.thread, source);
}

Finding begin_crash(const Scene& scene, const CrashFact& crash, std::string_view pattern) {
  Finding finding;
  finding.pattern = std::string(pattern);
  finding.kind = FindingKind::crash;
  finding.confidence = Confidence::proved;
  finding.threads = {crash.thread};
  finding.location = Scene::location_of(blamed_frame(scene, crash));
  finding.crash = crash;
  return finding;
}

}  // namespace coldcase
