// Hand-written facts of several processes, and what every finding on them has to keep.
#pragma once

#include <algorithm>

#include "diagnose/diagnose.hpp"
#include "support/agreement.hpp"
#include "support/catch.hpp"
#include "support/incident.hpp"

namespace coldcase::test {

using Words = std::vector<std::string>;

// Several processes, and waits of the kinds that cross between them.
struct Tree : Incident {
  ProcessId parent{0};

  ProcessId child(bool captured = true) {
    ProcessFact process;
    process.pid = 5000 + static_cast<std::int64_t>(facts().processes.size());
    process.parent = parent;
    process.captured = captured;
    facts().processes.push_back(process);
    return {static_cast<std::uint32_t>(facts().processes.size() - 1)};
  }
  // The first of a process gets its number.
  ThreadId thread_of(ProcessId process, std::string name) {
    const bool first = std::ranges::none_of(
        facts().threads, [&](const ThreadFact& known) { return known.process == process; });
    const ThreadId id = thread(std::move(name));
    at(id).process = process;
    if (first) at(id).tid = facts().processes[process.index].pid;
    return id;
  }
  Tree& waits_in(ThreadId id, ResourceId on, std::string call, Mode mode = Mode::read) {
    waits(id, on, {.mode = mode});
    at(id).wait->syscall_name = std::move(call);
    return *this;
  }
  Tree& reaps(ThreadId id, ProcessId process) {
    const ResourceId none = lock("unused");
    waits(id, none);
    at(none).waiters.clear();
    at(id).wait->kind = WaitKind::process_exit;
    at(id).wait->on = {process};
    at(id).wait->at = {};
    at(id).wait->syscall_name = "wait4";
    return *this;
  }
  Tree& sleeps(ThreadId id, std::optional<std::uint64_t> ms) {
    const ResourceId none = lock("unused");
    waits(id, none, {.ends = Ends::timeout});
    at(none).waiters.clear();
    at(id).wait->kind = WaitKind::sleep;
    at(id).wait->on.clear();
    at(id).wait->at = {};
    at(id).wait->timeout_ms = ms;
    at(id).wait->syscall_name = "clock_nanosleep";
    return *this;
  }
  Tree& feeds(Ref by, ResourceId what, Confidence confidence = Confidence::proved) {
    at(what).feeders.push_back({by, std::nullopt, confidence, Basis::side_car, {}});
    return *this;
  }
  Tree& orphans(ResourceId lock, std::string code) {
    at(lock).owner_unknown_code = std::move(code);
    at(lock).owner_unknown_text = "its holder is gone";
    return *this;
  }
};

inline Analysis diagnosed_tree(const Incident& incident) {
  Analysis analysis = incident.analysis;
  settle_waits(analysis.facts);
  diagnose(analysis);
  CHECK(disagreements(analysis) == Words{});
  for (const Finding& finding : analysis.findings) {
    CAPTURE(finding.pattern);
    CHECK(finding.headline.size() <= 120);
    CHECK_FALSE(finding.headline.empty());
    CHECK_FALSE(finding.story.empty());
    CHECK_FALSE(finding.summary.empty());
    CHECK_FALSE(finding.advice.empty());
    // Of an orphan, who waits behind its waiters may be less sure than the finding itself.
    const bool orphan = finding.pattern.find("orphaned") != std::string::npos;
    for (const Edge& edge : finding.path) CHECK((edge.confidence >= finding.confidence || orphan));
    for (std::size_t i = 0; i < finding.path.size(); ++i) {
      for (std::size_t k = 0; k < i; ++k) {
        const bool same = finding.path[i].from == finding.path[k].from &&
                          finding.path[i].to == finding.path[k].to &&
                          finding.path[i].relation == finding.path[k].relation;
        CHECK_FALSE(same);
      }
    }
  }
  return analysis;
}

inline Words patterns_of(const Analysis& analysis) {
  Words patterns;
  for (const Finding& finding : analysis.findings) patterns.push_back(finding.pattern);
  return patterns;
}

inline std::string story_of(const Analysis& analysis) {
  std::string text;
  for (const StoryLine& line : analysis.findings.at(0).story) text += line.text + "\n";
  return text;
}

inline bool contains(std::string_view text, std::string_view part) {
  return text.find(part) != std::string_view::npos;
}

}  // namespace coldcase::test
