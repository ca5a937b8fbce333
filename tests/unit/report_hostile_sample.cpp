// The analysis with hostile names, and the samples as the formats.
#include <fstream>
#include <sstream>

#include "report_samples.hpp"

namespace coldcase::test {

Analysis hostile_sample() {
  Analysis analysis = ring_sample();
  const std::string evil =
      "a\x1b[31m`|</details><script>@everyone #12 [x](http://evil) ![i](j) "
      "\"];--\xff\xe2\x80\xae\n```";
  Facts& facts = analysis.facts;
  for (ThreadFact& each : facts.threads) each.name = evil;
  for (Frame& frame : facts.frames) {
    frame.function += evil;
    frame.file += frame.file.empty() ? "" : evil;
  }
  for (ModuleFact& module : facts.modules) module.name = evil;
  facts.resources[0].label = std::string(3000, '"');
  facts.inputs[0].path = "/tmp/" + evil;
  facts.notes.push_back(Note{"evil", Severity::error, evil, evil, evil, {}});
  Finding& finding = analysis.findings[0];
  finding.headline = analysis.verdict.headline = evil;
  finding.pattern = evil;
  finding.signature->text = std::string(5000, '\x01');
  finding.signature->loose = evil;
  finding.story[0].text = evil;
  finding.advice[0] = Advice{evil, std::nullopt, "javascript:" + evil};
  analysis.generator.options = {{evil, evil}};
  // References and frame numbers to nowhere.
  finding.path[1].to = ThreadId{4000};
  finding.resources.push_back(ResourceId{77});
  facts.threads[0].wait->frame = 9999;
  facts.threads[0].site = 9999;
  facts.threads[3].stack = StackId{500};
  facts.stacks[0].frames.push_back(123456);
  facts.inputs[0].declared_bytes = ~std::uint64_t{0};
  return analysis;
}

std::string json_of(const Analysis& analysis) {
  std::ostringstream out;
  render_json(analysis, out);
  return out.str();
}
std::string text_of(const Analysis& analysis, const RenderOptions& options) {
  std::ostringstream out;
  render_text(analysis, options, out);
  return out.str();
}
std::string markdown_of(const Analysis& analysis, const RenderOptions& options) {
  std::ostringstream out;
  render_markdown(analysis, options, out);
  return out.str();
}
std::string file_text(const std::string& path) {
  std::ifstream in(path, std::ios::binary);
  std::ostringstream out;
  out << in.rdbuf();
  return out.str();
}

}  // namespace coldcase::test
