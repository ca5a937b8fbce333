// Files that the cores of a folder lack: what a worker told of them, what is asked for first, and
// what it makes of a result's key.
#include <coldcase/triage.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <fstream>

#include "modules/fetch_cache.hpp"
#include "support/catch.hpp"
#include "support/temporary_folder.hpp"
#include "triage/missing.hpp"
#include "triage/missing_lines.hpp"

namespace coldcase {
namespace {

using Files = std::vector<FetchRequest>;
using TriageIncident = triage::Incident;
using triage::parse_missing;

FetchRequest program(const std::string& id) {
  return {id, FetchKind::executable};
}

FetchRequest debug(const std::string& id) {
  return {id, FetchKind::debuginfo};
}

const Files some{program("0a1f"), debug("0a1f"), debug(std::string(40, 'c'))};

TEST_CASE("what a worker lacks is read back", "[missing]") {
  CHECK(triage::missing_lines({}) == "end\n");
  REQUIRE(parse_missing("end\n"));
  CHECK(parse_missing("end\n")->empty());
  const std::string text = triage::missing_lines(some);
  CHECK(text ==
        "executable\t0a1f\ndebuginfo\t0a1f\ndebuginfo\t" + std::string(40, 'c') + "\nend\n");
  REQUIRE(parse_missing(text));
  CHECK(*parse_missing(text) == some);
}

TEST_CASE("cut anywhere or with any byte changed it is not believed", "[missing]") {
  const std::string text = triage::missing_lines(some);
  for (std::size_t cut = 0; cut < text.size(); ++cut) {
    CAPTURE(cut);
    CHECK_FALSE(parse_missing(text.substr(0, cut)));
  }
  for (std::size_t at = 0; at < text.size(); ++at) {
    for (const char c : {'\0', '\n', '\t', '/', '.', 'F', 'g', ' ', '\x7f', '\xff'}) {
      if (text[at] == c) continue;
      std::string changed = text;
      changed[at] = c;
      CAPTURE(at, static_cast<int>(c));
      CHECK_FALSE(parse_missing(changed));
    }
  }
}

TEST_CASE("hostile lines are not believed", "[missing]") {
  const std::string id(40, 'a');
  for (const std::string& lines : {std::string("\n"),
                                   std::string("executable\n"),
                                   std::string("executable\t\n"),
                                   std::string("executable\ta\n"),
                                   std::string("executable\tab\n"),
                                   std::string("executable\tabc\n"),
                                   "executable " + id + "\n",
                                   "executable\t" + id + "\t\n",
                                   "executable\t" + id + "\r\n",
                                   "executable\t " + id + "\n",
                                   "section\t" + id + "\n",
                                   "Executable\t" + id + "\n",
                                   "executable\t" + std::string(40, 'A') + "\n",
                                   "executable\t../../" + std::string(34, 'a') + "\n",
                                   "executable\t" + std::string(130, 'a') + "\n",
                                   "executable\t" + id + "\nexecutable\t" + id + "\n",
                                   "debuginfo\t" + id + "\nexecutable\t" + id + "\n",
                                   "executable\t" + id + "\n\n",
                                   std::string("end\n"),
                                   std::string(1 << 20, 'a')}) {
    CAPTURE(lines.substr(0, 120));
    CHECK_FALSE(parse_missing(lines + "end\n"));
  }
  Files many;
  for (int i = 1000; i < 1512; ++i) many.push_back(debug(std::to_string(i)));
  CHECK(parse_missing(triage::missing_lines(many)));
  many.push_back(debug("9999"));
  CHECK_FALSE(parse_missing(triage::missing_lines(many)));
}

TEST_CASE("what most cores lack is asked for first", "[missing]") {
  std::vector<TriageIncident> incidents(3);
  incidents[0].missing = {debug("aaaa"), program("bbbb"), debug("bbbb")};
  incidents[1].missing = {debug("bbbb"), debug("cccc")};
  incidents[2].missing = {debug("bbbb"), debug("cccc"), debug("dddd")};
  const Files wanted{debug("bbbb"), debug("cccc"), debug("aaaa"), program("bbbb"), debug("dddd")};
  CHECK(triage::most_wanted(incidents) == wanted);
  std::swap(incidents[0], incidents[2]);
  CHECK(triage::most_wanted(incidents) == wanted);
}

TEST_CASE("of a file that is too large the whole is wanted still", "[missing]") {
  const Files told{{"aaaa", FetchKind::sections}};
  CHECK(triage::missing_lines(told) == "sections\taaaa\nend\n");
  REQUIRE(parse_missing("sections\taaaa\nend\n"));
  CHECK(*parse_missing("sections\taaaa\nend\n") == told);
  std::vector<TriageIncident> incidents(2);
  incidents[0].missing = told;
  incidents[1].missing = {debug("aaaa")};
  CHECK(triage::most_wanted(incidents) == Files{debug("aaaa")});
  CHECK(triage::key_of(incidents[0], {}) != triage::key_of(incidents[1], {}));
}

TEST_CASE("a file that came later makes another result", "[missing]") {
  TriageIncident incident;
  incident.identities = {std::string(64, 'a')};
  const std::vector<std::string> reading{"--debuginfod=cache"};
  const std::string whole = triage::key_of(incident, reading);
  incident.missing = some;
  const std::string lacking = triage::key_of(incident, reading);
  incident.missing.pop_back();
  const std::string less = triage::key_of(incident, reading);
  CHECK(lacking != whole);
  CHECK(less != whole);
  CHECK(less != lacking);
  incident.missing.clear();
  CHECK(triage::key_of(incident, reading) == whole);
  incident.missing_unknown = true;
  CHECK(triage::key_of(incident, reading) != whole);
}

// Two incidents whose worker is this shell script; $4 is the file.
std::vector<TriageIncident> told_by(const std::string& script,
                                    const test::TemporaryFolder& folder) {
  const std::string path = folder.write("worker", script);
  TriageOptions options;
  options.worker = {"/bin/sh", path};
  options.reading = {"--debuginfod=cache"};
  options.fetch.cache_only = true;
  std::vector<TriageIncident> incidents(2);
  incidents[0].files = {{"/one", "one", "", true}};
  incidents[1].files = {{"/two", "two", "", true}};
  const std::atomic<bool> stop{false};
  CHECK(triage::fetch_missing(incidents, options, stop).empty());
  return incidents;
}

TEST_CASE("a worker that tells nothing sensible costs its own incident alone", "[missing]") {
  const test::TemporaryFolder folder;
  const std::string good = "printf 'debuginfo\\tabcd\\nend\\n'";
  for (const std::string bad :
       {"exit 1", "kill -SEGV $$", "printf 'debuginfo\\tabcd\\n'", "printf 'x\\nend\\n'",
        "while :; do echo xxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxxx; done",
        "printf 'debuginfo\\tabcd\\nend\\n'; exit 3"}) {
    CAPTURE(bad);
    const auto incidents = told_by(
        "test \"$1 $2 $3\" = 'missing --debuginfod=cache --' || exit 1\n"
        "case $4 in /one) " +
            bad + ";; *) " + good + ";; esac\n",
        folder);
    CHECK(incidents[0].missing_unknown);
    CHECK(incidents[0].missing.empty());
    CHECK_FALSE(incidents[1].missing_unknown);
    CHECK(incidents[1].missing == Files{debug("abcd")});
  }
}

TEST_CASE("nothing is looked for without servers", "[missing]") {
  TriageOptions options;
  options.worker = {"/nonexistent"};
  std::vector<TriageIncident> incidents(1);
  const std::atomic<bool> stop{false};
  CHECK(triage::fetch_missing(incidents, options, stop).empty());
  CHECK_FALSE(incidents[0].missing_unknown);
}

// ---- debuginfod's cache

// Variables of this process, put back afterwards.
class Variables {
 public:
  void set(const char* name, const std::string& value) {
    if (const char* old = std::getenv(name); old != nullptr)
      before_.emplace_back(name, old);
    else
      unset_.emplace_back(name);
    ::setenv(name, value.c_str(), 1);
  }
  ~Variables() {
    for (const std::string& name : unset_) ::unsetenv(name.c_str());
    for (auto at = before_.rbegin(); at != before_.rend(); ++at)
      ::setenv(at->first.c_str(), at->second.c_str(), 1);
  }

 private:
  std::vector<std::pair<std::string, std::string>> before_;
  std::vector<std::string> unset_;
};

TEST_CASE("debuginfod's cache is where the library says", "[missing]") {
  const test::TemporaryFolder folder;
  Variables variables;
  variables.set("DEBUGINFOD_CACHE_PATH", "");
  variables.set("XDG_CACHE_HOME", "");
  const std::string home = folder.file("home");
  REQUIRE(::mkdir(home.c_str(), 0700) == 0);
  variables.set("HOME", home);
  CHECK(cache_folder() == home + "/.cache/debuginfod_client");
  variables.set("XDG_CACHE_HOME", "/xdg");
  CHECK(cache_folder() == "/xdg/debuginfod_client");
  REQUIRE(::mkdir((home + "/.debuginfod_client_cache").c_str(), 0700) == 0);
  CHECK(cache_folder() == home + "/.debuginfod_client_cache");
  variables.set("DEBUGINFOD_CACHE_PATH", "/chosen");
  CHECK(cache_folder() == "/chosen");
}

TEST_CASE("files of the cache are found, what no server had is not", "[missing]") {
  const test::TemporaryFolder folder;
  Variables variables;
  const std::string place = folder.file("cache");
  REQUIRE(::mkdir(place.c_str(), 0700) == 0);
  variables.set("DEBUGINFOD_CACHE_PATH", place);
  for (const char* id : {"cache/abcd", "cache/abce", "cache/abcf"})
    REQUIRE(::mkdir(folder.file(id).c_str(), 0700) == 0);
  folder.write("cache/abcd/executable", "x");
  folder.write("cache/abce/debuginfo", "");  // a server was asked and had none
  REQUIRE(::mkdir(folder.file("cache/abcf/debuginfo").c_str(), 0700) == 0);
  folder.write("cache/executable", "x");
  FetchOptions options;
  options.cache_only = true;
  Debuginfod cache(options);
  CHECK(cache.on());
  const auto answers = cache.fetch({program("abcd"), debug("abcd"), debug("abce"), debug("abcf"),
                                    program(".."), program("abcd/../abcd"), program("")});
  REQUIRE(answers.size() == 7);
  CHECK(answers[0].outcome == FetchAnswer::Outcome::found);
  CHECK(answers[0].path == place + "/abcd/executable");
  for (std::size_t i = 1; i < answers.size(); ++i) {
    CAPTURE(i);
    CHECK(answers[i].outcome != FetchAnswer::Outcome::found);
    CHECK(answers[i].path.empty());
  }
  CHECK(cache.troubles().empty());

  for (const char* name : {"cache/coldcase-sections", "cache/coldcase-sections/abce"})
    REQUIRE(::mkdir(folder.file(name).c_str(), 0700) == 0);
  for (const char* name : {".note.gnu.build-id", ".symtab"})
    folder.write("cache/coldcase-sections/abce/section-" + std::string(name), "x");
  CHECK(cache.fetch({debug("abce")})[0].outcome == FetchAnswer::Outcome::not_answered);
  folder.write("cache/coldcase-sections/abce/section-.strtab", "x");
  const auto parts = cache.fetch({debug("abce"), program("abce")});
  CHECK(parts[0].outcome == FetchAnswer::Outcome::too_large);
  CHECK(parts[0].path.empty());
  CHECK(parts[0].sections[1] == place + "/coldcase-sections/abce/section-.symtab");
  CHECK(parts[0].sections[3].empty());
  CHECK_FALSE(parts[1].has_sections());
}

}  // namespace
}  // namespace coldcase
