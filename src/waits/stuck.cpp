// Which threads and tasks can never go on: an AND-OR question over what each of them waits for.
#include <algorithm>
#include <array>

#include "waits/members.hpp"
#include "waits/parties.hpp"

namespace coldcase {
namespace {

// The greatest set of parties none of which can be set free: begin with all that wait without end,
// and take out, until nothing changes, who has a way out.
class StuckSearch {
 public:
  explicit StuckSearch(const Facts& facts)
      : facts_(facts),
        members_(facts),
        stuck_{std::vector<bool>(facts.threads.size()), std::vector<bool>(facts.tasks.size())} {}

  StuckParties run() {
    for (std::size_t i = 0; i < stuck_.threads.size(); ++i)
      stuck_.threads[i] = may_be_stuck(facts_.threads[i].wait);
    for (std::size_t i = 0; i < stuck_.tasks.size(); ++i) {
      const TaskFact& task = facts_.tasks[i];
      stuck_.tasks[i] = may_be_stuck(task.wait) || task.thread.known();
    }
    for (bool changed = true; changed;) {
      changed = false;
      for (std::uint32_t i = 0; i < stuck_.threads.size(); ++i) {
        if (!stuck_.threads[i] || closed(*facts_.threads[i].wait)) continue;
        stuck_.threads[i] = false;
        changed = true;
      }
      for (std::uint32_t i = 0; i < stuck_.tasks.size(); ++i) {
        if (!stuck_.tasks[i] || closed(facts_.tasks[i])) continue;
        stuck_.tasks[i] = false;
        changed = true;
      }
    }
    return std::move(stuck_);
  }

 private:
  static bool may_be_stuck(const std::optional<Wait>& wait) {
    return wait && endless(*wait) && !wait->on.empty();
  }
  bool stuck(ThreadId id) const { return id.known() && stuck_.threads[id.index]; }

  // Whatever it waits for: without the thread that runs its loop it does not go on.
  bool closed(const TaskFact& task) const {
    return stuck(task.thread) || (may_be_stuck(task.wait) && closed(*task.wait));
  }
  bool closed(const Wait& wait) const {
    if (wait.then.known() && closed(wait.then)) return true;
    const auto is_closed = [&](Ref on) { return closed(on); };
    return wait.all == true ? std::ranges::any_of(wait.on, is_closed)
                            : std::ranges::all_of(wait.on, is_closed);
  }
  bool closed(Ref on) const {
    if (const ThreadId id = on.as<RefKind::thread>(); id.known()) return stuck(id);
    if (const TaskId id = on.as<RefKind::task>(); id.known()) return stuck_.tasks[id.index];
    if (const ProcessId id = on.as<RefKind::process>(); id.known()) return stuck(members_.main(id));
    const ResourceId id = on.as<RefKind::resource>();
    return id.known() && closed(id);
  }
  bool closed(ResourceId id) const {
    const ResourceFact& resource = facts_.resources[id.index];
    if (is_orphaned(resource)) return true;
    const auto acts_for = [&](const Owner& owner) { return party_stuck(owner.by); };
    // Readers have to leave all: one that cannot is enough. Any holder of a counting semaphore may
    // release it. A plain Python lock has one holder, and names several only when in doubt.
    if (resource.kind == WaitKind::python_lock && !resource.owners.empty())
      return surest_stuck(resource.owners);
    if (!resource.owners.empty())
      return resource.kind == WaitKind::semaphore ? std::ranges::all_of(resource.owners, acts_for)
                                                  : std::ranges::any_of(resource.owners, acts_for);
    return !resource.feeders.empty() && std::ranges::all_of(resource.feeders, acts_for);
  }
  // All of those that are told with the highest confidence: any of them may be the one.
  bool surest_stuck(const std::vector<Owner>& owners) const {
    const Confidence surest = std::ranges::max_element(owners, {}, &Owner::confidence)->confidence;
    return std::ranges::all_of(owners, [&](const Owner& owner) {
      return owner.confidence < surest || party_stuck(owner.by);
    });
  }
  bool party_stuck(Ref by) const {
    if (const ThreadId id = by.as<RefKind::thread>(); id.known()) return stuck(id);
    if (const TaskId id = by.as<RefKind::task>(); id.known()) return stuck_.tasks[id.index];
    const ProcessId process = by.as<RefKind::process>();
    if (!process.known() || !facts_.processes[process.index].captured) return false;
    // Who of a process could act? Not those that only the process itself could wake.
    const auto& members = members_.of(process);
    return std::ranges::any_of(members, [&](ThreadId id) { return stuck(id); }) &&
           std::ranges::all_of(members, [&](ThreadId id) { return stuck(id) || is_inward(id); });
  }
  // Only its own process could end its wait: with work or a notification, which is nobody's duty,
  // or by an end or a release of its other threads. A semaphore may also be posted from a handler
  // for a signal.
  bool is_inward(ThreadId id) const {
    const ThreadFact& thread = facts_.threads[id.index];
    return may_be_stuck(thread.wait) && std::ranges::all_of(thread.wait->on, [&](Ref on) {
             const ResourceId resource = on.as<RefKind::resource>();
             return resource.known() ? is_inward(facts_.resources[resource.index], thread.process)
                                     : is_of(on, thread.process);
           });
  }
  bool is_inward(const ResourceFact& resource, ProcessId process) const {
    if (!resource.feeders.empty() || may_be_shared(facts_, resource)) return false;
    static constexpr std::array kinds{WaitKind::condition, WaitKind::python_condition,
                                      WaitKind::queue, WaitKind::barrier, WaitKind::future};
    if (resource.owners.empty()) return std::ranges::find(kinds, resource.kind) != kinds.end();
    return resource.kind != WaitKind::semaphore &&
           std::ranges::all_of(resource.owners,
                               [&](const Owner& owner) { return is_of(owner.by, process); });
  }
  bool is_of(Ref party, ProcessId process) const {
    const ThreadId id = party.as<RefKind::thread>();
    return id.known() && facts_.threads[id.index].process == process;
  }

  const Facts& facts_;
  const Members members_;
  StuckParties stuck_;
};

}  // namespace

StuckParties find_stuck_parties(const Facts& facts) {
  return StuckSearch(facts).run();
}

std::vector<bool> find_stuck(const Facts& facts) {
  return find_stuck_parties(facts).threads;
}

}  // namespace coldcase
