// Who waits for whom.
#include <algorithm>
#include <map>
#include <set>

#include "base/text.hpp"
#include "report/names.hpp"
#include "report/page.hpp"
#include "waits/graph.hpp"

namespace coldcase::report {
namespace {

// How the holder of an edge is known: the resource's own owner entry, or the edge's evidence.
std::string how_known(const Analysis& analysis, const Edge& edge) {
  std::string text = confidence_text(edge.confidence);
  if (const ResourceId resource = edge.from.as<RefKind::resource>(); resource.known()) {
    for (const Owner& owner : at(analysis, resource).owners) {
      if (owner.by == edge.to) return text + ": " + basis_text(owner.basis);
    }
  }
  if (!edge.evidence.empty()) {
    text += ": " + basis_text(analysis.facts.evidence[edge.evidence.front().index].basis);
  }
  return text;
}

// A rank waits for what another process sends it, not for its end.
bool is_message(const Analysis& analysis, const Edge& edge) {
  const ThreadId from = edge.from.as<RefKind::thread>();
  return from.known() && edge.to.kind == RefKind::process && at(analysis, from).wait &&
         at(analysis, from).wait->kind == WaitKind::io;
}

// What is waited for is its end.
bool is_ending(Ref party) {
  return party.kind == RefKind::thread || party.kind == RefKind::process ||
         party.kind == RefKind::task;
}

std::string waits_text(const Analysis& analysis, const Edge& edge) {
  std::string text = ref_name(analysis, edge.to);
  if (is_message(analysis, edge)) return "a message with " + text;
  if (is_ending(edge.to)) return text + " to end";
  if (const ThreadId id = edge.from.as<RefKind::thread>(); id.known()) {
    const ThreadFact& thread = at(analysis, id);
    if (thread.wait) text += wait_mode_text(*thread.wait);
  }
  return text;
}

std::string relation_text(Relation relation) {
  std::string text(word(relation));
  std::replace(text.begin(), text.end(), '_', ' ');
  return text;
}

// Who holds what has no known holder.
std::string nobody_text(const ResourceFact& resource) {
  const std::string& code = resource.owner_unknown_code;
  if (code == "not_held" || code == "order_lost" || code == "worker_died" ||
      code == "handler_ended" || code == "pool_terminated")
    return "nobody";
  if (code == "no_owner") return "nobody yet";
  if (code == "owner_ended" || code == "owner_died" || code == "no_living_holder")
    return "nobody alive";
  if (code == "owner_before_fork" || code == "owner_in_parent" || code.starts_with("team_") ||
      code == "holder_not_copied" || code == "holder_in_parent" || code == "helpers_not_copied")
    return "nobody in this process";
  return "unknown";
}

// How that is known. Where nobody is known it is the wait that is; that a holder is gone is no
// surer than the finding.
std::string how_nobody(const Analysis& analysis, const Finding& finding, const Edge& wait,
                       const std::string& by) {
  std::string how = how_known(analysis, wait);
  if (by == "unknown" || by == "nobody yet" || by == "nobody") return "the wait is " + how;
  if (wait.confidence <= finding.confidence || !by.starts_with("nobody")) return how;
  return confidence_text(finding.confidence) + how.substr(confidence_text(wait.confidence).size());
}

// What the other end of a stream would have to do.
std::string_view feeds_text(const Analysis& analysis, const Edge& edge) {
  const ResourceId resource = edge.to.as<RefKind::resource>();
  if (resource.known() && at(analysis, resource).kind == WaitKind::polled_word)
    return " (would change it)";
  const ThreadId id = edge.from.as<RefKind::thread>();
  const ResourceId on = edge.to.as<RefKind::resource>();
  if (on.known() && at(analysis, on).kind == WaitKind::future)
    return is_queued(analysis.facts, at(analysis, on)) ? " (could run it)" : " (would produce it)";
  const bool room =
      id.known() && at(analysis, id).wait && at(analysis, id).wait->mode == Mode::write;
  return room ? " (would read it)" : " (would fill it)";
}

void add_holders(const Analysis& analysis, const Finding& finding, std::size_t wait,
                 std::set<std::size_t>& used, std::vector<WaitRow>& rows) {
  const Edge& edge = finding.path[wait];
  const std::string waiter = ref_name(analysis, edge.from);
  const std::string target = waits_text(analysis, edge);
  bool held = false;
  const auto leads_on = [&](std::size_t i) {
    return finding.path[i].from == edge.to && finding.path[i].relation != Relation::waits_for;
  };
  // Several may wait for one resource, each for another party: theirs follows their own wait.
  const bool own = wait + 1 < finding.path.size() && leads_on(wait + 1);
  for (std::size_t i = own ? wait + 1 : 0; i < finding.path.size(); ++i) {
    const Edge& next = finding.path[i];
    if (own && !leads_on(i)) break;
    const bool holds = edge.to.kind == RefKind::resource || (own && is_message(analysis, edge));
    if (!leads_on(i) || !holds) continue;
    used.insert(i);
    held = true;
    std::string by = ref_name(analysis, next.to);
    if (next.relation == Relation::ended_by || next.relation == Relation::fed_by)
      by += next.relation == Relation::ended_by ? " (would end it)" : feeds_text(analysis, edge);
    rows.push_back({waiter, target, by, how_known(analysis, next)});
  }
  if (held) return;
  const ResourceId resource = edge.to.as<RefKind::resource>();
  const std::string by = is_ending(edge.to) ? "-"
                         : resource.known() ? nobody_text(at(analysis, resource))
                                            : "unknown";
  rows.push_back({waiter, target, by, how_nobody(analysis, finding, edge, by)});
}

// Equal rows once, and those that differ in the waiter alone as one.
std::vector<WaitRow> merged(const std::vector<WaitRow>& rows) {
  std::vector<WaitRow> kept;
  std::map<std::vector<std::string>, std::size_t> places;
  std::vector<std::set<std::string>> waiters;
  for (const WaitRow& row : rows) {
    const auto [place, added] =
        places.emplace(std::vector<std::string>{row.waits_for, row.held_by, row.how}, kept.size());
    if (added) {
      kept.push_back(row);
      waiters.emplace_back();
    }
    waiters[place->second].insert(row.thread);
  }
  for (std::size_t i = 0; i < kept.size(); ++i) {
    if (waiters[i].size() > 1) kept[i].thread += " and " + counted(waiters[i].size() - 1, "other");
  }
  return kept;
}

constexpr std::size_t most_waits = 12;  // of the path; all of it is in the JSON report

}  // namespace

std::vector<WaitRow> wait_rows(const Analysis& analysis, const Finding& finding) {
  std::vector<WaitRow> rows;
  std::set<std::size_t> used;
  std::size_t told = 0;
  for (std::size_t i = 0; i < finding.path.size() && told < most_waits; ++i) {
    told += finding.path[i].relation == Relation::waits_for ? 1 : 0;
    const Edge& edge = finding.path[i];
    if (edge.relation == Relation::waits_for) add_holders(analysis, finding, i, used, rows);
    // Relations that belong to no wait of the path; that a process runs its own thread is no news.
    if (edge.relation != Relation::waits_for && edge.relation != Relation::runs &&
        used.count(i) == 0) {
      rows.push_back({ref_name(analysis, edge.from), "(" + relation_text(edge.relation) + ")",
                      ref_name(analysis, edge.to), how_known(analysis, edge)});
    }
  }
  return merged(rows);
}

std::string more_waits_text(const Finding& finding) {
  const auto all = static_cast<std::size_t>(
      std::ranges::count(finding.path, Relation::waits_for, &Edge::relation));
  if (all <= most_waits) return {};
  return counted(all - most_waits, "more wait") + " in the JSON report.";
}

std::string ends_text(const Analysis& analysis, const Finding& finding) {
  std::size_t never = 0;
  std::size_t polling = 0;
  for (const Edge& edge : finding.path) {
    const ThreadId id = edge.from.as<RefKind::thread>();
    const TaskId task = edge.from.as<RefKind::task>();
    if (edge.relation != Relation::waits_for || !(id.known() || task.known())) continue;
    const std::optional<Wait>& wait = id.known() ? at(analysis, id).wait : at(analysis, task).wait;
    if (!wait || !wait->ends || wait->ends == Ends::timeout) return {};
    if (wait->kind == WaitKind::socket) return {};  // its SO_RCVTIMEO is in no core
    ++(wait->ends == Ends::never ? never : polling);
  }
  if (never + polling == 0) return {};
  if (polling == 0) return "None of these waits has a timeout.";
  return "No timeout ends these waits: who wakes up only asks again.";
}

}  // namespace coldcase::report
