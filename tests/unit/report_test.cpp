// Reports from hand-written analyses: round trip, reading hostile JSON, schema, layout.
#include <coldcase/report.hpp>
#include <coldcase/result.hpp>
#include <nlohmann/json.hpp>
#include <sstream>

#include "report/layout.hpp"
#include "report/markdown.hpp"
#include "report_samples.hpp"
#include "support/agreement.hpp"
#include "support/catch.hpp"

namespace coldcase::test {
namespace {

std::vector<Analysis> samples() {
  return {ring_sample(),         crash_sample(),   healthy_sample(),
          inconclusive_sample(), hostile_sample(), Analysis{}};
}

bool refused(const std::string& json) {
  try {
    parse_report(json);
    return false;
  } catch (const Error& error) {
    CHECK(error.trouble() == Trouble::not_a_core);
    return true;
  }
}

bool has(const std::string& text, const std::string& part) {
  return text.find(part) != std::string::npos;
}

std::size_t longest_line(const std::string& text) {
  std::size_t longest = 0;
  std::istringstream in(text);
  for (std::string line; std::getline(in, line);)
    longest = std::max(longest, report::columns_of(line));
  return longest;
}

}  // namespace

TEST_CASE("a report read back renders the same in every format") {
  RenderOptions all;
  all.all_threads = true;
  all.evidence = true;
  for (const Analysis& analysis : samples()) {
    const std::string json = json_of(analysis);
    const Analysis again = parse_report(json);
    CHECK(json_of(again) == json);
    CHECK(text_of(again) == text_of(analysis));
    CHECK(text_of(again, all) == text_of(analysis, all));
    CHECK(markdown_of(again) == markdown_of(analysis));
    CHECK(markdown_of(again, all) == markdown_of(analysis, all));
  }
}

TEST_CASE("variables stand under their frame, in both directions") {
  Analysis analysis = ring_sample();
  auto& threads = analysis.facts.threads;
  const auto first =
      std::ranges::find_if(threads, [](const ThreadFact& thread) { return thread.stack.known(); });
  REQUIRE(first != threads.end());
  first->locals = {{0, "count", "int", "42"}, {0, "name", "char*", "0x10 \"x\""}};
  const std::string json = json_of(analysis);
  const Analysis again = parse_report(json);
  CHECK(json_of(again) == json);
  RenderOptions all;
  all.all_threads = true;
  CHECK(has(text_of(again, all), "- count = 42, name = 0x10 \"x\""));
  CHECK_FALSE(has(text_of(ring_sample(), all), "count = 42"));
}

TEST_CASE("JSON keeps the contract's shapes") {
  const auto json = nlohmann::json::parse(json_of(ring_sample()));
  CHECK(json["inputs"][0]["taken"]["at"] == "2026-11-20T04:10:31Z");
  CHECK(json["resources"][0]["state"]["words"][0]["value"] == "0x2353");
  CHECK(json["threads"][0]["wait"]["on"][0] == "r1");
  CHECK(json["threads"][0]["wait"]["syscall"]["number"] == 202);
  CHECK(json["threads"][0]["api"]["runtime"] == "rt1");
  CHECK(json["threads"][0]["python"][0]["interpreter"] == "in1");
  CHECK(json["stacks"][1]["frames"][1]["function"] == "take_gil");
  CHECK(json["modules"][0]["mapped"][0]["base"] == "0x7f0000000000");
  CHECK_FALSE(json["findings"][0].contains("crash"));
  const auto crash = nlohmann::json::parse(json_of(crash_sample()));
  CHECK(crash["processes"][0]["signal"]["code"]["name"] == "SEGV_MAPERR");
  CHECK(crash["findings"][0]["crash"]["registers"]["rax"] == "0x0");
}

TEST_CASE("ids of any spelling are resolved, and those to nowhere are unknown") {
  auto json = nlohmann::json::parse(json_of(ring_sample()));
  const auto rename = [](std::string text, const std::string& from, const std::string& to) {
    for (std::size_t at = 0; (at = text.find(from, at)) != std::string::npos; at += to.size())
      text.replace(at, from.size(), to);
    return text;
  };
  const std::string renamed = rename(json.dump(), "\"t2\"", "\"the other thread\"");
  CHECK(text_of(parse_report(renamed)) == text_of(ring_sample()));
  json["threads"][0]["wait"]["on"] = {"x99", "r1", "never seen"};
  json["threads"][0]["stack"] = "t1";  // of the wrong kind
  const Analysis read = parse_report(json.dump());
  CHECK(read.facts.threads[0].wait->on.size() == 1);
  CHECK_FALSE(read.facts.threads[0].stack.known());
}

TEST_CASE("unknown keys and words are no reason to refuse a report") {
  auto json = nlohmann::json::parse(json_of(ring_sample()));
  json["schema_version"] = "1.7";
  json["new"] = {{"deep", {1, 2}}};
  json["threads"][0]["state"] = "levitating";
  json["threads"][0]["tag"] = "levitating";
  const Analysis read = parse_report(json.dump());
  CHECK(read.facts.threads[0].state == ThreadState::unknown);
  CHECK_FALSE(read.facts.threads[0].tag.has_value());
}

TEST_CASE("a report cut anywhere is refused") {
  const std::string json = json_of(crash_sample());
  for (std::size_t length = 0; length + 2 < json.size(); ++length)
    REQUIRE(refused(json.substr(0, length)));
}

TEST_CASE("what is not of the contract's type is refused") {
  CHECK(refused("[]"));
  CHECK(refused("{}"));
  CHECK(refused("{\"schema\":\"coldcase/report\",\"schema_version\":\"2.0\"}"));
  CHECK(refused(std::string(100000, '[')));
  CHECK(refused(std::string(100000, '{')));
  const auto good = nlohmann::json::parse(json_of(ring_sample()));
  const std::vector<nlohmann::json> wrong{nullptr, 1.5, -7, "text", {{"a", 1}}, {1, "x"}};
  // Every value, replaced by every wrong one: an Error or a value, never anything else.
  const nlohmann::json flat = good.flatten();
  std::size_t refusals = 0;
  for (auto item = flat.begin(); item != flat.end(); ++item) {
    for (const nlohmann::json& value : wrong) {
      nlohmann::json bad = good;
      bad[nlohmann::json::json_pointer(item.key())] = value;
      try {
        text_of(parse_report(bad.dump()));
      } catch (const Error&) {
        ++refusals;
      }
    }
  }
  CHECK(refusals > flat.size());
  nlohmann::json range = good;
  range["threads"][0]["wait"]["frame"] = std::uint64_t{1} << 32;
  CHECK(refused(range.dump()));
  range = good;
  range["totals"]["thread_count"] = std::uint64_t{1} << 53;
  CHECK(refused(range.dump()));
  range = good;
  range["threads"][1]["id"] = "t1";
  CHECK(refused(range.dump()));
}

TEST_CASE("the shipped schemas are what the program makes") {
  const std::string folder = std::string(COLDCASE_SOURCE) + "/share/coldcase/";
  for (const bool closed : {false, true}) {
    std::ostringstream made;
    render_schema(closed, made);
    const std::string name =
        closed ? "coldcase-report-1.closed.schema.json" : "coldcase-report-1.schema.json";
    CHECK(file_text(folder + name) == made.str());
  }
}

TEST_CASE("text tells the deadlock, who waits, and what to do") {
  const std::string text = text_of(ring_sample());
  CHECK(text.rfind("DEADLOCK (proved): the GIL against a mutex", 0) == 0);
  CHECK(has(text, "core.9042, python3.12 (CPython 3.12.1), 7 threads, taken by gcore 2026-11-20"));
  CHECK(has(text, "pattern gil-lock-inversion, signature cc1:7d2f0c51a9e3b6f0"));
  CHECK(has(text, "take_gil, in PyGILState_Ensure"));
  CHECK(has(text, "1 frame without a name"));
  CHECK(has(text, "- has mutex in _native.so at 0x7f0000200000"));
  CHECK(has(text, "(app.py:12)."));
  CHECK_FALSE(has(text, "_PyEval_EvalFrameDefault"));
  CHECK_FALSE(has(text, "[e1]"));
  RenderOptions marked;
  marked.evidence = true;
  CHECK(has(text_of(ring_sample(), marked), "has the GIL. [e2]"));
}

TEST_CASE("text keeps to the width and never prints an empty section") {
  for (const unsigned width : {1u, 40u, 60u, 88u, 200u}) {
    for (Analysis analysis : samples()) {
      for (Note& note : analysis.facts.notes) note.command.clear();  // never wrapped
      RenderOptions options;
      options.width = width;
      const std::string text = text_of(analysis, options);
      CHECK(longest_line(text) <= std::max(width, 40u));
      CHECK_FALSE(has(text, "\n\n\n"));
    }
  }
}

TEST_CASE("a healthy process is told what its threads do") {
  const std::string text = text_of(healthy_sample());
  CHECK(text.rfind("NO DEADLOCK FOUND: every blocked thread", 0) == 0);
  CHECK(has(text, "WHAT THE THREADS DO\n  16 idle"));
  CHECK(has(text,
            "CHECKED: all 18 stacks complete; 0 locks known to be held; the thread that has the "
            "GIL\nruns."));
  CHECK_FALSE(has(text, "WHAT HAPPENED"));
}

TEST_CASE("an inconclusive report begins with what is missing and what to do") {
  const std::string text = text_of(inconclusive_sample());
  CHECK(has(text, "INCONCLUSIVE: the core holds no stack"));
  const auto missing = text.find("WHAT IS MISSING");
  const auto advice = text.find("WHAT TO DO");
  CHECK(missing < advice);
  CHECK(advice < text.find("WHAT THE THREADS DO"));
  CHECK(has(text, "     coldcase analyze --sysroot DIR core.1\n"));
}

TEST_CASE("hostile names are harmless") {
  const std::string text = text_of(hostile_sample());
  const std::string markdown = markdown_of(hostile_sample());
  for (const std::string& page : {text, markdown, json_of(hostile_sample())}) {
    for (const char c : page) CHECK((static_cast<unsigned char>(c) >= 0x20 || c == '\n'));
    CHECK_FALSE(has(page, "\xff"));
    CHECK_FALSE(has(page, "\xe2\x80\xae"));
  }
  // Outside code blocks nothing of the names is markup.
  std::string prose;
  std::istringstream in(markdown);
  std::string fence;
  for (std::string line; std::getline(in, line);) {
    const std::string ticks = line.substr(0, line.find_first_not_of('`'));
    if (fence.empty() && ticks.size() >= 3 && line.find('`', ticks.size()) == std::string::npos) {
      fence = ticks;
    } else if (!fence.empty()) {
      if (line == fence) fence.clear();
    } else if (line.find('`') == std::string::npos) {
      prose += line + "\n";
    }
  }
  CHECK(fence.empty());
  CHECK_FALSE(has(prose, "<script>@"));
  CHECK_FALSE(has(prose, "](http"));
  CHECK_FALSE(has(prose, "(javascript:"));
}

TEST_CASE("code spans and blocks cannot be ended from inside") {
  CHECK(report::code_span("a`b") == "``a`b``");
  CHECK(report::code_span("`") == "`` ` ``");
  CHECK(report::code_span("a|b", true) == "`a\\|b`");
  CHECK(report::code_block("```\n", "text") == "````text\n```\n````\n");
  CHECK(report::markdown_text("@all #1 <b>") == "@<!-- -->all \\#<!-- -->1 &lt;b&gt;");
  CHECK(report::markdown_text("http://x www.y") == "http:<!-- -->//x ww<!-- -->w.y");
  CHECK(report::markdown_text("__init__ a_b") == "\\_\\_init\\_\\_ a_b");
  CHECK(report::markdown_link("https://a.b/c") == "<https://a.b/c>");
  CHECK(report::markdown_link("javascript:x") == "`javascript:x`");
}

TEST_CASE("Markdown is cut by whole sections, and says so") {
  RenderOptions options;
  const std::string whole = markdown_of(ring_sample());
  CHECK_FALSE(has(whole, "Cut to fit"));
  for (std::size_t limit = 900; limit < whole.size(); limit += 250) {
    options.max_chars = limit;
    const std::string cut = markdown_of(ring_sample(), options);
    CHECK(cut.size() <= limit);
    CHECK(has(cut, "Cut to fit"));
  }
}

TEST_CASE("a diagram stays within its bounds") {
  Analysis analysis = ring_sample();
  std::vector<Edge>& path = analysis.findings[0].path;
  for (int i = 0; i < 6; ++i) path.insert(path.end(), path.begin(), path.begin() + 4);
  const std::string diagram = report::mermaid(analysis, analysis.findings[0]);
  CHECK(diagram.size() <= 2000);
  CHECK(diagram.rfind("flowchart LR\n", 0) == 0);
  const std::string hostile = report::mermaid(hostile_sample(), [] {
    Finding finding;
    finding.path = {Edge{ThreadId{0}, Relation::waits_for, ResourceId{0}, {}, {}}};
    return finding;
  }());
  CHECK_FALSE(has(hostile, "<script"));
  CHECK_FALSE(has(hostile, "`"));
}

TEST_CASE("path, waits, holds, owners and waiters agree") {
  for (const Analysis& analysis : {ring_sample(), crash_sample(), healthy_sample()})
    CHECK(disagreements(analysis).empty());
  Analysis wrong = ring_sample();
  wrong.facts.threads[1].holds.clear();
  CHECK(disagreements(wrong).size() == 1);
  wrong = ring_sample();
  wrong.facts.threads[0].wait.reset();
  CHECK(disagreements(wrong).size() == 2);
}

TEST_CASE("text is wrapped at spaces, then at marks, then anywhere") {
  using report::wrapped;
  CHECK(wrapped("", 10) == std::vector<std::string>{""});
  CHECK(wrapped("one two three", 8) == std::vector<std::string>{"one two", "three"});
  CHECK(wrapped("abcdefghijkl", 8) == std::vector<std::string>{"abcdefgh", "ijkl"});
  CHECK(wrapped("dir/sub/file", 8) == std::vector<std::string>{"dir/sub/", "file"});
  CHECK(wrapped("bank.orders", 8) == std::vector<std::string>{"bank.", "orders"});
  CHECK(wrapped("ääääääääää", 8) == std::vector<std::string>{"ääääääää", "ää"});
}

}  // namespace coldcase::test
