// Triage without a core: what a worker printed, which cores are one incident, rows and groups, and
// the signatures that make groups.
#include <coldcase/triage.hpp>

#include "diagnose/diagnose.hpp"
#include "diagnose/signature.hpp"
#include "support/catch.hpp"
#include "support/incident.hpp"
#include "triage/incidents.hpp"
#include "triage/rows.hpp"

namespace coldcase {
namespace {

using namespace test;
using triage::Identified;
using triage::Outcome;
using TriageIncident = triage::Incident;
using Words = std::vector<std::string>;

std::string identity_of(char digit) {
  return std::string(64, digit);
}

bool parses(const std::string& line) {
  Identified into;
  const bool parsed = triage::parse_identity(line, into);
  CHECK(into.is_core == parsed);
  CHECK(into.identity.empty() == !parsed);
  return parsed;
}

Identified core_of(const std::string& folder, const std::string& name, char identity,
                   std::int64_t pid = 0, std::int64_t ppid = 0) {
  Identified one;
  const std::string shown = folder.empty() ? name : folder + "/" + name;
  one.file = {"/any/" + shown, shown, folder, false};
  one.is_core = true;
  one.identity = identity_of(identity);
  one.pid = pid;
  one.ppid = ppid;
  return one;
}

// The files of each incident, joined.
Words incidents_of(const std::vector<Identified>& identified) {
  Words found;
  for (const TriageIncident& incident : triage::group_incidents(identified)) {
    std::string names;
    for (const triage::Candidate& file : incident.files)
      names += (names.empty() ? "" : " ") + file.shown;
    for (const std::string& copy : incident.duplicates) names += " =" + copy;
    found.push_back(names);
  }
  return found;
}

// ---- a worker's line

TEST_CASE("a worker's line is believed only in its one form", "[triage]") {
  const std::string good = identity_of('a');
  Identified into;
  REQUIRE(triage::parse_identity(good + "\t12\t3\n", into));
  CHECK(into.is_core);
  CHECK(into.identity == good);
  CHECK(into.pid == 12);
  CHECK(into.ppid == 3);
  CHECK(parses(good + "\t0\t0"));
  REQUIRE(triage::parse_identity(good + "\t12\t3\t0123456789abcdef\t13,14\n", into));
  CHECK(into.job == "0123456789abcdef");
  CHECK(into.threads == std::vector<std::int64_t>{13, 14});
  REQUIRE(triage::parse_identity(good + "\t12\t3\t\t13", into));
  CHECK(into.job.empty());
  CHECK(into.threads == std::vector<std::int64_t>{13});
  CHECK(parses(good + "\t9223372036854775807\t1"));
}

TEST_CASE("a hostile worker's line is no identity", "[triage]") {
  const std::string good = identity_of('a');
  const std::string nul("\0", 1);
  for (const std::string& line : {std::string(),
                                  std::string("\n"),
                                  std::string("\t\t"),
                                  std::string("\t\t\n\n"),
                                  good,
                                  good + "\t1",
                                  good + "\t\t",
                                  good + "\t1\t",
                                  good + "\t\t1",
                                  good + "\t-1\t1",
                                  good + "\t1\t-1",
                                  good + "\t+1\t1",
                                  good + "\t 1\t1",
                                  good + "\t1 \t1",
                                  good + "\t1x\t1",
                                  good + "\t1\t1x",
                                  good + "\t0x1\t1",
                                  good + "\t1\t1\r\n",
                                  good + "\t9223372036854775808\t1",
                                  good + "\t1\t99999999999999999999999",
                                  good + "\t1\t1\n" + good + "\t2\t2\n",
                                  good + "\t1\t1\textra",
                                  good + "\t1\t1\t",
                                  good + "\t1\t1\t\t",
                                  good + "\t1\t1\t\t2,",
                                  good + "\t1\t1\t\t,2",
                                  good + "\t1\t1\t\t2,x",
                                  good + "\t1\t1\t\t2\t3",
                                  good + "\t1\t1\t0123456789abcdeg\t2",
                                  good + "\t1" + nul + "\t1",
                                  good + nul + "\t1\t1",
                                  good.substr(1) + "\t1\t1",
                                  good + "a\t1\t1",
                                  std::string(64, 'A') + "\t1\t1",
                                  std::string(64, 'g') + "\t1\t1",
                                  std::string(63, 'a') + "/\t1\t1",
                                  " " + good + "\t1\t1",
                                  std::string(64, '.') + "\t1\t1",
                                  "../../" + std::string(58, 'a') + "\t1\t1",
                                  std::string(1 << 20, 'a')}) {
    CAPTURE(line.substr(0, 120));
    CHECK_FALSE(parses(line));
  }
}

TEST_CASE("what a worker prints is read back, of an archive each core", "[triage]") {
  CoreIdentity first, second;
  first.content = identity_of('a');
  first.pid = 12;
  first.threads = {13, 14};
  first.member = "a folder/core\t1\n";
  second.content = identity_of('b');
  second.member = "core.2";
  const triage::Candidate file{"/any/job.tar", "job.tar", "", false};
  const std::string text = triage::identity_line(first) + triage::identity_line(second);
  const auto found = triage::parse_identities(text, file);
  REQUIRE(found.size() == 2);
  CHECK(found[0].file.path == "/any/job.tar:a folder/core\t1\n");
  CHECK(found[0].threads == first.threads);
  CHECK(found[1].file.shown == "job.tar:core.2");
  CHECK(found[1].file.folder == "job.tar");
  CHECK(triage::parse_identities(text + "x\n", file).empty());
  CHECK(triage::parse_identities("", file).empty());
  for (std::size_t cut = 0; cut < text.size(); ++cut)
    CHECK(triage::parse_identities(text.substr(0, cut), file).size() <= 2);

  first.member.clear();
  first.threads.clear();
  CHECK(triage::identity_line(first) == identity_of('a') + "\t12\t0\n");
  const auto alone = triage::parse_identities(triage::identity_line(first), file);
  REQUIRE(alone.size() == 1);
  CHECK(alone[0].file.path == "/any/job.tar");
}

TEST_CASE("a line that is refused leaves nothing behind", "[triage]") {
  Identified into;
  CHECK_FALSE(triage::parse_identity(identity_of('a') + "\t12\tx", into));
  CHECK_FALSE(into.is_core);
  CHECK(into.identity.empty());
}

// ---- incidents

TEST_CASE("parent and child of one folder are one incident", "[triage]") {
  CHECK(incidents_of({core_of("n", "a", '1', 100, 1), core_of("n", "b", '2', 101, 100)}) ==
        Words{"n/a n/b"});
  CHECK(incidents_of({core_of("n", "a", '1', 101, 100), core_of("n", "b", '2', 100, 1)}) ==
        Words{"n/a n/b"});
  CHECK(incidents_of({core_of("n", "a", '1', 100, 1), core_of("n", "b", '2', 101, 100),
                      core_of("n", "c", '3', 102, 101), core_of("n", "d", '4', 103, 100)}) ==
        Words{"n/a n/b n/c n/d"});
  CHECK(incidents_of({core_of("n", "a", '1', 100, 1), core_of("m", "b", '2', 101, 100)}) ==
        Words{"n/a", "m/b"});
}

TEST_CASE("a child forked by a thread belongs to that thread's process", "[triage]") {
  std::vector<Identified> found = {core_of("n", "child", '2', 130, 115),
                                   core_of("n", "parent", '1', 100, 1)};
  found[1].threads = {114, 115};
  CHECK(incidents_of(found) == Words{"n/child n/parent"});
  found[1].file.folder = "m";
  CHECK(incidents_of(found).size() == 2);
}

TEST_CASE("strangers are incidents of their own", "[triage]") {
  // Children of one runner that left no core; of init; with pids that are not known.
  CHECK(incidents_of({core_of("n", "a", '1', 100, 50), core_of("n", "b", '2', 101, 50)}).size() ==
        2);
  CHECK(incidents_of({core_of("n", "a", '1', 1, 0), core_of("n", "b", '2', 101, 1)}).size() == 2);
  CHECK(incidents_of({core_of("n", "a", '1'), core_of("n", "b", '2')}).size() == 2);
  CHECK(incidents_of({core_of("n", "a", '1', 100, 100)}).size() == 1);  // its own parent
  CHECK(incidents_of({core_of("n", "a", '1', 100, 101), core_of("n", "b", '2', 101, 100)}).size() ==
        1);  // a ring ends
  CHECK(incidents_of({}).empty());
}

TEST_CASE("copies of one core are one row, wherever they lie", "[triage]") {
  const std::vector<Identified> found = {
      core_of("a", "core", '1', 100, 1), core_of("b", "core", '1', 100, 1),
      core_of("b", "other", '2', 101, 100), core_of("c", "core", '1', 100, 1)};
  const std::vector<TriageIncident> incidents = triage::group_incidents(found);
  REQUIRE(incidents_of(found) == Words{"a/core =b/core =c/core", "b/other"});
  CHECK(incidents[0].identities == Words{identity_of('1')});
}

TEST_CASE("what is no core is in no incident", "[triage]") {
  std::vector<Identified> found = {core_of("a", "core", '1', 100, 1), core_of("a", "b", '2', 1, 1)};
  found[1].is_core = false;
  CHECK(incidents_of(found) == Words{"a/core"});
}

TEST_CASE("a result's key: content and options, not names and order", "[triage]") {
  const auto key = [](const std::vector<Identified>& found, const Words& reading = {}) {
    const auto incidents = triage::group_incidents(found);
    REQUIRE(incidents.size() == 1);
    return triage::key_of(incidents[0], reading);
  };
  const std::string one = key({core_of("n", "a", '1', 100, 1)});
  CHECK(one.size() == 32);
  CHECK(one.find_first_not_of("0123456789abcdef") == std::string::npos);
  CHECK(key({core_of("m", "other", '1', 7, 8)}) == one);
  CHECK(key({core_of("n", "a", '1'), core_of("n", "b", '1')}) == one);  // a copy
  CHECK(key({core_of("n", "a", '2', 100, 1)}) != one);
  const std::string both = key({core_of("n", "a", '1', 100, 1), core_of("n", "b", '2', 101, 100)});
  CHECK(key({core_of("n", "a", '2', 101, 100), core_of("n", "b", '1', 100, 1)}) == both);
  CHECK(both != one);
  // Options cannot be mistaken for one another or for identities.
  const std::vector<Identified> core = {core_of("n", "a", '1', 100, 1)};
  CHECK(key(core, {"--sysroot=/x"}) != one);
  CHECK(key(core, {"--sysroot=/x"}) == key(core, {"--sysroot=/x"}));
  CHECK(key(core, {"--sysroot=/x"}) != key(core, {"--debug-dir=/x"}));
  CHECK(key(core, {"a", "b"}) != key(core, {"b", "a"}));
  CHECK(key(core, {"a", "b"}) != key(core, {"ab"}));
  CHECK(key(core, {"--", identity_of('2')}) != key({core_of("n", "a", '2')}, {}));
}

// ---- rows and groups

TriageRow problem_row(const std::string& key, const std::string& signature, double complete = 1,
                      std::uint64_t threads = 4) {
  TriageRow row;
  row.key = key;
  row.inputs = {"core." + key};
  row.kind = RowKind::problem;
  row.signature = signature;
  row.complete = complete;
  row.thread_count = threads;
  return row;
}

TEST_CASE("groups: the same signature, the largest first", "[triage]") {
  const std::vector<TriageRow> rows = {problem_row("a", "cc1:2"), problem_row("b", "cc1:1"),
                                       problem_row("c", "cc1:3"), problem_row("d", "cc1:3")};
  const auto groups = triage::group_rows(rows);
  REQUIRE(groups.size() == 3);
  CHECK(groups[0].id == "cc1:3");
  CHECK(groups[0].rows == std::vector<std::size_t>{2, 3});
  CHECK(groups[1].id == "cc1:1");
  CHECK(groups[2].id == "cc1:2");
  CHECK(triage::group_rows({}).empty());
}

TEST_CASE("groups: an empty signature is never a bucket", "[triage]") {
  std::vector<TriageRow> rows = {problem_row("a", ""), problem_row("b", ""), problem_row("c", "")};
  auto groups = triage::group_rows(rows);
  REQUIRE(groups.size() == 3);
  for (const TriageGroup& group : groups) CHECK(group.rows.size() == 1);
  CHECK(groups[0].id == "a");
  // Without symbols the module's key stands in.
  rows[0].by_module = rows[2].by_module = "cc1m:1";
  groups = triage::group_rows(rows);
  REQUIRE(groups.size() == 2);
  CHECK(groups[0].id == "cc1m:1");
  CHECK(groups[0].rows == std::vector<std::size_t>{0, 2});
  // It never joins rows that have a signature.
  rows[0].signature = "cc1:1";
  CHECK(triage::group_rows(rows).size() == 3);
}

TEST_CASE("groups: only problems", "[triage]") {
  std::vector<TriageRow> rows;
  for (const RowKind kind : {RowKind::none, RowKind::inconclusive, RowKind::unreadable}) {
    rows.push_back(problem_row("x", "cc1:1"));
    rows.back().kind = kind;
  }
  CHECK(triage::group_rows(rows).empty());
}

TEST_CASE("groups: the representative is the most complete core", "[triage]") {
  const auto representative = [](const std::vector<TriageRow>& rows) {
    const auto groups = triage::group_rows(rows);
    REQUIRE(groups.size() == 1);
    return rows[groups[0].representative].key;
  };
  CHECK(representative({problem_row("a", "s", 0.5, 99), problem_row("b", "s", 0.9, 1),
                        problem_row("c", "s", 0.4, 7)}) == "b");
  CHECK(representative({problem_row("a", "s", 1, 4), problem_row("b", "s", 1, 9)}) == "b");
  // Told by content where all else is equal, not by the order of files.
  CHECK(representative({problem_row("b", "s"), problem_row("a", "s")}) == "a");
  CHECK(representative({problem_row("a", "s"), problem_row("b", "s")}) == "a");
}

TEST_CASE("a worker that failed costs its row", "[triage]") {
  using End = Outcome::End;
  TriageIncident incident;
  incident.files = {{"/tmp/x/core\x1b[31m", "x/core\x1b[31m", "x", false}};
  incident.duplicates = {"y/\x07"};
  const auto row = [&](End end, int code, const std::string& errors = "") {
    Outcome outcome;
    outcome.end = end;
    outcome.code = code;
    outcome.errors = errors;
    TriageRow made = triage::failed_row(outcome, incident, "k", {7, 0, 1});
    CHECK(made.kind == RowKind::unreadable);
    CHECK(made.key == "k");
    CHECK(made.report.empty());
    CHECK_FALSE(made.problem_text.empty());
    CHECK(made.problem_text.find_first_of("\n\x1b\x07") == std::string::npos);
    CHECK(made.problem_text.size() <= 303);
    CHECK(made.inputs == Words{"x/core\\x1b[31m"});
    CHECK(made.duplicates == Words{"y/\\x07"});
    return made;
  };
  CHECK(row(End::signaled, 11).problem_code == "worker-crashed");
  CHECK(row(End::signaled, 11).problem_text.find("11") != std::string::npos);
  CHECK(row(End::timed_out, 0).problem_code == "time-limit");
  CHECK(row(End::timed_out, 0).problem_text.find("7 s") != std::string::npos);
  CHECK(row(End::flooded, 0).problem_code == "output-limit");
  CHECK(row(End::not_started, 0).problem_code == "not-run");
  CHECK(row(End::exited, 65, "coldcase: x: no core\n").problem_code == "not-readable");
  CHECK(row(End::exited, 65, "noise\ncoldcase: x: no core\n\n").problem_text == "x: no core");
  CHECK(row(End::exited, 70).problem_code == "worker-failed");
  CHECK(row(End::exited, 0, std::string(100000, '\x1b')).problem_code == "worker-failed");
  CHECK(row(End::exited, 70, "\n\n\n").problem_text.find("70") != std::string::npos);
}

// ---- signatures

// Each thread of a ring waits in `names` of the user's own code.
Incident ring_at(const Words& names, WaitKind kind = WaitKind::mutex) {
  Incident incident;
  const ModuleId program = incident.module("program"), libc = incident.module("libc.so.6");
  incident.facts().modules[program.index].path = "/opt/program";
  incident.facts().modules[libc.index].path = "/usr/lib/libc.so.6";
  const auto threads = incident.ring(names.size(), kind);
  for (std::size_t i = 0; i < names.size(); ++i) {
    Frame frame = native_frame(names[i], "", 0, program);
    frame.in_app = true;
    frame.pc = Addr{0x1000 + i * 0x10};
    frame.module_offset = Addr{0x100 + i * 0x10};
    incident.stack(threads[i], {native_frame("pthread_mutex_lock", "", 0, libc), frame}, 1);
  }
  return incident;
}

Finding ring_finding(const Incident& incident, std::size_t first = 0) {
  Finding finding;
  finding.pattern = "lock-cycle";
  finding.kind = FindingKind::deadlock;
  finding.confidence = Confidence::proved;
  finding.cyclic = true;
  const auto count = static_cast<std::uint32_t>(incident.analysis.facts.threads.size());
  for (std::uint32_t i = 0; i < count; ++i)
    finding.threads.push_back(ThreadId{(i + static_cast<std::uint32_t>(first)) % count});
  return finding;
}

std::optional<Signature> signature_of(const Incident& incident, std::size_t first = 0) {
  return make_signature(incident.analysis.facts, ring_finding(incident, first));
}

std::string loose_of(const Words& names, std::size_t first = 0) {
  const auto signature = signature_of(ring_at(names), first);
  return signature ? signature->loose : "none";
}

std::string normal(const std::string& name, FrameKind kind = FrameKind::native) {
  Frame frame = native_frame(name);
  frame.kind = kind;
  return normal_name(frame);
}

std::string normal_python(const std::string& name) {
  return normal(name, FrameKind::python);
}

TEST_CASE("a signature is one text for one ring", "[signature]") {
  const auto signature = signature_of(ring_at({"left", "right"}));
  REQUIRE(signature);
  CHECK(signature->version == "cc1");
  CHECK(signature->text == "lock-cycle: mutex@left -> mutex@right");
  CHECK(signature->loose.starts_with("cc1:"));
  CHECK(signature->loose.size() == 20);
  CHECK_FALSE(signature->strict.empty());
  CHECK(signature->by_module.starts_with("cc1m:"));
}

TEST_CASE("a signature does not depend on where the ring is entered", "[signature]") {
  const Words names = {"b", "a", "c", "a", "d"};
  const std::string loose = loose_of(names);
  for (std::size_t first = 1; first < names.size(); ++first) {
    CAPTURE(first);
    CHECK(loose_of(names, first) == loose);
    CHECK(signature_of(ring_at(names), first)->strict == signature_of(ring_at(names))->strict);
  }
  CHECK(loose_of({"a", "b", "c"}) != loose_of({"a", "c", "b"}));  // the way round counts
}

TEST_CASE("5 and 206 philosophers are one bug", "[signature]") {
  const std::string five = loose_of(Words(5, "dine"));
  CHECK(loose_of(Words(206, "dine")) == five);
  CHECK(loose_of(Words(2, "dine")) == five);
  CHECK(signature_of(ring_at(Words(206, "dine")))->text == "lock-cycle: mutex@dine");
  Words one_other(5, "dine"), many_other(206, "dine");
  one_other[2] = many_other[0] = "wash";
  CHECK(loose_of(one_other) == loose_of(many_other));
  CHECK(loose_of(one_other) != five);
}

TEST_CASE("a signature has no addresses, lines or thread numbers in its loose text",
          "[signature]") {
  Incident one = ring_at({"left", "right"}), other = ring_at({"left", "right"});
  for (Frame& frame : other.facts().frames) {
    frame.pc = Addr{0x7fff0000};
    frame.line = 99;
    frame.module_offset = Addr{0x9000};
  }
  for (ThreadFact& thread : other.facts().threads) thread.tid = 1;
  CHECK(signature_of(one)->loose == signature_of(other)->loose);
  CHECK(signature_of(one)->text == signature_of(other)->text);
  CHECK(signature_of(one)->strict != signature_of(other)->strict);
}

TEST_CASE("the primitive and the pattern are part of a signature", "[signature]") {
  Incident rwlock = ring_at({"left", "right"}, WaitKind::rwlock);
  CHECK(signature_of(rwlock)->loose != loose_of({"left", "right"}));
  Finding finding = ring_finding(rwlock);
  finding.pattern = "lock-order";
  CHECK(make_signature(rwlock.analysis.facts, finding)->loose != signature_of(rwlock)->loose);
}

TEST_CASE("what a compiler adds to a name does not count", "[signature]") {
  for (const char* name :
       {"bank::move", "bank::move(int, char const*)", "bank::move(int) const", "bank::move.part.0",
        "bank::move.isra.3", "bank::move.constprop.0.isra.1", "bank::move.cold",
        "bank::move(int) [clone .cold]", "bank::move(int) [clone .part.0]", "bank::move.lto_priv.0",
        "bank::move.localalias", "bank::move[abi:cxx11]", "bank::move[abi:cxx11](int)",
        "bank::move.llvm.1234", "bank::move(std::function<void (int)>)"}) {
    CAPTURE(name);
    CHECK(normal(name) == "bank::move");
  }
}

TEST_CASE("template arguments do not count, operators stay", "[signature]") {
  CHECK(normal("take<int>") == normal("take<std::map<int, std::vector<long>>>"));
  CHECK(normal("Pool<int>::take()") == "Pool<T>::take");
  CHECK(normal("Pool<&A::operator->>::take()") != "");
  CHECK(normal("Big::operator<(Big const&)") != normal("Big::operator>(Big const&)"));
  CHECK(normal("operator<<(std::ostream&, int)") == "operator<<");
  CHECK(normal("(anonymous namespace)::post(int)") == "{anonymous}::post");
  CHECK(normal("void (anonymous namespace)::run<long>(int)").find("{anonymous}") !=
        std::string::npos);
}

TEST_CASE("a native lambda keeps the function around it", "[signature]") {
  const std::string name = normal("bank::move(int)::{lambda()#1}::operator()() const");
  CHECK(name.find("bank::move") != std::string::npos);
  CHECK(name.find("lambda") != std::string::npos);
  CHECK(name.find("const") == std::string::npos);
  CHECK(name != normal("bank::keep(int)::{lambda()#1}::operator()() const"));
}

TEST_CASE("hostile names end", "[signature]") {
  for (const std::string& name :
       {std::string(5000, '<'), std::string(5000, '('), std::string(5000, '>'),
        std::string("[abi:"), std::string("[abi:[abi:x]"),
        std::string("(anonymous namespace)(anonymous namespace)"), std::string(" const"),
        std::string(), std::string("<"), std::string(".cold")}) {
    CHECK(normal(name).size() <= name.size() + 3);
    CHECK(normal_python(name).size() <= name.size() + 1);
  }
}

TEST_CASE("a Python name: its last part, a lambda with the function around it", "[signature]") {
  CHECK(normal_python("move") == "move");
  CHECK(normal_python("Bank.move") == "move");
  CHECK(normal_python("Bank.move.<locals>.inner") == "inner");
  CHECK(normal_python("<lambda>") == "<lambda>");
  CHECK(normal_python("Bank.move.<locals>.<lambda>") == "move.<lambda>");
  CHECK(normal_python("Bank.move.<locals>.<lambda> (callback, not yet entered)") ==
        normal_python("Bank.move.<locals>.<lambda>"));
}

// The signature of one thread that waits below these frames.
std::string site_of(const std::vector<Frame>& frames, const Words& modules = {"program"}) {
  Incident incident;
  const auto threads = incident.ring(1);
  for (const std::string& name : modules)
    incident.facts().modules[incident.module(name).index].path = "/usr/lib/" + name;
  incident.stack(threads[0], frames);
  const auto signature = signature_of(incident);
  return signature && !signature->loose.empty() ? signature->text : "none";
}

Frame app_frame(const std::string& name) {
  Frame frame = native_frame(name, "", 0, ModuleId{0});
  frame.in_app = true;
  return frame;
}

TEST_CASE("comprehensions never count: 3.12 has no frames for them", "[signature]") {
  const std::string plain = site_of({python_frame("move", "bank.py", 3)});
  CHECK(plain == "lock-cycle: mutex@move");
  for (const char* name : {"<listcomp>", "<dictcomp>", "<setcomp>", "move.<locals>.<listcomp>"}) {
    CAPTURE(name);
    CHECK(site_of({python_frame(name, "bank.py", 3), python_frame("move", "bank.py", 3)}) == plain);
  }
}

TEST_CASE("frames found by scanning never count", "[signature]") {
  Frame found = app_frame("ghost");
  found.trust = Trust::scan;
  CHECK(site_of({found, app_frame("move")}) == "lock-cycle: mutex@move");
  CHECK(site_of({found}) == "none");
}

TEST_CASE("names of a debug file never count", "[signature]") {
  Frame named = app_frame("inner");
  named.named_by_debug_file = true;
  CHECK(site_of({named, app_frame("move")}) == "lock-cycle: mutex@move");
}

TEST_CASE("inlined frames never count: they come and go with debug files", "[signature]") {
  Frame inlined = app_frame("inner");
  inlined.kind = FrameKind::inline_;
  CHECK(site_of({inlined, app_frame("move")}) == "lock-cycle: mutex@move");
}

TEST_CASE("the runtime never counts, a library if nothing nearer does", "[signature]") {
  const Words modules = {"program", "libc.so.6", "libuct.so.0", "libstdc++.so.6"};
  const Frame runtime = native_frame("pthread_mutex_lock", "", 0, ModuleId{1});
  const Frame library = native_frame("uct_arm", "", 0, ModuleId{2});
  const Frame standard = native_frame("std::mutex::lock()", "", 0, ModuleId{3});
  CHECK(site_of({runtime, library, app_frame("move")}, modules) == "lock-cycle: mutex@move");
  CHECK(site_of({runtime, library}, modules) == "lock-cycle: mutex@uct_arm");
  CHECK(site_of({runtime, standard}, modules) == "none");
  CHECK(site_of({runtime}, modules) == "none");
}

TEST_CASE("the standard library's own inline functions are not the user's code", "[signature]") {
  // At -O0 they are functions of the program; with -O2 they are gone.
  for (const char* name : {"__gthread_mutex_lock", "std::mutex::lock()",
                           "std::lock_guard<std::mutex>::lock_guard(std::mutex&)",
                           "std::unique_lock<std::mutex>::lock()"}) {
    CAPTURE(name);
    CHECK(site_of({app_frame(name), app_frame("move")}) == "lock-cycle: mutex@move");
  }
}

TEST_CASE("a hypothesis has no signature", "[signature]") {
  const Incident incident = ring_at({"left", "right"});
  Finding finding = ring_finding(incident);
  finding.confidence = Confidence::hypothesis;
  CHECK_FALSE(make_signature(incident.analysis.facts, finding));
  finding.confidence = Confidence::likely;
  CHECK(make_signature(incident.analysis.facts, finding));
  finding.kind = FindingKind::info;
  CHECK_FALSE(make_signature(incident.analysis.facts, finding));
}

TEST_CASE("without symbols only the modules speak", "[signature]") {
  Incident incident = ring_at({"", ""});
  const auto signature = signature_of(incident);
  REQUIRE(signature);
  CHECK(signature->loose.empty());
  CHECK(signature->strict.empty());
  CHECK(signature->by_module.starts_with("cc1m:"));
  for (Frame& frame : incident.facts().frames) frame.trust = Trust::scan;
  CHECK_FALSE(signature_of(incident));
}

TEST_CASE("a finding without threads or stacks has no signature", "[signature]") {
  Incident incident;
  CHECK_FALSE(signature_of(incident));
  incident.ring(2);
  CHECK_FALSE(signature_of(incident));
}

TEST_CASE("a row of a report: harmless, and a group only by a signature", "[triage]") {
  Incident incident = ring_at({"left", "right"});
  settle_waits(incident.facts());
  diagnose(incident.analysis);
  TriageIncident files;
  files.files = {{"/x/core", "core", "", false}};
  TriageRow row = triage::row_of(incident.analysis, files, "k");
  CHECK(row.kind == RowKind::problem);
  CHECK(row.pattern == "lock-cycle");
  CHECK(row.thread_count == 2);
  CHECK(row.signature.starts_with("cc1:"));
  REQUIRE_FALSE(incident.analysis.findings.empty());
  incident.analysis.verdict.headline = "a\x1b[2Jb\n" + std::string(5000, 'x');
  incident.analysis.findings[0].signature->loose = "\x1b]0;title\x07";
  row = triage::row_of(incident.analysis, files, "k");
  CHECK(row.headline.find_first_of("\x1b\n") == std::string::npos);
  CHECK(row.headline.size() <= 243);
  CHECK(row.signature.find_first_of("\x1b\x07") == std::string::npos);
}

}  // namespace
}  // namespace coldcase
