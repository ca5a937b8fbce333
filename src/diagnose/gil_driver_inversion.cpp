// gil-driver-inversion: a thread holds the GIL and waits for a lock inside the CUDA driver; that
// lock's holder waits for the GIL. The founding case.
#include "diagnose/diagnose.hpp"
#include "diagnose/gil_inversion.hpp"

namespace coldcase {
namespace {

std::string function_of(const Frame* frame, std::string_view otherwise) {
  return frame != nullptr && !frame->function.empty() ? frame->function : std::string(otherwise);
}

void add_advice(const Scene& scene, const Inversion& in, Finding& finding) {
  const Frame* callback = find_pending_callback(scene, in.lock_holder);
  const Frame* python = find_python_frame(scene, in.gil_holder, true);
  if (callback != nullptr) {
    finding.advice.push_back(
        {"Do not give the driver a Python callback: pass a compiled function (numba @cfunc, a C "
         "function) or NULL instead of it. That alone breaks the ring.",
         Scene::location_of(callback), ""});
  } else {
    finding.advice.push_back(
        {"Do not run Python code from inside a driver call: what the driver calls back must not "
         "need the GIL.",
         Scene::location_of(find_python_frame(scene, in.lock_holder, true)), ""});
  }
  finding.advice.push_back(
      {"Or release the GIL around the call into the driver (Cython: with nogil; C: "
       "Py_BEGIN_ALLOW_THREADS; ctypes: CDLL instead of PyDLL).",
       Scene::location_of(python), ""});
}

Finding make_finding(const Scene& scene, const Inversion& in) {
  Finding finding;
  finding.pattern = "gil-driver-inversion";
  finding.kind = FindingKind::deadlock;
  take_ring(scene, *in.ring, finding);
  const Frame* python = find_python_frame(scene, in.gil_holder, true);
  finding.headline =
      as_headline("GIL against CUDA driver lock: " + function_of(python, "a thread with the GIL") +
                  " waits for the driver, its holder waits for the GIL");
  const auto& api = scene.thread(in.lock_holder).api;
  finding.summary = {
      scene.name_of(in.gil_holder) + " holds the GIL and waits inside the CUDA driver for a lock.",
      scene.name_of(in.lock_holder) + " holds that lock" +
          (api ? ", inside " + api->name + "," : "") + " and waits for the GIL" +
          (find_pending_callback(scene, in.lock_holder) != nullptr ? " to run a Python callback."
                                                                   : "."),
      "Neither can ever go on."};
  finding.story = inversion_story(scene, in);
  const Frame* callback = find_pending_callback(scene, in.lock_holder);
  finding.location = Scene::location_of(callback != nullptr ? callback : python);
  add_advice(scene, in, finding);
  return finding;
}

}  // namespace

std::vector<Finding> detect_gil_driver_inversion(const Scene& scene) {
  std::vector<Finding> findings;
  for (const Ring& ring : scene.rings) {
    const auto inversion = parse_inversion(scene, ring);
    if (inversion && scene.resource(inversion->lock).kind == WaitKind::driver_lock) {
      findings.push_back(make_finding(scene, *inversion));
    }
  }
  return findings;
}

}  // namespace coldcase
