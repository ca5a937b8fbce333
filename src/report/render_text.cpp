// The text format: what a terminal shows. The order is the contract's; no section is ever empty.
#include <algorithm>
#include <coldcase/report.hpp>
#include <ostream>

#include "base/text.hpp"
#include "report/clean.hpp"
#include "report/layout.hpp"
#include "report/names.hpp"
#include "report/page.hpp"
#include "report/page_tasks.hpp"
#include "report/stack_text.hpp"

namespace coldcase {
namespace report {
namespace {

constexpr std::size_t note_limit = 12;
constexpr std::size_t task_lines = 8;

class TextPage {
 public:
  TextPage(const Analysis& analysis, const RenderOptions& options, std::ostream& out)
      : analysis_(analysis),
        options_(options),
        out_(out),
        width_(std::max(options.width, 40u)),
        shown_(shown(analysis)) {}

  void write() {
    headline();
    subject();
    const bool unsure = analysis_.verdict.kind == VerdictKind::inconclusive;
    if (unsure) missing();
    if (unsure && shown_ == nullptr) advice();
    if (shown_ != nullptr) {
      story();
      waits();
      advice();
      others();
      stacks();
      await_chains();
    } else {
      others();
    }
    threads();
    tasks();
    if (options_.all_threads) all_stacks();
    if (analysis_.verdict.kind == VerdictKind::none) checked();
    if (!unsure) missing();
    closing();
  }

 private:
  // What is told in full. With nothing wrong, findings are only worth a paragraph.
  static const Finding* shown(const Analysis& analysis) {
    return analysis.verdict.kind == VerdictKind::none ? nullptr : main_finding(analysis);
  }

  void line(const std::string& text) { out_ << text << '\n'; }
  void title(const std::string& text) {
    out_ << '\n';
    for (const std::string& part : wrapped(text, width_))
      line(options_.color ? "\x1b[1m" + part + "\x1b[0m" : part);
  }
  // `lead` before the first line, as many blanks before the others.
  void paragraph(const std::string& lead, const std::string& text) {
    const std::size_t indent = columns_of(lead);
    const std::vector<std::string> lines = wrapped(text, width_ - std::min(width_, indent));
    for (std::size_t i = 0; i < lines.size(); ++i)
      line((i == 0 ? lead : std::string(indent, ' ')) + lines[i]);
  }

  void headline() {
    const Verdict& verdict = analysis_.verdict;
    const std::string kind = verdict_text(verdict.kind);
    std::string text = kind;
    const bool found = verdict.kind != VerdictKind::none;
    if (verdict.confidence && found) text += " (" + confidence_text(*verdict.confidence) + ")";
    text += ": " + verdict.headline;
    std::vector<std::string> lines = wrapped(text, width_);
    if (options_.color) {
      const char* const colour = found ? "\x1b[1;31m" : "\x1b[1;32m";
      lines.front() = colour + kind + "\x1b[0m" + lines.front().substr(kind.size());
    }
    for (const std::string& text_line : lines) line(text_line);
  }

  void subject() {
    for (const std::string& text : subject_lines(analysis_)) paragraph("  ", text);
    if (analysis_.verdict.unrelated == true)
      paragraph("  ", "These cores are of separate incidents; each was judged by itself.");
    const std::string pattern = shown_ != nullptr ? pattern_line(*shown_) : std::string{};
    if (!pattern.empty()) paragraph("  ", pattern);
  }

  void story() {
    const std::vector<std::string> crash = crash_lines(*shown_);
    if (shown_->story.empty() && shown_->summary.empty() && crash.empty()) return;
    title("WHAT HAPPENED");
    if (shown_->story.empty() && !shown_->summary.empty())
      paragraph("  ", join(shown_->summary, " "));
    for (std::size_t i = 0; i < shown_->story.size(); ++i) sentence(i + 1, shown_->story[i]);
    for (const std::string& text : crash) paragraph(" - ", text);
  }

  void sentence(std::size_t number, const StoryLine& told) {
    std::string lead = std::to_string(number) + " ";
    if (number < 10) lead.insert(0, " ");
    std::string text = told.text;
    if (options_.evidence) text += evidence_marks(told.evidence);
    const std::size_t room = width_ - lead.size();
    std::vector<std::string> lines = wrapped(text, room);
    const std::string from = known_from(analysis_, told.evidence);
    const std::size_t length = columns_of(from);
    if (!from.empty() && columns_of(lines.back()) + 2 + length <= room) {
      lines.back() = padded(lines.back(), room - length) + from;
    } else if (!from.empty() && length <= room) {
      lines.push_back(std::string(room - length, ' ') + from);
    } else if (!from.empty()) {
      for (const std::string& part : wrapped(from, room - 2)) lines.push_back("  " + part);
    }
    for (std::size_t i = 0; i < lines.size(); ++i)
      line((i == 0 ? lead : std::string(lead.size(), ' ')) + lines[i]);
  }

  void waits() {
    const std::vector<WaitRow> found = wait_rows(analysis_, *shown_);
    if (found.empty()) return;
    title("WHO WAITS FOR WHOM");
    std::vector<std::vector<std::string>> rows{{"thread", "waits for", "held by", "how we know"}};
    for (const WaitRow& row : found)
      rows.push_back({row.thread, row.waits_for, row.held_by, row.how});
    for (const std::string& text : table(rows, width_ - 2)) line("  " + text);
    for (const std::string& text : {more_waits_text(*shown_), ends_text(analysis_, *shown_)}) {
      if (!text.empty()) paragraph("  ", text);
    }
  }

  void advice() {
    const std::vector<AdviceLine> lines = advice_lines(analysis_, shown_);
    if (lines.empty()) return;
    title("WHAT TO DO");
    for (const AdviceLine& advice : lines)
      paragraph(" - ", advice.text + (advice.url.empty() ? "" : " See " + advice.url));
  }

  void others() {
    const std::vector<std::string> told = other_paragraphs(analysis_, shown_);
    if (told.empty()) return;
    title("ALSO FOUND");
    for (const std::string& text : told) paragraph(" - ", text);
  }

  void blocks(const std::vector<ThreadId>& threads, bool all) {
    const std::vector<StackBlock> found = stack_blocks(analysis_, threads, options_.full_names);
    const std::size_t limit = all ? found.size() : shown_blocks(found.size());
    for (std::size_t i = 0; i < found.size(); ++i) {
      if (i == limit) {
        std::size_t left = 0;
        for (std::size_t j = i; j < found.size(); ++j) left += found[j].threads.size();
        line("  " + counted(left, "more thread") + ": --threads all shows them");
        return;
      }
      paragraph("  ", block_title(analysis_, found[i]));
      for (const std::string& text : stack_text(found[i].lines, width_ - 4)) line("    " + text);
    }
  }

  void stacks() {
    const std::vector<ThreadId> threads = involved_threads(analysis_, shown_);
    if (threads.empty()) return;
    std::string text = "STACKS OF THESE " + std::to_string(threads.size());
    if (threads.size() == 2) text = "STACKS OF THESE TWO";
    if (threads.size() == 1) text = "STACK OF THIS THREAD";
    if (shown_->kind == FindingKind::crash) text = "STACK OF THE CRASH";
    title(text + " (innermost first, frames that tell nothing folded)");
    blocks(threads, options_.all_threads);
  }

  void await_chains() {
    const std::vector<TaskId> involved = involved_tasks(analysis_, shown_);
    if (involved.empty()) return;
    title("WHERE " + std::string(involved.size() == 1 ? "THIS TASK AWAITS" : "THESE TASKS AWAIT") +
          " (innermost first)");
    const std::vector<TaskBlock> found = task_blocks(analysis_, involved);
    const std::size_t limit = options_.all_threads ? found.size() : shown_blocks(found.size());
    for (std::size_t i = 0; i < limit; ++i) {
      paragraph("  ", block_title(analysis_, found[i]));
      for (const std::string& text : stack_text(found[i].lines, width_ - 4)) line("    " + text);
    }
    if (limit < found.size())
      line("  " + counted(found.size() - limit, "more await chain") + " in the JSON report");
  }

  // Those that the findings do not tell: what they do, or where all is well in one sentence.
  void tasks() {
    const std::vector<TaskId> rest = other_tasks(analysis_, shown_);
    if (rest.empty()) return;
    if (analysis_.verdict.kind == VerdictKind::none)
      return paragraph("", tasks_text(analysis_, rest) + ".");
    const std::uint64_t count = count_tasks(analysis_, rest);
    const bool alone = rest.size() == analysis_.facts.tasks.size();
    title(alone        ? "WHAT THE TASKS DO"
          : count == 1 ? "THE OTHER TASK"
                       : "THE OTHER " + std::to_string(count) + " TASKS");
    const std::vector<TaskGroup> groups = task_groups(analysis_, rest);
    std::uint64_t told = 0;
    for (std::size_t i = 0; i < groups.size() && i < task_lines; ++i) {
      group(groups[i].count, groups[i].state, groups[i].names, groups[i].what, groups[i].where);
      told += groups[i].count;
    }
    if (told < count) line("  " + counted(count - told, "more task") + " in other places");
  }

  void threads() {
    const std::vector<ThreadId> rest = other_threads(analysis_, shown_);
    const std::uint64_t listed = analysis_.facts.threads.size();
    const std::uint64_t all = std::max(analysis_.totals.thread_count, listed);
    if (rest.empty() && all == listed) return;
    const bool alone = rest.size() == listed;
    if (alone) {
      title("WHAT THE THREADS DO");
    } else {
      const std::uint64_t count = all - listed + rest.size();
      title(count == 1 ? "THE OTHER THREAD" : "THE OTHER " + std::to_string(count) + " THREADS");
    }
    const std::vector<ThreadGroup> groups = thread_groups(analysis_, rest);
    std::size_t told = 0;
    for (std::size_t i = 0; i < groups.size() && i < group_limit; ++i) {
      group(groups[i].threads.size(), groups[i].state, groups[i].names, groups[i].what,
            groups[i].where);
      told += groups[i].threads.size();
    }
    if (told < rest.size())
      line("  " + counted(rest.size() - told, "more thread") + " in other places");
    if (all > listed) {
      line("  " + (rest.empty()
                       ? counted(all - listed, "thread") + ", not listed in this report"
                       : std::to_string(all - listed) + " more, not listed in this report"));
    }
  }

  void group(std::uint64_t count, std::string text, const std::string& names,
             const std::string& what, const std::string& where) {
    std::string lead = std::to_string(count) + " ";
    lead.insert(0, lead.size() < 5 ? 5 - lead.size() : 0, ' ');
    if (!names.empty()) text += " (" + names + ")";
    if (!what.empty()) text += ": " + what;
    if (!where.empty()) text += (what.empty() ? ": " : "; ") + where;
    paragraph(lead, text);
  }

  void all_stacks() {
    const std::vector<ThreadId> rest = other_threads(analysis_, shown_);
    if (rest.empty()) return;
    title(rest.size() == analysis_.facts.threads.size() ? "ALL STACKS" : "ALL OTHER STACKS");
    blocks(rest, true);
  }

  void checked() {
    out_ << '\n';
    paragraph("", "CHECKED: " + checked_text(analysis_));
    paragraph("",
              "If it still looks stuck: take a second core a minute later and compare the two.");
  }

  void missing() {
    const std::vector<MissingLine> lines = missing_lines(analysis_);
    if (lines.empty()) return;
    title("WHAT IS MISSING");
    for (std::size_t i = 0; i < lines.size(); ++i) {
      if (i == note_limit) {
        line(" - " + counted(lines.size() - i, "more note") + " in the JSON report");
        break;
      }
      paragraph(" - ", lines[i].text);
      // A command is for copying: never wrapped.
      if (!lines[i].command.empty()) line("     " + lines[i].command);
    }
  }

  void closing() {
    const std::string remarks = remarks_text(analysis_);
    const std::string left_out = private_text(analysis_);
    if (remarks.empty() && left_out.empty()) return;
    out_ << '\n';
    if (!remarks.empty()) paragraph("", "Notes: " + remarks);
    if (!left_out.empty()) paragraph("", left_out);
  }

  const Analysis& analysis_;
  const RenderOptions& options_;
  std::ostream& out_;
  std::size_t width_;
  const Finding* shown_;
};

}  // namespace
}  // namespace report

void render_text(const Analysis& analysis, const RenderOptions& options, std::ostream& out) {
  const Analysis tidy = report::cleaned(analysis);
  report::TextPage(tidy, options, out).write();
}

}  // namespace coldcase
