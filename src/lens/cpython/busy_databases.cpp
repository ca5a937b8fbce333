// Waits of SQLite for a database that another connection has locked: its busy handler sleeps and
// tries again until sqlite3.connect's `timeout` is over. The sleep alone would say nothing.
#include <algorithm>
#include <map>
#include <set>

#include "base/text.hpp"
#include "lens/cpython/object_waits.hpp"
#include "lens/cpython/sqlite.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t innermost = 12, most_frames = 16, most_connections = 256;
constexpr std::int64_t most_stack = 16'384;

// Nothing but the busy handler (sqliteDefaultBusyCallback, unixSleep) sleeps in that library.
bool sleeps_in_sqlite(const View& view, std::size_t thread) {
  const Walk& walk = view.threads.walks[thread];
  for (std::size_t i = 0; i < std::min(walk.frames.size(), innermost); ++i) {
    const Module* module = view.threads.rules.row(walk.frames[i].row).module;
    if (module == nullptr) continue;
    const std::string_view name = base_name(module->name());
    if (name.starts_with("libsqlite3") || name.starts_with("_sqlite3")) return true;
    if (!name.starts_with("libc") && !name.starts_with("ld-")) return false;
  }
  return false;
}

// Every connection that a frame refers to, and whose frames those are.
struct Reference {
  Database database;
  std::set<std::size_t> threads;  // of the core
};
using References = std::map<std::uint64_t, Reference>;  // by connection

void add_references(const Objects& objects, const PyThread& state, References& references) {
  each_frame(state, [&](const PythonFrame& frame, std::size_t index) {
    for (const Addr slot : read_slots(objects, frame)) {
      if (references.size() >= most_connections) return false;
      const Addr inner = out_of_cell(objects, slot);
      const bool bound = objects.type_name(inner) == "builtin_function_or_method";
      const Addr object =
          bound ? objects.image().read_pointer(offset_by(inner, bound_self)).value_or(Addr{})
                : inner;
      const auto database = object.value != 0 ? read_database(objects, object) : std::nullopt;
      if (!database) continue;
      references.try_emplace(database->connection.value, Reference{*database, {}})
          .first->second.threads.insert(*state.core_thread);
    }
    return index + 1 < most_frames;
  });
}

References find_references(const LensContext& context) {
  References references;
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    for (const PyThread& state : interpreter.threads) {
      if (state.core_thread) add_references(context.objects(), state, references);
    }
  }
  return references;
}

// SQLite's functions pass the sqlite3 on: of the connections that the thread's frames refer to the
// one whose handle is on its native stack, if there is one only.
const Reference* find_busy(const LensContext& context, const References& references,
                           std::size_t thread) {
  const Addr sp = context.view.core.threads[thread].registers.at(Registers::rsp);
  const Reference* found = nullptr;
  for (const auto& [at, reference] : references) {
    if (!reference.threads.contains(thread) || reference.database.file.empty()) continue;
    bool here = false;
    for (std::int64_t offset = 0; offset < most_stack && !here; offset += 8) {
      const auto word = context.view.image.read_pointer(offset_by(sp, offset));
      if (!word) break;
      here = *word == reference.database.handle;
    }
    if (here && found != nullptr) return nullptr;
    if (here) found = &reference;
  }
  return found;
}

ResourceId database_resource(const LensContext& context, const Reference* busy) {
  const std::string file = busy != nullptr ? busy->database.file : std::string();
  const ResourceId id = context.ledger.named_resource(
      "sqlite-busy:" + std::to_string(context.view.process.index) + ":" + file, WaitKind::file_lock,
      "an SQLite database");
  ResourceFact& fact = context.ledger.resource(id);
  if (!fact.label.empty()) return id;
  fact.label = file.empty() ? "an SQLite database that another connection has locked"
                            : "the SQLite database " + shorten_home(file);
  if (!file.empty() && busy->database.attached > 0) fact.label += ", or one that is attached to it";
  fact.state = LockState::locked;
  fact.details = "locked by another connection";
  fact.owner_unknown_code = "owner_not_recorded";
  fact.owner_unknown_text =
      "SQLite does not tell which connection has it locked, and no connection that this process's "
      "frames refer to is writing to it: another process may be";
  return id;
}

// Connections of this process that are in a write transaction on the same file.
void add_writers(LensContext& context, ResourceId id, const References& references,
                 const Reference& busy) {
  for (const auto& [at, other] : references) {
    if (&other == &busy || !other.database.writes || other.database.file != busy.database.file)
      continue;
    for (const std::size_t thread : other.threads) {
      Evidence evidence;
      evidence.claim = "frames of " + context.lwp(thread) +
                       " refer to a connection that is in a write transaction on this file";
      evidence.basis = Basis::inference;
      evidence.thread = context.view.thread_id(thread);
      evidence.resource = id;
      evidence.address = other.database.handle;
      evidence.source = "BtShared.inTransaction, SQLite 3.7.17 and later";
      const EvidenceId known = context.ledger.add_evidence(std::move(evidence));
      const bool only = other.threads.size() == 1;
      Hold hold;
      hold.resource = id;
      hold.confidence = only ? Confidence::likely : Confidence::hypothesis;
      hold.basis = Basis::inference;
      hold.evidence = {known};
      context.ledger.add_hold(context.view.thread_id(thread), hold);
    }
  }
}

}  // namespace

void add_busy_databases(LensContext& context) {
  std::optional<References> references;
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    for (const PyThread& state : interpreter.threads) {
      if (!state.core_thread) continue;
      const std::size_t thread = *state.core_thread;
      const auto& wait = context.ledger.thread(context.view.thread_id(thread)).wait;
      if (!wait || wait->kind != WaitKind::sleep || !sleeps_in_sqlite(context.view, thread))
        continue;
      if (!references) references = find_references(context);
      const Reference* busy = find_busy(context, *references, thread);
      const ResourceId id = database_resource(context, busy);
      if (busy != nullptr && context.ledger.resource(id).owners.empty())
        add_writers(context, id, *references, *busy);
      WaitClaim claim{WaitKind::file_lock, {id}, 0, Addr{}, {}};
      claim.text =
          "it sleeps inside SQLite's library, whose busy handler tries again until the "
          "connection's timeout is over";
      claim.basis = Basis::call_site;
      claim.most = Confidence::very_likely;
      claim_wait(context, thread, claim);
    }
  }
}

}  // namespace coldcase::cpython
