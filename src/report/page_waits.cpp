// Who waits for whom, and what the other threads do.
#include <algorithm>
#include <map>
#include <set>

#include "base/text.hpp"
#include "report/names.hpp"
#include "report/page.hpp"

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
    if (thread.wait) text += mode_text(thread.wait->mode);
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
  if (code == "not_held" || code == "order_lost") return "nobody";
  if (code == "no_owner") return "nobody yet";
  if (code == "owner_ended" || code == "owner_died" || code == "no_living_holder")
    return "nobody alive";
  if (code == "owner_before_fork" || code == "owner_in_parent" || code.starts_with("team_") ||
      code == "holder_not_copied" || code == "holder_in_parent" || code == "helpers_not_copied")
    return "nobody in this process";
  return "unknown";
}

// What the other end of a stream would have to do.
std::string_view feeds_text(const Analysis& analysis, const Edge& edge) {
  const ResourceId resource = edge.to.as<RefKind::resource>();
  if (resource.known() && at(analysis, resource).kind == WaitKind::polled_word)
    return " (would change it)";
  const ThreadId id = edge.from.as<RefKind::thread>();
  const ResourceId on = edge.to.as<RefKind::resource>();
  if (on.known() && at(analysis, on).kind == WaitKind::future) return " (would produce it)";
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
  rows.push_back({waiter, target, by, how_known(analysis, edge)});
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

std::vector<ThreadId> involved_threads(const Analysis& analysis, const Finding* finding) {
  std::vector<ThreadId> threads;
  std::vector<bool> seen(analysis.facts.threads.size());
  if (finding == nullptr || finding->kind == FindingKind::info) return threads;
  const auto add = [&threads, &seen](ThreadId id) {
    if (!id.known() || seen[id.index]) return;
    seen[id.index] = true;
    threads.push_back(id);
  };
  if (finding->crash) add(finding->crash->thread);
  for (const ThreadId id : finding->threads) add(id);
  return threads;
}

std::vector<ThreadId> other_threads(const Analysis& analysis, const Finding* finding) {
  std::vector<bool> involved(analysis.facts.threads.size());
  for (const ThreadId id : involved_threads(analysis, finding)) involved[id.index] = true;
  std::vector<ThreadId> others;
  for (std::uint32_t i = 0; i < analysis.facts.threads.size(); ++i) {
    if (!involved[i]) others.push_back(ThreadId{i});
  }
  return others;
}

namespace {

std::string state_of(const ThreadFact& thread) {
  if (thread.tag == Tag::behind) return "held up behind it";
  if (thread.tag == Tag::deadlocked) return "deadlocked";
  if (thread.tag == Tag::root_blocker) return "blocks others";
  if (thread.state == ThreadState::unknown) return "state unknown";
  return std::string(word(thread.state));
}

std::string doing(const Analysis& analysis, const ThreadFact& thread) {
  std::vector<std::string> parts;
  const bool waits = thread.wait && thread.state != ThreadState::running;
  const bool unclear = waits && thread.wait->kind == WaitKind::unknown && thread.wait->on.empty();
  const bool polls = waits && thread.wait->kind == WaitKind::polled_word;
  if (waits && !unclear)
    parts.push_back((polls ? "polls " : "waits for ") + wait_target(analysis, *thread.wait));
  for (const Hold& hold : thread.holds) {
    if (!hold.resource.known()) continue;
    parts.push_back("has " + resource_name(analysis, hold.resource));
    if (parts.size() == 4) break;
  }
  return join(parts, ", ");
}

// The user's own line if there is one, else the innermost name.
std::string where_of(const Analysis& analysis, const ThreadFact& thread) {
  if (!thread.stack.known()) return {};
  const Stack& stack = analysis.facts.stacks[thread.stack.index];
  std::string innermost;
  for (const std::uint32_t index : stack.frames) {
    innermost = analysis.facts.frames[index].function;
    // "__futex_abstimed_wait_common" helps nobody: the function people call is a frame or two
    // further out.
    const bool inside = innermost.starts_with("__futex_") || innermost.starts_with("__lll_") ||
                        innermost.starts_with("__GI_") || innermost.starts_with("__new_sem_") ||
                        innermost.starts_with("__internal_");
    if (!innermost.empty() && !inside) break;
  }
  while (innermost.starts_with('_')) innermost.erase(0, 1);
  if (thread.site && *thread.site < stack.frames.size()) {
    const Frame& site = analysis.facts.frames[stack.frames[*thread.site]];
    std::string place = place_text(site.file, site.line);
    if (site.function.empty()) return place;
    std::string text = site.function + (place.empty() ? "" : " at " + place);
    if (!innermost.empty() && innermost != site.function) text += ", in " + innermost;
    return text;
  }
  return innermost;
}

std::string names_of(const Analysis& analysis, const std::vector<ThreadId>& threads) {
  constexpr std::size_t listed = 6;
  std::vector<std::string> names;
  for (const ThreadId id : threads) {
    const ThreadFact& thread = at(analysis, id);
    if (names.size() == listed && threads.size() > listed + 1) {
      names.push_back("and " + std::to_string(threads.size() - listed) + " more");
      break;
    }
    const std::string tid = thread.tid ? std::to_string(*thread.tid) : std::string{};
    if (threads.size() <= 2 && !thread.name.empty()) {
      names.push_back(thread.name + (tid.empty() ? "" : " " + tid));
    } else {
      names.push_back(tid.empty() ? short_name(analysis, id) : (names.empty() ? "LWP " : "") + tid);
    }
  }
  return join(names, ", ");
}

}  // namespace

namespace {

// "waits for condition": without the addresses that tell one condition from the next.
std::string without_addresses(const std::string& text) {
  std::string plain;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const bool led = text.compare(i, 6, " at 0x") == 0;
    if (!led && text.compare(i, 3, " 0x") != 0) {
      plain += text[i];
      continue;
    }
    i = text.find_first_not_of("0123456789abcdef", i + (led ? 6 : 3));
    if (i == std::string::npos) break;
    plain += text[i];
  }
  return plain;
}

// Threads in one place, each waiting for a thing of its own, are one line.
std::vector<ThreadGroup> regrouped(const std::vector<ThreadGroup>& groups) {
  std::vector<ThreadGroup> fewer;
  std::vector<std::size_t> parts;
  std::map<std::vector<std::string>, std::size_t> places;
  for (const ThreadGroup& group : groups) {
    const std::string what = without_addresses(group.what);
    const auto [place, added] =
        places.emplace(std::vector<std::string>{group.state, what, group.where}, fewer.size());
    if (added) {
      fewer.push_back(group);
      parts.push_back(1);
      continue;
    }
    ThreadGroup& joined = fewer[place->second];
    joined.what = what;
    joined.threads.insert(joined.threads.end(), group.threads.begin(), group.threads.end());
    ++parts[place->second];
  }
  for (std::size_t i = 0; i < fewer.size(); ++i) {
    std::sort(fewer[i].threads.begin(), fewer[i].threads.end());
    if (parts[i] == 1) continue;
    fewer[i].what += parts[i] == fewer[i].threads.size()
                         ? " (each its own)"
                         : " (" + std::to_string(parts[i]) + " different ones)";
  }
  return fewer;
}

// "ran 4.1 s of CPU, no system call", of all in the group; of several the least and the most.
std::string time_text_of(const Analysis& analysis, const std::vector<ThreadId>& threads) {
  std::uint64_t least = UINT64_MAX;
  std::uint64_t most = 0;
  bool bound = false;
  bool calls = false;
  for (const ThreadId id : threads) {
    const ThreadFact& thread = at(analysis, id);
    const bool awake =
        thread.state == ThreadState::running || thread.state == ThreadState::spinning;
    if (!awake || !thread.cpu_ms) return {};
    least = std::min(least, *thread.cpu_ms);
    most = std::max(most, *thread.cpu_ms);
    bound = bound || thread.cpu_from == CpuFrom::core_remainder;
    calls = calls || thread.in_syscall.value_or(true);
  }
  if (threads.empty()) return {};
  std::string text = "ran ";
  if (bound) text += "at most ";
  if (seconds_text(least) != seconds_text(most) && !bound) text += seconds_text(least) + " to ";
  text += seconds_text(most) + " of CPU";
  if (threads.size() > 1) text += " each";
  return text + (calls ? "" : ", no system call");
}

std::vector<ThreadGroup> exact_groups(const Analysis& analysis,
                                      const std::vector<ThreadId>& threads) {
  std::vector<ThreadGroup> groups;
  std::map<std::vector<std::string>, std::size_t> places;
  for (const ThreadId id : threads) {
    const ThreadFact& thread = at(analysis, id);
    ThreadGroup group{
        {}, state_of(thread), doing(analysis, thread), where_of(analysis, thread), {}};
    const auto found = places.emplace(
        std::vector<std::string>{group.state, group.what, group.where}, groups.size());
    if (found.second) groups.push_back(group);
    groups[found.first->second].threads.push_back(id);
  }
  return groups;
}

}  // namespace

std::vector<ThreadGroup> thread_groups(const Analysis& analysis,
                                       const std::vector<ThreadId>& threads) {
  std::vector<ThreadGroup> groups = exact_groups(analysis, threads);
  if (groups.size() > group_limit) groups = regrouped(groups);
  for (ThreadGroup& group : groups) {
    group.names = names_of(analysis, group.threads);
    const std::string time = time_text_of(analysis, group.threads);
    if (!time.empty()) group.what += (group.what.empty() ? "" : ", ") + time;
  }
  // Who is held up first, then by size; ties in the order of the threads.
  const auto behind = [](const ThreadGroup& group) { return group.state == "held up behind it"; };
  std::stable_sort(groups.begin(), groups.end(), [&](const ThreadGroup& a, const ThreadGroup& b) {
    if (behind(a) != behind(b)) return behind(a);
    return a.threads.size() > b.threads.size();
  });
  return groups;
}

std::string checked_text(const Analysis& analysis) {
  std::size_t complete = 0;
  std::size_t held = 0;
  std::size_t held_blocked = 0;
  bool gil_holder_runs = false;
  for (const ThreadFact& thread : analysis.facts.threads) {
    if (thread.stack.known())
      complete += analysis.facts.stacks[thread.stack.index].stop_code == "outermost";
    held += thread.holds.size();
    if (thread.state == ThreadState::blocked) held_blocked += thread.holds.size();
    for (const PythonThread& python : thread.python) {
      gil_holder_runs = gil_holder_runs || (python.gil_state == GilState::holds &&
                                            thread.state == ThreadState::running);
    }
  }
  const std::size_t all = analysis.facts.threads.size();
  std::string text = complete == all ? (all == 1 ? "the one stack" : "all " + counted(all, "stack"))
                                     : std::to_string(complete) + " of " + counted(all, "stack");
  text += " complete; " + counted(held, "lock") + " held";
  if (held > 0) {
    text += held_blocked == 0 ? ", none by a blocked thread"
                              : ", " + std::to_string(held_blocked) + " by blocked threads";
  }
  if (gil_holder_runs) text += "; the thread that has the GIL runs";
  return text + ".";
}

}  // namespace coldcase::report
