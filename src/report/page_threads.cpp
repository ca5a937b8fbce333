// Who is involved in a finding, and what the other threads do.
#include <algorithm>
#include <map>

#include "base/function_name.hpp"
#include "base/text.hpp"
#include "report/names.hpp"
#include "report/page.hpp"

namespace coldcase::report {

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
  if (thread.stopped.value_or(false)) return "stopped by a signal";
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
  // Where a person asks why it is no deadlock.
  const bool locks = waits && thread.state == ThreadState::blocked && !thread.holds.empty();
  const bool polls = waits && thread.wait->kind == WaitKind::polled_word;
  if (waits && !unclear)
    parts.push_back((polls ? "polls " : "waits for ") + wait_target(analysis, *thread.wait) +
                    (locks && thread.wait->ends == Ends::timeout ? " (with a timeout)" : ""));
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
    const bool python = site.kind == FrameKind::python;
    const std::string function = python ? site.function : spoken_function(site.function);
    std::string text = function + (place.empty() ? "" : " at " + place);
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
    if (!awake || thread.stopped.value_or(false) || !thread.cpu_ms) return {};
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
      gil_holder_runs = gil_holder_runs ||
                        (python.gil_state == GilState::holds &&
                         thread.state == ThreadState::running && !thread.stopped.value_or(false));
    }
  }
  const std::size_t all = analysis.facts.threads.size();
  std::string text = complete == all ? (all == 1 ? "the one stack" : "all " + counted(all, "stack"))
                                     : std::to_string(complete) + " of " + counted(all, "stack");
  text += " complete; " + counted(held, "lock") + " known to be held";
  if (held > 0) {
    text += held_blocked == 0 ? ", none by a blocked thread"
                              : ", " + std::to_string(held_blocked) + " by blocked threads";
  }
  if (gil_holder_runs) text += "; the thread that has the GIL runs";
  return text + ".";
}

}  // namespace coldcase::report
