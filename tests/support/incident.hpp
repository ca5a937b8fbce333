// Hand-written facts for everything behind the memory wall: threads, locks and who waits for whom,
// both sides of every claim written at once, as the lenses do.
//
//   Incident incident;
//   const ThreadId a = incident.thread("a"), b = incident.thread("b");
//   const ResourceId x = incident.lock("lock x"), y = incident.lock("lock y");
//   incident.holds(a, x).holds(b, y).waits(a, y).waits(b, x);
#pragma once

#include <algorithm>
#include <coldcase/analysis.hpp>
#include <string>
#include <utility>
#include <vector>

namespace coldcase::test {

struct WaitPlan {
  Confidence confidence = Confidence::proved;
  Ends ends = Ends::never;
  std::optional<Mode> mode{};
};

struct HoldPlan {
  Confidence confidence = Confidence::proved;
  std::optional<Mode> mode{};
  std::optional<std::uint32_t> frame{};
};

inline Frame native_frame(std::string function, std::string file = "", std::uint32_t line = 0,
                          ModuleId module = {}) {
  Frame frame;
  frame.function = std::move(function);
  frame.file = std::move(file);
  if (line > 0) frame.line = line;
  frame.module = module;
  return frame;
}

inline Frame python_frame(std::string function, std::string file, std::uint32_t line) {
  Frame frame = native_frame(std::move(function), std::move(file), line);
  frame.kind = FrameKind::python;
  frame.trust = Trust::interpreter;
  frame.in_app = true;
  return frame;
}

class Incident {
 public:
  Analysis analysis;

  Incident() {
    ProcessFact process;
    process.pid = 4711;
    process.dump_reason = DumpReason::snapshot;
    facts().processes.push_back(process);
  }
  Facts& facts() { return analysis.facts; }
  ThreadFact& at(ThreadId id) { return facts().threads[id.index]; }
  ResourceFact& at(ResourceId id) { return facts().resources[id.index]; }

  ThreadId thread(std::string name, ThreadState state = ThreadState::running) {
    ThreadFact thread;
    thread.process = ProcessId{0};
    thread.tid = 4711 + static_cast<std::int64_t>(facts().threads.size());
    thread.name = std::move(name);
    thread.state = state;
    return ThreadId{add(facts().threads, std::move(thread))};
  }

  ResourceId lock(std::string label, WaitKind kind = WaitKind::mutex,
                  std::string implementation = "pthread_mutex_t") {
    ResourceFact resource;
    resource.kind = kind;
    resource.label = std::move(label);
    resource.implementation = std::move(implementation);
    resource.state = LockState::locked;
    resource.at.push_back({ProcessId{0}, Addr{0x55550000 + facts().resources.size() * 64}});
    return ResourceId{add(facts().resources, std::move(resource))};
  }

  ModuleId module(std::string name) {
    ModuleFact module;
    module.name = std::move(name);
    return ModuleId{add(facts().modules, std::move(module))};
  }

  EvidenceId evidence(ThreadId thread, std::string source) {
    Evidence evidence;
    evidence.claim = "read from " + source;
    evidence.basis = Basis::memory;
    evidence.thread = thread;
    evidence.source = std::move(source);
    return EvidenceId{add(facts().evidence, std::move(evidence))};
  }

  // Innermost first; `site` is the frame of the user's own code.
  Incident& stack(ThreadId id, const std::vector<Frame>& frames,
                  std::optional<std::uint32_t> site = std::nullopt) {
    Stack stack;
    for (const Frame& frame : frames) stack.frames.push_back(add(facts().frames, frame));
    stack.depth = frames.size();
    stack.merge = Merge::exact;
    at(id).stack = StackId{add(facts().stacks, std::move(stack))};
    at(id).site = site;
    return *this;
  }

  Incident& holds(ThreadId id, ResourceId what, const HoldPlan& plan = {}) {
    const EvidenceId known = evidence(id, "owner word");
    at(what).owners.push_back({id, plan.mode, plan.confidence, Basis::owner_word, {known}});
    at(id).holds.push_back(
        {what, plan.mode, std::nullopt, plan.frame, plan.confidence, Basis::owner_word, {known}});
    return *this;
  }

  Incident& waits(ThreadId id, ResourceId on, const WaitPlan& plan = {}) {
    set_wait(id, on, at(on).kind, plan);
    at(on).waiters.push_back(id);
    return *this;
  }

  Incident& joins(ThreadId id, ThreadId other, const WaitPlan& plan = {}) {
    set_wait(id, other, WaitKind::thread_exit, plan);
    return *this;
  }

  // n threads t0, t1 ... each holding a lock that the one before waits for.
  std::vector<ThreadId> ring(std::size_t n, WaitKind kind = WaitKind::mutex,
                             const std::string& implementation = "pthread_mutex_t") {
    std::vector<ThreadId> threads;
    std::vector<ResourceId> locks;
    for (std::size_t i = 0; i < n; ++i) {
      threads.push_back(thread("worker " + std::to_string(i)));
      locks.push_back(lock("lock " + std::to_string(i), kind, implementation));
    }
    for (std::size_t i = 0; i < n; ++i) {
      holds(threads[i], locks[i]);
      waits(threads[i], locks[(i + 1) % n]);
    }
    return threads;
  }

 private:
  template <class T>
  static std::uint32_t add(std::vector<T>& values, T value) {
    values.push_back(std::move(value));
    return static_cast<std::uint32_t>(values.size() - 1);
  }

  void set_wait(ThreadId id, Ref on, WaitKind kind, const WaitPlan& plan) {
    Wait wait;
    wait.kind = kind;
    wait.mode = plan.mode;
    wait.on = {on};
    wait.at = on.as<RefKind::resource>();
    wait.ends = plan.ends;
    wait.confidence = plan.confidence;
    wait.evidence = {evidence(id, "registers")};
    at(id).wait = std::move(wait);
    at(id).state = ThreadState::blocked;
  }
};

}  // namespace coldcase::test
