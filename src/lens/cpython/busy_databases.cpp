// Waits of SQLite for a database that another connection has locked: its busy handler sleeps and
// tries again until sqlite3.connect's `timeout` is over. The sleep alone would say nothing.
#include <algorithm>

#include "base/text.hpp"
#include "lens/cpython/object_waits.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t innermost = 12;

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

}  // namespace

void add_busy_databases(LensContext& context) {
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    for (const PyThread& state : interpreter.threads) {
      if (!state.core_thread) continue;
      const std::size_t thread = *state.core_thread;
      const auto& wait = context.ledger.thread(context.view.thread_id(thread)).wait;
      if (!wait || wait->kind != WaitKind::sleep || !sleeps_in_sqlite(context.view, thread))
        continue;
      const ResourceId id =
          context.ledger.named_resource("sqlite-busy:" + std::to_string(context.view.process.index),
                                        WaitKind::file_lock, "an SQLite database");
      ResourceFact& fact = context.ledger.resource(id);
      fact.label = "an SQLite database that another connection has locked";
      fact.state = LockState::locked;
      fact.owner_unknown_code = "owner_not_recorded";
      fact.owner_unknown_text = "SQLite does not tell which connection has it locked";
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
