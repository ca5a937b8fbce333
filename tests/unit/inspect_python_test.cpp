// The sections of `coldcase show python` from hand-written facts.
#include <coldcase/inspect.hpp>

#include "support/catch.hpp"
#include "support/incident.hpp"

namespace coldcase {
namespace {

using namespace test;
using Row = std::vector<std::string>;

struct Bank : Incident {
  ThreadId main = thread("MainThread"), teller = thread("teller", ThreadState::blocked);
  ResourceId vault = lock("threading.Lock vault", WaitKind::python_lock, "threading.Lock");
  ResourceId page = lock("mutex page", WaitKind::mutex);
  ResourceId gil = lock("the GIL", WaitKind::gil, "struct _gil_runtime_state");

  Bank() {
    RuntimeFact runtime;
    runtime.kind = "cpython";
    runtime.version = "3.11.2";
    InterpreterFact interpreter;
    interpreter.gil = gil;
    interpreter.finalizing = false;
    runtime.interpreters.push_back(interpreter);
    facts().processes[0].runtimes.push_back(runtime);
    Frame library = python_frame("join", "/usr/lib/threading.py", 7);
    library.in_app = false;
    stack(main, {native_frame("futex_wait"), library, python_frame("close", "/src/bank.py", 20)},
          2);
    at(main).python.emplace_back();
    at(main).python[0].ident = "0x7f00";
    at(main).python[0].daemon = false;
    at(main).python[0].gil_state = GilState::holds;
    stack(teller, {python_frame("pay", "/src/bank.py", 9)}, 0);
    at(teller).python.emplace_back();
    holds(main, vault, {.confidence = Confidence::very_likely, .frame = 2});
    holds(main, gil).waits(teller, vault).joins(main, teller);
    thread("a native one");
  }
  Table section(std::string_view name) const {
    for (const Section& one : make_python_sections(analysis)) {
      if (one.name == name) return one.table;
    }
    return {};
  }
};

TEST_CASE("Python's threads, stacks and locks as tables", "[inspect]") {
  const Bank bank;
  for (const Section& section : make_python_sections(bank.analysis)) {
    CAPTURE(section.name);
    for (const Row& row : section.table.rows) CHECK(row.size() == section.table.columns.size());
  }
  CHECK(bank.section("interpreters").rows ==
        std::vector<Row>{{"4711", "3.11.2", "locked", "MainThread (LWP 4711)", "no", ""}});
  CHECK(bank.section("threads").rows ==
        std::vector<Row>{{"4711", "MainThread", "0x7f00", "no", "holds", "blocked",
                          "the end of teller (LWP 4712)", "threading.Lock vault, the GIL",
                          "close at /src/bank.py:20"},
                         {"4712", "teller", "", "", "", "blocked", "threading.Lock vault", "",
                          "pay at /src/bank.py:9"}});
  CHECK(bank.section("stacks").rows ==
        std::vector<Row>{{"4711", "MainThread", "0", "join", "/usr/lib/threading.py:7"},
                         {"4711", "MainThread", "1", "close", "/src/bank.py:20"},
                         {"4712", "teller", "0", "pay", "/src/bank.py:9"}});
  CHECK(bank.section("locks").rows ==
        std::vector<Row>{
            {"threading.Lock vault", "python_lock", "0x55550000", "locked", "MainThread (LWP 4711)",
             "close at /src/bank.py:20", "very_likely (owner_word)", "teller (LWP 4712)"},
            {"the GIL", "gil", "0x55550080", "locked", "MainThread (LWP 4711)", "",
             "proved (owner_word)", ""}});
}

TEST_CASE("what is not known of Python stays empty", "[inspect]") {
  Incident none;
  none.thread("a");
  CHECK(make_python_sections(none.analysis).empty());

  Bank bank;
  bank.facts().processes[0].runtimes[0].interpreters.clear();  // its layout is not known
  bank.at(bank.main).stack = {};
  bank.at(bank.main).holds[0].frame = 99;
  CHECK(bank.section("interpreters").rows == std::vector<Row>{{"4711", "3.11.2", "", "", "", ""}});
  CHECK(bank.section("threads").rows[0].back().empty());
  CHECK(bank.section("locks").rows[0][5].empty());
  bank.at(bank.vault).owners.clear();
  bank.at(bank.vault).owner_unknown_text = "it does not record who took it";
  CHECK(bank.section("locks").rows[0][6] == "it does not record who took it");
}

}  // namespace
}  // namespace coldcase
