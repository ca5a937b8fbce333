#include "lens/ledger.hpp"

#include <algorithm>
#include <iterator>

namespace coldcase {

EvidenceId Ledger::add_evidence(Evidence evidence) {
  facts.evidence.push_back(std::move(evidence));
  return {static_cast<std::uint32_t>(facts.evidence.size() - 1)};
}

ResourceId Ledger::find_resource(ProcessId process, Addr address) const {
  const auto at = resources_.find({process.index, address.value});
  return at == resources_.end() ? ResourceId{} : at->second;
}

ResourceId Ledger::resource_at(ProcessId process, Addr address, WaitKind kind,
                               std::string_view implementation) {
  const auto [at, fresh] = resources_.try_emplace({process.index, address.value});
  if (!fresh) return at->second;
  ResourceFact resource;
  resource.kind = kind;
  resource.implementation = std::string(implementation);
  resource.at.push_back({process, address});
  facts.resources.push_back(std::move(resource));
  at->second = {static_cast<std::uint32_t>(facts.resources.size() - 1)};
  return at->second;
}

ResourceId Ledger::named_resource(const std::string& key, WaitKind kind,
                                  std::string_view implementation) {
  const auto [at, fresh] = named_.try_emplace(key);
  if (!fresh) return at->second;
  ResourceFact resource;
  resource.kind = kind;
  resource.implementation = std::string(implementation);
  facts.resources.push_back(std::move(resource));
  at->second = {static_cast<std::uint32_t>(facts.resources.size() - 1)};
  return at->second;
}

namespace {

// Whatever names `from` names `to` after this. A thread or a task.
template <class Party>
void rename_in(Party& thread, ResourceId from, ResourceId to) {
  for (Hold& hold : thread.holds) {
    if (hold.resource == from) hold.resource = to;
  }
  if (!thread.wait) return;
  for (Ref& on : thread.wait->on) {
    if (on == Ref(from)) on = to;
  }
  if (thread.wait->at == from) thread.wait->at = to;
  if (thread.wait->then == from) thread.wait->then = to;
}

// What was recorded of `old` goes to the one it turned out to be.
void move_claims(ResourceFact& old, ResourceFact& joined) {
  std::ranges::copy(old.waiters, std::back_inserter(joined.waiters));
  std::ranges::copy(old.owners, std::back_inserter(joined.owners));
  std::ranges::copy(old.feeders, std::back_inserter(joined.feeders));
  old.waiters.clear();
  old.owners.clear();
  old.feeders.clear();
}

}  // namespace

void Ledger::share(ResourceId to, ProcessId process, Addr address) {
  const auto [at, fresh] = resources_.try_emplace({process.index, address.value}, to);
  if (!fresh && at->second == to) return;
  auto& places = resource(to).at;
  const bool known = std::ranges::any_of(places, [&](const Place& place) {
    return place.process == process && place.address == address;
  });
  if (!known) places.push_back({process, address});
  if (fresh) return;
  const ResourceId from = std::exchange(at->second, to);
  for (ThreadFact& thread : facts.threads) rename_in(thread, from, to);
  for (TaskFact& task : facts.tasks) rename_in(task, from, to);
  for (Evidence& evidence : facts.evidence) {
    if (evidence.resource == from) evidence.resource = to;
  }
  move_claims(resource(from), resource(to));
  resource(from).part_of = to;
}

void Ledger::add_hold(ThreadId holder, Hold hold) {
  put_hold(holder, thread(holder).holds, std::move(hold));
}

void Ledger::add_hold(TaskId holder, Hold hold) {
  put_hold(holder, task(holder).holds, std::move(hold));
}

void Ledger::put_hold(Ref holder, std::vector<Hold>& holds, Hold hold) {
  hold.confidence = std::min(hold.confidence, ceiling_of(hold.basis));
  ResourceFact& held = resource(hold.resource);
  for (const Owner& owner : held.owners) {
    if (owner.by == holder) return;
  }
  held.owners.push_back({holder, hold.mode, hold.confidence, hold.basis, hold.evidence});
  holds.push_back(std::move(hold));
}

void Ledger::set_wait(ThreadId id, Wait wait) {
  put_wait(id, thread(id).wait, std::move(wait));
}

void Ledger::set_wait(TaskId id, Wait wait) {
  put_wait(id, task(id).wait, std::move(wait));
}

void Ledger::clear_wait(ThreadId id) {
  drop_wait(id, thread(id).wait);
}

template <class Act>
static void each_resource(const Wait& wait, Act act) {
  std::vector<Ref> all = wait.on;
  if (wait.at.known() && std::ranges::find(all, Ref(wait.at)) == all.end()) all.push_back(wait.at);
  for (const Ref& on : all) {
    if (const auto id = on.as<RefKind::resource>(); id.known()) act(id);
  }
}

void Ledger::drop_wait(Ref id, std::optional<Wait>& waiting) {
  if (!waiting) return;
  each_resource(*waiting, [&](ResourceId of) { std::erase(resource(of).waiters, id); });
  waiting.reset();
}

void Ledger::put_wait(Ref id, std::optional<Wait>& waiting, Wait wait) {
  drop_wait(id, waiting);
  each_resource(wait, [&](ResourceId of) { resource(of).waiters.push_back(id); });
  waiting = std::move(wait);
}

void Ledger::add_note(std::string_view code, Severity severity, std::string text,
                      std::vector<Ref> about, std::string advice, std::string command) {
  if (!text.empty() && text.back() != '.') text += '.';
  if (!advice.empty() && advice.back() != '.') advice += '.';
  facts.notes.push_back({std::string(code), severity, std::move(text), std::move(advice),
                         std::move(command), std::move(about)});
}

}  // namespace coldcase
