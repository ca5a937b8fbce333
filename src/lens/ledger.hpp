// Where lenses write what they found: the Facts under construction, with the rules kept in one
// place - a resource exists once per address, an owner and a hold are two sides of one claim, and
// no claim is stronger than its basis allows.
#pragma once

#include <coldcase/facts.hpp>
#include <map>
#include <string_view>
#include <utility>

namespace coldcase {

class Ledger {
 public:
  explicit Ledger(Facts& to) : facts(to) {}
  Facts& facts;

  ThreadFact& thread(ThreadId id) { return facts.threads[id.index]; }
  TaskFact& task(TaskId id) { return facts.tasks[id.index]; }
  ResourceFact& resource(ResourceId id) { return facts.resources[id.index]; }

  EvidenceId add_evidence(Evidence evidence);

  // The resource at this address; made on the first call. A later call with a more telling kind (a
  // mutex that turns out to lie in the driver) refines it through `resource()`.
  ResourceId resource_at(ProcessId process, Addr address, WaitKind kind,
                         std::string_view implementation);
  ResourceId find_resource(ProcessId process, Addr address) const;

  // A resource that has no address of its own (a pipe, a System V object), by a key that is the
  // same wherever the same thing is meant.
  ResourceId named_resource(const std::string& key, WaitKind kind, std::string_view implementation);
  ResourceId find_named(const std::string& key) const {
    const auto at = named_.find(key);
    return at == named_.end() ? ResourceId{} : at->second;
  }

  // The resource lies in this process too, at this address (shared memory, or a communicator that
  // every rank has its own object for). What was recorded there before is joined to it.
  void share(ResourceId resource, ProcessId process, Addr address);

  // `holder` holds `what`: recorded as an owner of the resource and as a hold of the thread, once.
  void add_hold(ThreadId holder, Hold hold);
  void add_hold(TaskId holder, Hold hold);

  // The thread waits; every resource of `wait.on` gets it as a waiter.
  void set_wait(ThreadId thread, Wait wait);
  void set_wait(TaskId task, Wait wait);
  // It waits for nothing after all.
  void clear_wait(ThreadId thread);

  void add_note(std::string_view code, Severity severity, std::string text,
                std::vector<Ref> about = {}, std::string advice = {}, std::string command = {});

 private:
  void put_hold(Ref holder, std::vector<Hold>& holds, Hold hold);
  void drop_wait(Ref waiter, std::optional<Wait>& waits);
  void put_wait(Ref waiter, std::optional<Wait>& waits, Wait wait);

  std::map<std::pair<std::uint32_t, std::uint64_t>, ResourceId> resources_;
  std::map<std::string, ResourceId> named_;
};

}  // namespace coldcase
