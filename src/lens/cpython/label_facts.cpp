// Names for the Python objects of the report that have only their type and address so far.
#include <algorithm>
#include <map>

#include "base/text.hpp"
#include "lens/cpython/lens_parts.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_users = 6;    // threads whose frames are looked through, for one object
constexpr std::size_t most_frames = 12;  // of each
constexpr std::size_t most_threads = 64;
constexpr std::size_t most_aliases = 4;

bool is_unnamed(const LensContext& context, const ResourceFact& fact) {
  if (fact.at.empty() || fact.at.front().process != context.view.process) return false;
  if (fact.kind == WaitKind::future)  // is called by what it computes, where that is known
    return fact.label == fact.implementation + " at " + hex(fact.at.front().address.value);
  return !fact.implementation.empty() && fact.label.starts_with(fact.implementation + " ");
}

std::vector<ThreadId> users_of(const ResourceFact& fact) {
  std::vector<ThreadId> users;
  const auto add = [&](Ref ref) {
    const ThreadId thread = ref.as<RefKind::thread>();
    if (thread.known() && users.size() < most_users) users.push_back(thread);
  };
  for (const Owner& owner : fact.owners) add(owner.by);
  for (const Ref& waiter : fact.waiters) add(waiter);
  return users;
}

void look_at(NameSearch& search, const PyThread& state, bool deep) {
  each_frame(state, [&](const PythonFrame& frame, std::size_t index) {
    search.look_at(frame, deep);
    return index + 1 < most_frames;
  });
}

class Labels {
 public:
  explicit Labels(LensContext& context) : context_(context) {
    for (const Interpreter& interpreter : context.runtime().interpreters) {
      for (const PyThread& state : interpreter.threads) {
        if (state.core_thread)
          states_[context.view.thread_id(*state.core_thread)].push_back(&state);
      }
    }
    for (std::uint32_t i = 0; i < context.ledger.facts.resources.size(); ++i) {
      if (is_unnamed(context, context.ledger.resource({i}))) unnamed_.push_back({i});
    }
    find_conditions();
  }

  void run() {
    for (const ResourceId id : unnamed_) names_[id] = from_users(id);
    count_users();
    look_everywhere();
    count_users();
    for (const ResourceId id : unnamed_) set_label(id);
    for (const auto& [lock, condition] : condition_of_) set_label_of_part(lock, condition);
  }

 private:
  Addr address_of(ResourceId id) const { return context_.ledger.resource(id).at.front().address; }

  // The lock of a condition has no waiters yet: those of the condition will be.
  void find_conditions() {
    for (const ThreadFact& thread : context_.ledger.facts.threads) {
      if (!thread.wait || !thread.wait->then.known() || thread.wait->on.empty()) continue;
      const ResourceId on = thread.wait->on.front().as<RefKind::resource>();
      if (on.known()) condition_of_[thread.wait->then] = on;
    }
  }

  Names from_users(ResourceId id) const {
    std::vector<ThreadId> users = users_of(context_.ledger.resource(id));
    if (const auto at = condition_of_.find(id); users.empty() && at != condition_of_.end())
      users = users_of(context_.ledger.resource(at->second));
    NameSearch search(context_.objects(), {address_of(id)});
    for (const ThreadId user : users) {
      const auto states = states_.find(user);
      if (states == states_.end()) continue;
      for (const PyThread* state : states->second) look_at(search, *state, true);
    }
    return std::move(search.of(address_of(id)));
  }

  void count_users() {
    users_.clear();
    for (const ResourceId id : unnamed_) {
      for (const std::string& name : names_[id].all()) ++users_[full_name(id, name)];
    }
  }

  bool is_ambiguous(ResourceId id) const {
    return std::ranges::all_of(names_.at(id).all(), [&](const std::string& name) {
      return users_.at(full_name(id, name)) > 1;
    });
  }

  // Those that somebody waits for and that their users call by a local name at best, or as they
  // call others: once through the frames of all threads and the globals of all modules.
  void look_everywhere() {
    std::vector<ResourceId> vague;
    std::vector<Addr> wanted;
    for (const ResourceId id : unnamed_) {
      if (context_.ledger.resource(id).waiters.empty()) continue;
      if (names_[id].telling() && !is_ambiguous(id)) continue;
      vague.push_back(id);
      wanted.push_back(address_of(id));
    }
    if (vague.empty()) return;
    NameSearch search(context_.objects(), wanted);
    for (const Interpreter& interpreter : context_.runtime().interpreters)
      search.look_at_modules(interpreter);
    std::size_t looked = 0;
    for (const auto& [thread, states] : states_) {
      if (++looked > most_threads) break;
      for (const PyThread* state : states) look_at(search, *state, false);
    }
    for (const ResourceId id : vague) add_found(names_[id], search.of(address_of(id)));
  }

  // What another thread calls its local variable is no help to the reader.
  static void add_found(Names& names, Names& found) {
    if (names.typed.empty()) names.typed = std::move(found.typed);
    names.globals.insert(names.globals.end(), found.globals.begin(), found.globals.end());
    if (names.paths.empty()) names.paths = std::move(found.paths);
    if (names.empty()) names.locals = std::move(found.locals);
  }

  std::string full_name(ResourceId id, const std::string& name) const {
    return context_.ledger.resource(id).implementation + " " + name;
  }

  void set_label(ResourceId id) {
    std::vector<std::string> names = names_[id].all();
    if (names.empty()) return;
    ResourceFact& fact = context_.ledger.resource(id);
    // Two accounts have an Account.lock each: the next name that tells them apart, else the
    // address.
    auto best = std::ranges::find_if(
        names, [&](const std::string& name) { return users_[full_name(id, name)] == 1; });
    const bool ambiguous = best == names.end();
    if (ambiguous) best = names.begin();
    fact.label = full_name(id, *best);
    if (ambiguous) fact.label += " at " + hex(fact.at.front().address.value);
    names.erase(best);
    for (std::string& name : names) {
      if (fact.aliases.size() < most_aliases) fact.aliases.push_back(std::move(name));
    }
  }

  // A condition's lock that has no name of its own.
  void set_label_of_part(ResourceId lock, ResourceId condition) {
    if (names_[lock].telling() || !names_[lock].paths.empty()) return;
    ResourceFact& fact = context_.ledger.resource(lock);
    fact.label = fact.implementation + " of " + context_.ledger.resource(condition).label;
  }

  LensContext& context_;
  std::map<ThreadId, std::vector<const PyThread*>> states_;
  std::vector<ResourceId> unnamed_;
  std::map<ResourceId, Names> names_;
  std::map<ResourceId, ResourceId> condition_of_;
  std::map<std::string, int> users_;
};

}  // namespace

void add_labels(LensContext& context) {
  Labels(context).run();
}

}  // namespace coldcase::cpython
