// exit-blocked: the program has finished but cannot exit.
#include <algorithm>
#include <array>

#include "diagnose/diagnose.hpp"
#include "diagnose/ring_kinds.hpp"

namespace coldcase {
namespace {

// What waits at the program's end, and for whom.
struct ExitPlace {
  bool python;
  std::string_view function, file, what;
  std::string_view other_way;  // out, beside telling the waiter to end
};
constexpr std::string_view by_atexit =
    "which runs what was registered for the program's end (atexit)";
constexpr std::string_view let_time_out =
    "Or let the function that atexit calls wait with a timeout.";
constexpr std::array exit_places{
    ExitPlace{true, "_python_exit", "concurrent/futures/thread.py",
              "which waits for every worker of every ThreadPoolExecutor",
              "Or wait for the executor where it is used (with ThreadPoolExecutor(...) as pool): "
              "then it hangs there, and not where nobody looks."},
    ExitPlace{true, "_shutdown", "threading.py",
              "which waits for every thread that is not a daemon",
              "Or make the thread a daemon, when it may be cut off anywhere."},
    ExitPlace{true, "_exit_function", "multiprocessing/util.py",
              "which waits for every child process that is not a daemon",
              "Or make the child a daemon: multiprocessing ends such children at the exit."},
    ExitPlace{false, "atexit_callfuncs", "", by_atexit, let_time_out},
    ExitPlace{false, "_PyAtExit_Call", "", by_atexit, let_time_out},
    ExitPlace{false, "exit", "", "", ""},
    ExitPlace{false, "__run_exit_handlers", "", "", ""},
    ExitPlace{false, "Py_FinalizeEx", "", by_atexit, let_time_out},
    ExitPlace{false, "_Py_Finalize", "", by_atexit, let_time_out},  // 3.13
};

struct Exit {
  const Frame* frame = nullptr;  // null when the thread is not exiting
  const ExitPlace* place = nullptr;
};

// A stripped interpreter of 3.13 and later has no name for what calls atexit's functions. Under
// Py_RunMain stands the program's <module>, or runpy, until the program ends; another function that
// the interpreter's nameless code calls from there, and nothing with a name, runs at exit.
constexpr ExitPlace nameless_place{false, "Py_RunMain", "", by_atexit, let_time_out};

// What every call of a Python function may pass.
bool calls_python(std::string_view function) {
  static constexpr std::array ways{"_PyEval_", "_PyFunction_Vectorcall", "PyObject_Call",
                                   "_PyObject_Call", "PyObject_Vectorcall"};
  return std::ranges::any_of(
      ways, [function](std::string_view way) { return function.starts_with(way); });
}

bool is_program(std::string_view function) {
  return function == "<module>" || function == "_run_module_as_main";
}

Exit find_nameless_exit(const Scene& scene, StackId stack) {
  const Frame* outermost = nullptr;  // of the Python frames passed so far
  std::size_t nameless = 0, named = 0;
  for (const std::uint32_t f : scene.facts.stacks[stack.index].frames) {
    const Frame& frame = scene.facts.frames[f];
    if (frame.kind == FrameKind::python) {
      outermost = &frame;
      nameless = named = 0;
    } else if (frame.function == nameless_place.function) {
      const bool at_exit =
          outermost != nullptr && !is_program(outermost->function) && nameless >= 2 && named == 0;
      return at_exit ? Exit{&frame, &nameless_place} : Exit{};
    } else if (frame.function.empty()) {
      ++nameless;
    } else if (!calls_python(frame.function)) {
      ++named;
    }
  }
  return {};
}

// The innermost frame of what runs at exit, on this thread's stack.
Exit find_exit(const Scene& scene, ThreadId id) {
  const StackId stack = scene.thread(id).stack;
  if (!stack.known()) return {};
  for (const std::uint32_t f : scene.facts.stacks[stack.index].frames) {
    const Frame& frame = scene.facts.frames[f];
    for (const ExitPlace& place : exit_places) {
      if (place.python == (frame.kind == FrameKind::python) && frame.function == place.function &&
          frame.file.ends_with(place.file))
        return {&frame, &place};
    }
  }
  return find_nameless_exit(scene, stack);
}

bool is_outside(WaitKind kind) {
  return kind == WaitKind::socket || kind == WaitKind::pipe || kind == WaitKind::io;
}

// Waits for work that only the part of the program that has ended could hand in.
bool waits_for_work(const ThreadFact& thread) {
  if (!thread.wait || thread.wait->ends == Ends::timeout) return false;
  switch (thread.wait->kind) {
    case WaitKind::condition:
    case WaitKind::semaphore:
    case WaitKind::queue:
    case WaitKind::python_condition:
    case WaitKind::future:
    case WaitKind::barrier:
    case WaitKind::futex:
    case WaitKind::python_lock:
    case WaitKind::semlock:
      return true;
    case WaitKind::socket:
    case WaitKind::pipe:
    case WaitKind::io: {
      static constexpr std::array<std::string_view, 3> calls{"read", "recvfrom", "recvmsg"};
      return std::ranges::find(calls, thread.wait->syscall_name) != calls.end();
    }
    default:
      return false;
  }
}

std::string why_never(const Scene& scene, const Wait& wait) {
  const ResourceId on =
      wait.on.size() == 1 ? wait.on.front().as<RefKind::resource>() : ResourceId{};
  if (!is_outside(wait.kind) && wait.kind != WaitKind::python_lock)
    return "What that waits for would have to come from the part of the program that has ended.";
  if (wait.kind == WaitKind::python_lock && on.known() && scene.resource(on).owners.empty())
    return "Nobody alive is known to hold it: most likely it was taken, and never released, by the "
           "part of the program that has ended.";
  return "The program exits when that comes, and not before.";
}

std::string waiter_text(const Scene& scene, ThreadId id, const std::string& act, bool process) {
  const Wait& wait = *scene.thread(id).wait;
  const std::string who = site_name(scene, id);
  if (!process && !act.empty()) return who + " waits for somebody to " + act;
  if (!process && wait.kind == WaitKind::python_lock && !wait.on.empty())
    return who + " " + wait_phrase(scene, id);
  return std::string("it waits for a ") + (process ? "child process in " : "thread in ") + who;
}

std::string advise(const Wait& wait, const std::string& act, bool process) {
  if (wait.kind == WaitKind::python_lock)
    return "Find who took the lock that is wanted here, and release it before the program ends, "
           "also on errors: take it in a with block.";
  if (is_outside(wait.kind))
    return "Shut the connection down before the program ends (socket.shutdown wakes who reads it), "
           "or give the wait a timeout; then join.";
  const std::string whom = process ? "child" : "thread";
  if (act.empty())
    return "Tell the " + whom + " to end before the program does (a sentinel in its queue, an " +
           "event), and join it.";
  return "Before the program ends, also on errors, " + act + " to tell the " + whom +
         " to end, and join it.";
}

Finding make_finding(const Scene& scene, const Way& way, const Exit& exit) {
  const ThreadId main = way.step.thread;
  Finding finding;
  finding.pattern = "exit-blocked";
  finding.kind = FindingKind::hang;
  finding.confidence = Confidence::likely;  // that nobody else hands in work is not proved
  take_step(scene, way.step, way.thread, finding);
  finding.threads.push_back(way.thread);
  const Wait& other = *scene.thread(way.thread).wait;
  if (!other.on.empty())
    finding.path.push_back(
        {way.thread, Relation::waits_for, other.on.front(), other.confidence, other.evidence});
  const std::string what(exit.place->what);
  finding.story = {{"The program has finished: " + scene.name_of(main) + " is in " +
                        Scene::text_of(exit.frame) + (what.empty() ? "" : ", " + what) + ".",
                    {}},
                   tell_wait(scene, main),
                   tell_wait(scene, way.thread)};
  finding.story.push_back({why_never(scene, other), {}});
  const bool process = way.step.process.known();
  const std::string act = awaited_act(scene, way.thread);
  finding.headline = as_headline("The program has finished but cannot exit: " +
                                 waiter_text(scene, way.thread, act, process));
  finding.summary = {finding.story[0].text + " " + finding.story[1].text, finding.story[2].text,
                     finding.story[3].text};
  finding.location = Scene::location_of(scene.site_of(way.thread));
  finding.advice = {{advise(other, act, process), finding.location, ""}};
  if (!exit.place->other_way.empty())
    finding.advice.push_back({std::string(exit.place->other_way), std::nullopt, ""});
  return finding;
}

}  // namespace

std::vector<Finding> detect_exit_blocked(const Scene& scene) {
  std::vector<Finding> findings;
  for (std::uint32_t p = 0; p < scene.facts.processes.size(); ++p) {
    const ThreadId main = main_thread(scene.facts, {p});
    const Exit exit = main.known() ? find_exit(scene, main) : Exit{};
    if (exit.frame == nullptr || scene.stuck[main.index]) continue;
    for (const Way& way : ways_on(scene.facts, main)) {
      const bool end = !way.step.resource.known();
      if (!end || !waits_for_work(scene.thread(way.thread))) continue;
      findings.push_back(make_finding(scene, way, exit));
      break;
    }
  }
  return findings;
}

}  // namespace coldcase
