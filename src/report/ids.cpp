#include "report/ids.hpp"

namespace coldcase::report {
namespace {

constexpr std::array<std::string_view, ref_kinds> prefixes{"",  "i", "p", "rt", "in", "f",
                                                           "t", "s", "r", "e",  "m",  "k"};

}  // namespace

Counts counts_of(const Analysis& analysis) {
  Counts counts{};
  const auto set = [&counts](RefKind kind, std::size_t count) {
    counts[static_cast<std::size_t>(kind)] = static_cast<std::uint32_t>(count);
  };
  const Facts& facts = analysis.facts;
  std::size_t runtimes = 0;
  std::size_t interpreters = 0;
  for (const ProcessFact& process : facts.processes) {
    runtimes += process.runtimes.size();
    for (const RuntimeFact& runtime : process.runtimes) interpreters += runtime.interpreters.size();
  }
  set(RefKind::input, facts.inputs.size());
  set(RefKind::process, facts.processes.size());
  set(RefKind::runtime, runtimes);
  set(RefKind::interpreter, interpreters);
  set(RefKind::finding, analysis.findings.size());
  set(RefKind::thread, facts.threads.size());
  set(RefKind::stack, facts.stacks.size());
  set(RefKind::resource, facts.resources.size());
  set(RefKind::evidence, facts.evidence.size());
  set(RefKind::module, facts.modules.size());
  set(RefKind::task, facts.tasks.size());
  return counts;
}

std::string spell(RefKind kind, std::uint32_t index) {
  return std::string(prefixes[static_cast<std::size_t>(kind)]) +
         std::to_string(std::uint64_t{index} + 1);
}

std::string spell(const Counts& counts, Ref ref) {
  return points(counts, ref) ? spell(ref.kind, ref.index) : std::string{};
}

}  // namespace coldcase::report
