#include <algorithm>

#include "diagnose/verdict.hpp"
#include "waits/parties.hpp"

namespace coldcase {
namespace {

// In the finding's path somebody else stands between this thread and its going on.
bool waits_in_path(const Finding& finding, ThreadId id) {
  for (const Edge& wait : finding.path) {
    if (wait.from != Ref(id) || wait.relation != Relation::waits_for) continue;
    if (wait.to.kind == RefKind::thread || wait.to.kind == RefKind::process) return true;
    const bool held =
        std::ranges::any_of(finding.path, [&](const Edge& edge) { return edge.from == wait.to; });
    if (held) return true;
  }
  return false;
}

Tag tag_of(const Finding& finding, ThreadId id) {
  if (finding.kind == FindingKind::crash) return Tag::crashed;
  if (finding.kind == FindingKind::deadlock) return Tag::deadlocked;
  return waits_in_path(finding, id) ? Tag::behind : Tag::root_blocker;
}

void tag_the_rest(Facts& facts) {
  for (ThreadFact& thread : facts.threads) {
    if (thread.tag) continue;
    if (thread.state == ThreadState::idle) thread.tag = Tag::idle;
    if (thread.state == ThreadState::running) thread.tag = Tag::running;
  }
  for (TaskFact& task : facts.tasks) {
    if (!task.tag && task.state == TaskState::idle) task.tag = Tag::idle;
    if (!task.tag && task.state == TaskState::running) task.tag = Tag::running;
  }
}

// Tasks of the findings, and those that wait behind them or behind their loops' threads.
void tag_tasks(Analysis& analysis, std::vector<Ref> told) {
  for (std::uint32_t f = 0; f < analysis.findings.size(); ++f) {
    const Finding& finding = analysis.findings[f];
    if (finding.confidence == Confidence::hypothesis || finding.kind == FindingKind::info) continue;
    for (const TaskId id : finding.tasks) {
      TaskFact& task = analysis.facts.tasks[id.index];
      task.findings.push_back({f});
      if (finding.kind == FindingKind::deadlock) task.tag = Tag::deadlocked;
      told.emplace_back(id);
    }
  }
  if (analysis.facts.tasks.empty()) return;
  for (const Ref party : find_parties_behind(analysis.facts, told)) {
    if (const ThreadId thread = party.as<RefKind::thread>(); thread.known()) {
      ThreadFact& fact = analysis.facts.threads[thread.index];
      if (!fact.tag) fact.tag = Tag::behind;
    } else if (!analysis.facts.tasks[party.index].tag) {
      analysis.facts.tasks[party.index].tag = Tag::behind;
    }
  }
}

}  // namespace

void set_tags(Analysis& analysis) {
  std::vector<ThreadId> told;
  for (std::uint32_t f = 0; f < analysis.findings.size(); ++f) {
    const Finding& finding = analysis.findings[f];
    if (finding.confidence == Confidence::hypothesis) continue;
    for (const ThreadId id : finding.threads) {
      if (finding.confidence == Confidence::hypothesis || finding.kind == FindingKind::info)
        continue;
      ThreadFact& thread = analysis.facts.threads[id.index];
      if (thread.findings.empty() || thread.findings.back() != FindingId{f})
        thread.findings.push_back({f});
      if (finding.kind == FindingKind::info) continue;
      thread.tag = std::min(thread.tag.value_or(Tag::crashed), tag_of(finding, id));
      if (finding.kind != FindingKind::crash) told.push_back(id);
    }
  }
  for (const ThreadId id : find_behind(analysis.facts, told)) {
    ThreadFact& thread = analysis.facts.threads[id.index];
    if (!thread.tag) thread.tag = Tag::behind;
  }
  tag_tasks(analysis, {told.begin(), told.end()});
  tag_the_rest(analysis.facts);
}

}  // namespace coldcase
