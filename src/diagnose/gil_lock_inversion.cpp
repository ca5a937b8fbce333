// gil-lock-inversion: a thread holds the GIL and waits for a lock outside the interpreter; that
// lock's holder waits for the GIL.
#include <algorithm>

#include "diagnose/diagnose.hpp"
#include "diagnose/gil_inversion.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

// The native code it is in was called through ctypes: with the GIL, so through PyDLL.
bool is_in_ctypes(const Scene& scene, ThreadId id) {
  const StackId stack = scene.thread(id).stack;
  if (!stack.known()) return false;
  for (const std::uint32_t f : scene.facts.stacks[stack.index].frames) {
    const Frame& frame = scene.facts.frames[f];
    if (frame.kind == FrameKind::python) return false;
    if (frame.module.known() && scene.facts.modules[frame.module.index].name.starts_with("_ctypes"))
      return true;
  }
  return false;
}

Finding make_finding(const Scene& scene, const Inversion& in) {
  Finding finding;
  finding.pattern = "gil-lock-inversion";
  finding.kind = FindingKind::deadlock;
  take_ring(scene, *in.ring, finding);
  const Frame* python = find_python_frame(scene, in.gil_holder, true);
  const std::string function = python != nullptr && !python->function.empty()
                                   ? short_name(python->function)
                                   : "a thread with the GIL";
  std::string kind(word(scene.resource(in.lock).kind));
  std::ranges::replace(kind, '_', ' ');
  finding.headline = as_headline("GIL against a " + kind + ": " + function + " waits for the " +
                                 kind + ", its holder waits for the GIL");
  finding.summary = {scene.name_of(in.gil_holder) + " holds the GIL and waits for " +
                         scene.label_of(in.lock) + ".",
                     scene.name_of(in.lock_holder) + " holds that lock and waits for the GIL.",
                     "Neither can ever go on."};
  finding.story = inversion_story(scene, in);
  finding.location = Scene::location_of(python);
  finding.advice = {{"Release the GIL before taking a lock in native code (Py_BEGIN_ALLOW_THREADS, "
                     "pybind11::gil_scoped_release, Cython: with nogil).",
                     Scene::location_of(python), ""},
                    {"Or do not take the GIL (PyGILState_Ensure, a Python callback) while holding "
                     "that lock: one order for both, everywhere.",
                     Scene::location_of(find_python_frame(scene, in.lock_holder, true)), ""}};
  if (is_in_ctypes(scene, in.gil_holder))
    finding.advice.insert(
        finding.advice.begin(),
        {"Call the library through ctypes.CDLL instead of ctypes.PyDLL: that gives the GIL away "
         "for the length of the call.",
         Scene::location_of(python), ""});
  return finding;
}

}  // namespace

std::vector<Finding> detect_gil_lock_inversion(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Ring& ring : scene.rings) {
    if (const auto inversion = parse_inversion(scene, ring))
      findings.push_back(make_finding(scene, *inversion));
  }
  return findings;
}

}  // namespace coldcase
