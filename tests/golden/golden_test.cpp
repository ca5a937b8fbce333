// Golden reports: testdata/reports/NAME.json with NAME.txt and NAME.md beside it. After a change
// that is meant: tools/golden.py --update, and read the differences with suspicion.
#include <algorithm>
#include <coldcase/report.hpp>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "support/agreement.hpp"
#include "support/catch.hpp"

namespace coldcase::test {
namespace {

std::string read(const std::filesystem::path& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream text;
  text << in.rdbuf();
  return text.str();
}

// With COLDCASE_GOLDEN_UPDATE set, the files are rewritten instead of compared.
void compare(const std::filesystem::path& path, const std::string& made) {
  if (std::getenv("COLDCASE_GOLDEN_UPDATE") != nullptr) {
    std::ofstream(path, std::ios::binary) << made;
    return;
  }
  CHECK(read(path) == made);
}

}  // namespace

TEST_CASE("golden reports render as recorded") {
  std::vector<std::filesystem::path> reports;
  const std::filesystem::path folder =
      std::filesystem::path(COLDCASE_SOURCE) / "testdata" / "reports";
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    if (entry.path().extension() == ".json") reports.push_back(entry.path());
  }
  std::sort(reports.begin(), reports.end());
  REQUIRE_FALSE(reports.empty());
  for (const std::filesystem::path& path : reports) {
    INFO(path.string());
    const Analysis analysis = parse_report(read(path));
    std::ostringstream json;
    std::ostringstream text;
    std::ostringstream markdown;
    render_json(analysis, json);
    render_text(analysis, {}, text);
    render_markdown(analysis, {}, markdown);
    compare(path, json.str());
    compare(std::filesystem::path(path).replace_extension(".txt"), text.str());
    compare(std::filesystem::path(path).replace_extension(".md"), markdown.str());
    if (path.stem() != "hostile") CHECK(disagreements(analysis).empty());
  }
}

TEST_CASE("the shipped schemas are what the program makes, golden") {
  const std::filesystem::path folder =
      std::filesystem::path(COLDCASE_SOURCE) / "share" / "coldcase";
  for (const bool closed : {false, true}) {
    std::ostringstream made;
    render_schema(closed, made);
    compare(folder /
                (closed ? "coldcase-report-1.closed.schema.json" : "coldcase-report-1.schema.json"),
            made.str());
  }
}

}  // namespace coldcase::test
