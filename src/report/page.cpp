#include "report/page.hpp"

#include <algorithm>
#include <array>
#include <map>

#include "base/text.hpp"
#include "report/ids.hpp"
#include "report/names.hpp"

namespace coldcase::report {
namespace {

constexpr std::size_t subject_limit = 4;

std::string runtime_name(const std::string& kind) {
  if (kind == "cpython") return "CPython";
  if (kind == "cuda") return "CUDA";
  if (kind == "mpi") return "MPI";
  return kind;
}

std::string taken_text(const InputFact& input) {
  std::string text = input.writer == "kernel"  ? "kernel core"
                     : input.writer == "gcore" ? "taken by gcore"
                                               : "core";
  if (!input.taken_at.empty()) text += " " + time_text(input.taken_at);
  return text == "core" ? std::string{} : text;
}

// A signal that means a fault, and was sent: nothing in the process did it.
std::string sent_text(const Analysis& analysis, ProcessId process) {
  if (!process.known()) return {};
  const auto& signal = analysis.facts.processes[process.index].signal;
  static constexpr std::array<std::string_view, 5> faults{"SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL",
                                                          "SIGTRAP"};
  if (!signal || signal->from_outside != true ||
      std::ranges::find(faults, signal->name) == faults.end())
    return {};
  return "ended by " + signal->name + " that " +
         (signal->sender_pid ? "process " + std::to_string(*signal->sender_pid)
                             : "another process") +
         " sent";
}

std::uint64_t threads_of(const Analysis& analysis, ProcessId process) {
  if (analysis.facts.processes.size() == 1) return analysis.totals.thread_count;
  std::uint64_t count = 0;
  for (const ThreadFact& thread : analysis.facts.threads) count += thread.process == process;
  return count;
}

std::string subject_line(const Analysis& analysis, const InputFact& input) {
  std::vector<std::string> parts;
  parts.emplace_back(base_name(input.path.empty() ? std::string_view("a core") : input.path));
  if (input.process.known()) {
    const ProcessFact& process = analysis.facts.processes[input.process.index];
    std::string program = process.label;
    if (process.executable.known()) {
      const std::string& name = analysis.facts.modules[process.executable.index].name;
      program = std::string(base_name(name)) + (program.empty() ? "" : " \"" + program + "\"");
    }
    for (const RuntimeFact& runtime : process.runtimes) {
      if (runtime.kind != "cpython" || runtime.version.empty()) continue;
      program += " (" + runtime_name(runtime.kind) + " " + runtime.version +
                 (runtime.free_threaded == true ? ", free-threaded)" : ")");
      break;
    }
    if (!program.empty()) parts.push_back(program);
    const std::uint64_t count = threads_of(analysis, input.process);
    if (count > 0) parts.push_back(counted(count, "thread"));
  }
  const std::string taken = taken_text(input);
  if (!taken.empty()) parts.push_back(taken);
  const std::string sent = sent_text(analysis, input.process);
  if (!sent.empty()) parts.push_back(sent);
  if (!input.problem_text.empty()) parts.push_back("could not be read: " + input.problem_text);
  return join(parts, ", ");
}

// With a full stop, unless it ends by itself.
std::string sentence(std::string text) {
  if (text.empty()) return text;
  if (std::string_view(".!?:").find(text.back()) == std::string_view::npos) text += '.';
  return text;
}

// What to do, as a sentence of its own; a name at its start is no plain word and stays.
std::string imperative(std::string text) {
  const std::string first = text.substr(0, text.find(' '));
  const bool plain =
      std::all_of(first.begin(), first.end(), [](char c) { return c >= 'a' && c <= 'z'; });
  if (plain && !text.empty()) text.front() = static_cast<char>(text.front() - 'a' + 'A');
  return sentence(std::move(text));
}

// "Check it (a.cc:1)." with the stop of the sentence behind the place.
std::string with_place(std::string text, const std::string& place) {
  const bool stop = !text.empty() && text.back() == '.';
  if (stop) text.pop_back();
  return text + " (" + place + ")" + (stop ? "." : "");
}

}  // namespace

const Finding* main_finding(const Analysis& analysis) {
  if (!analysis.verdict.findings.empty())
    return &analysis.findings[analysis.verdict.findings.front().index];
  return analysis.findings.empty() ? nullptr : &analysis.findings.front();
}

namespace {

// Findings of one bug: another thousand of them tells nothing new.
std::string likeness(const Finding& finding) {
  std::string text = finding.pattern + "|" + std::string(word(finding.confidence)) + "|";
  if (finding.signature && !finding.signature->loose.empty())
    return text + finding.signature->loose;
  return text + finding.headline;
}

}  // namespace

std::vector<std::string> other_paragraphs(const Analysis& analysis, const Finding* shown) {
  constexpr std::size_t most = 12;
  std::vector<std::string> order;
  std::map<std::string, std::pair<const Finding*, std::size_t>> groups;
  for (const Finding& finding : analysis.findings) {
    if (&finding == shown) continue;
    auto& [first, count] = groups[likeness(finding)];
    if (first == nullptr) {
      first = &finding;
      order.push_back(likeness(finding));
    }
    ++count;
  }
  std::vector<std::string> paragraphs;
  const std::string main = shown != nullptr ? likeness(*shown) : std::string{};
  for (const std::string& key : order) {
    const auto& [first, count] = groups[key];
    if (paragraphs.size() == most) {
      paragraphs.push_back(counted(order.size() - most, "more kind") +
                           " of findings in the JSON report.");
      break;
    }
    if (key == main && count > 1) {
      paragraphs.push_back("The same, at the same place, " + counted(count, "more time") +
                           " with other threads.");
      continue;
    }
    paragraphs.push_back(finding_paragraph(*first));
    if (count > 1)
      paragraphs.back() += " The same " + counted(count - 1, "more time") + " with other threads.";
  }
  return paragraphs;
}

std::vector<std::string> subject_lines(const Analysis& analysis) {
  std::vector<std::string> lines;
  std::vector<InputFact> inputs = analysis.facts.inputs;
  std::erase_if(inputs, [](const InputFact& input) { return input.kind == InputKind::sidecar; });
  for (const InputFact& input : inputs) {
    if (lines.size() == subject_limit && inputs.size() > subject_limit + 1) {
      lines.push_back("and " + counted(inputs.size() - subject_limit, "more file") + "; " +
                      counted(analysis.totals.process_count, "process") + ", " +
                      counted(analysis.totals.thread_count, "thread") + " in all");
      break;
    }
    lines.push_back(subject_line(analysis, input));
  }
  return lines;
}

std::string pattern_line(const Finding& finding) {
  std::vector<std::string> parts;
  if (!finding.pattern.empty()) parts.push_back("pattern " + finding.pattern);
  if (finding.signature && !finding.signature->loose.empty())
    parts.push_back("signature " + finding.signature->loose);
  return join(parts, ", ");
}

std::string known_from(const Analysis& analysis, const std::vector<EvidenceId>& evidence) {
  std::vector<std::string> claims;
  for (const EvidenceId id : evidence) {
    const std::string& claim = analysis.facts.evidence[id.index].claim;
    if (!claim.empty() && std::find(claims.begin(), claims.end(), claim) == claims.end())
      claims.push_back(claim);
  }
  if (claims.empty()) return {};
  std::string text = "Known from: " + join(claims, "; ");
  if (text.back() != '.') text += '.';
  return text;
}

std::string evidence_marks(const std::vector<EvidenceId>& evidence) {
  std::vector<std::string> marks;
  marks.reserve(evidence.size());
  for (const EvidenceId id : evidence) marks.push_back(spell(RefKind::evidence, id.index));
  return marks.empty() ? std::string{} : " [" + join(marks, ", ") + "]";
}

std::vector<AdviceLine> advice_lines(const Analysis& analysis, const Finding* finding) {
  std::vector<AdviceLine> lines;
  if (finding != nullptr) {
    for (const Advice& advice : finding->advice) {
      AdviceLine line{advice.text, advice.url};
      if (advice.location) {
        const std::string place = place_text(advice.location->file, advice.location->line);
        if (!place.empty() && line.text.find(place) == std::string::npos)
          line.text = with_place(line.text, place);
      }
      lines.push_back(line);
    }
  }
  // A holder that no lock records is missing from no file: the note on it says what can be done.
  const bool holder = std::ranges::any_of(
      analysis.facts.notes, [](const Note& note) { return note.code == "holder-unknown"; });
  if (lines.empty() && analysis.verdict.kind == VerdictKind::inconclusive && !holder) {
    const bool files = std::ranges::any_of(analysis.facts.modules, [](const ModuleFact& module) {
      return module.found == Found::missing || module.found == Found::mismatch;
    });
    // Without threads no file of any machine helps: their registers are what is missing.
    if (files && !analysis.facts.threads.empty())
      lines.push_back(
          {"Analyze the core on the machine it was taken on, or name the folders that "
           "hold its files with --sysroot and --debug-dir.",
           ""});
    // The notes on these say who can read them: no core helps here.
    const bool unread = std::ranges::any_of(analysis.facts.notes, [](const Note& note) {
      return note.code == "goroutines-unread" || note.code == "java-unread" ||
             note.code == "greenlets-unread";
    });
    if (unread) return lines;
    lines.push_back(
        {"While the process still hangs, take a new core with gcore and analyze it "
         "there.",
         ""});
  }
  return lines;
}

std::vector<std::string> crash_lines(const Finding& finding) {
  std::vector<std::string> lines;
  if (!finding.crash) return lines;
  const CrashFact& crash = *finding.crash;
  if (crash.access || crash.address) {
    std::string text = crash.access ? "Attempted " + std::string(word(*crash.access)) : "Fault";
    if (crash.address) text += " at " + hex(crash.address->value);
    if (!crash.address_is.empty()) text += ", " + crash.address_is;
    if (!crash.null_register.empty()) text += "; " + crash.null_register + " is null";
    lines.push_back(text);
  }
  if (!crash.exception_type.empty() || !crash.exception_what.empty()) {
    std::string text = "Exception";
    if (!crash.exception_type.empty()) text += " " + crash.exception_type;
    if (!crash.exception_what.empty()) text += ": " + crash.exception_what;
    lines.push_back(text);
  }
  if (!crash.message.empty()) lines.push_back("Message: " + crash.message);
  return lines;
}

std::string finding_paragraph(const Finding& finding) {
  std::string text = finding_text(finding.kind) + " (" + confidence_text(finding.confidence) +
                     "): " + finding.headline;
  if (!text.empty() && text.back() != '.' && text.back() != '!') text += '.';
  for (const std::string& sentence : finding.summary) {
    if (sentence != finding.headline) text += " " + sentence;
  }
  return text;
}

std::vector<MissingLine> missing_lines(const Analysis& analysis) {
  std::vector<MissingLine> lines;
  for (const Severity severity : {Severity::error, Severity::warning}) {
    for (const Note& note : analysis.facts.notes) {
      if (note.severity != severity) continue;
      MissingLine line{note.text, note.command};
      line.text = sentence(note.text);
      if (!note.advice.empty())
        line.text += (line.text.empty() ? "" : " ") + imperative(note.advice);
      lines.push_back(line);
    }
  }
  return lines;
}

std::string remarks_text(const Analysis& analysis) {
  std::vector<std::string> texts;
  for (const Note& note : analysis.facts.notes) {
    if (note.severity == Severity::info && !note.text.empty()) texts.push_back(sentence(note.text));
  }
  return join(texts, " ");
}

std::string private_text(const Analysis& analysis) {
  if (analysis.redaction.left_out.empty()) return {};
  return "Left out as private: " + join(analysis.redaction.left_out, ", ") + ".";
}

}  // namespace coldcase::report
