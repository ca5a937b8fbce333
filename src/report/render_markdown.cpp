// The Markdown format: for an issue tracker. Made of whole sections, so that a limit can leave some
// out and say so.
#include <algorithm>
#include <coldcase/report.hpp>
#include <ostream>

#include "base/text.hpp"
#include "report/clean.hpp"
#include "report/markdown.hpp"
#include "report/names.hpp"
#include "report/page.hpp"
#include "report/page_tasks.hpp"
#include "report/stack_text.hpp"

namespace coldcase {
namespace report {
namespace {

constexpr std::size_t default_limit = 60000;
constexpr std::size_t note_room = 400;  // for the sentence that says what was left out
constexpr std::size_t stack_width = 100;

struct Section {
  std::string name;  // for the sentence that says it was left out
  std::string text;
};

class MarkdownPage {
 public:
  MarkdownPage(const Analysis& analysis, const RenderOptions& options)
      : analysis_(analysis),
        options_(options),
        shown_(analysis.verdict.kind == VerdictKind::none ? nullptr : main_finding(analysis)) {}

  std::vector<Section> sections() {
    add("the headline", headline());
    const bool unsure = analysis_.verdict.kind == VerdictKind::inconclusive;
    if (unsure) add("what is missing", missing());
    if (shown_ != nullptr) {
      add("what happened", story());
      add("who waits for whom", waits());
      add("the diagram", diagram());
    }
    add("what to do", advice());
    add("other findings", others());
    if (shown_ != nullptr) add("the stacks", stacks(involved_threads(analysis_, shown_), title()));
    if (shown_ != nullptr) add("the await chains", await_chains());
    add("the other threads", threads());
    add("the other tasks", tasks());
    if (options_.all_threads)
      add("the other stacks", stacks(other_threads(analysis_, shown_), "The other stacks"));
    if (!unsure) add("what is missing", missing());
    add("the closing notes", closing());
    return std::move(sections_);
  }

 private:
  void add(const char* name, std::string text) {
    if (!text.empty()) sections_.push_back({name, std::move(text)});
  }

  std::string headline() const {
    std::string kind = verdict_text(analysis_.verdict.kind);
    std::transform(kind.begin() + 1, kind.end(), kind.begin() + 1,
                   [](char c) { return static_cast<char>(c == ' ' ? c : c - 'A' + 'a'); });
    const bool none = analysis_.verdict.kind == VerdictKind::none;
    if (analysis_.verdict.confidence && !none)
      kind += " (" + confidence_text(*analysis_.verdict.confidence) + ")";
    std::string text = "**" + kind + ":** " + markdown_text(analysis_.verdict.headline) + "\n\n";
    for (const std::string& line : subject_lines(analysis_)) text += markdown_text(line) + "\\\n";
    if (analysis_.verdict.unrelated == true)
      text += "These cores are of separate incidents; each was judged by itself.\\\n";
    if (shown_ != nullptr) {
      std::vector<std::string> parts;
      if (!shown_->pattern.empty()) parts.push_back("pattern " + code_span(shown_->pattern));
      if (shown_->signature && !shown_->signature->loose.empty())
        parts.push_back("signature " + code_span(shown_->signature->loose));
      if (!parts.empty()) text += join(parts, " · ") + "\\\n";
    }
    // The last line break would be shown as a backslash.
    if (text.size() > 2 && text.substr(text.size() - 2) == "\\\n") text.erase(text.size() - 2, 1);
    return text;
  }

  std::string story() const {
    const std::vector<std::string> crash = crash_lines(*shown_);
    if (shown_->story.empty() && shown_->summary.empty() && crash.empty()) return {};
    std::string text = "### What happened\n\n";
    if (shown_->story.empty() && !shown_->summary.empty())
      text += markdown_text(join(shown_->summary, " ")) + "\n";
    std::size_t number = 0;
    for (const StoryLine& line : shown_->story) {
      text += std::to_string(++number) + ". " + markdown_text(line.text);
      if (options_.evidence) text += markdown_text(evidence_marks(line.evidence));
      const std::string from = known_from(analysis_, line.evidence);
      if (!from.empty()) text += " <sub>" + markdown_text(from) + "</sub>";
      text += '\n';
    }
    if (!crash.empty() && text.back() == '\n') text += '\n';
    for (const std::string& line : crash) text += "- " + markdown_text(line) + "\n";
    return text;
  }

  std::string waits() const {
    const std::vector<WaitRow> rows = wait_rows(analysis_, *shown_);
    if (rows.empty()) return {};
    std::string text = "| thread | waits for | held by | how we know |\n|---|---|---|---|\n";
    for (const WaitRow& row : rows) {
      text += "| " + markdown_cell(row.thread) + " | " + markdown_cell(row.waits_for) + " | " +
              markdown_cell(row.held_by) + " | " + markdown_cell(row.how) + " |\n";
    }
    for (const std::string& more : {more_waits_text(*shown_), ends_text(analysis_, *shown_)}) {
      if (!more.empty()) text += "\n" + more + "\n";
    }
    return text;
  }

  std::string diagram() const {
    const std::string body = mermaid(analysis_, *shown_);
    if (body.empty()) return {};
    std::string text = code_block(body, "mermaid");
    const auto drawn = static_cast<std::size_t>(std::count(body.begin(), body.end(), '\n')) - 1;
    if (drawn < shown_->path.size()) {
      text += "\nThe diagram shows the first " + std::to_string(drawn) + " of " +
              std::to_string(shown_->path.size()) + " steps.\n";
    }
    return text;
  }

  std::string advice() const {
    std::string text;
    for (const AdviceLine& line : advice_lines(analysis_, shown_)) {
      text += "- " + markdown_text(line.text);
      if (!line.url.empty()) text += " See " + markdown_link(line.url);
      text += '\n';
    }
    return text.empty() ? text : "### What to do\n\n" + text;
  }

  std::string others() const {
    std::string text;
    for (const std::string& told : other_paragraphs(analysis_, shown_))
      text += "- " + markdown_text(told) + "\n";
    return text.empty() ? text : "### Also found\n\n" + text;
  }

  static std::string folded(const std::string& title, const std::string& body) {
    return "<details><summary>" + markdown_text(title) + "</summary>\n\n" + body + "\n</details>\n";
  }

  std::string title() const {
    if (shown_->kind == FindingKind::crash) return "Stack of the crash";
    const std::size_t count = involved_threads(analysis_, shown_).size();
    return count == 1 ? "Stack of the thread"
                      : "Stacks of these " + std::to_string(count) + " threads, with the locks";
  }

  std::string stacks(const std::vector<ThreadId>& threads, const std::string& heading) const {
    if (threads.empty()) return {};
    std::string body;
    const std::vector<StackBlock> blocks = stack_blocks(analysis_, threads, options_.full_names);
    const std::size_t limit = options_.all_threads ? blocks.size() : shown_blocks(blocks.size());
    std::size_t told = 0;
    for (std::size_t i = 0; i < limit; ++i) {
      const StackBlock& block = blocks[i];
      told += block.threads.size();
      if (!body.empty()) body += '\n';
      body += block_title(analysis_, block) + "\n";
      for (const std::string& line : stack_text(block.lines, stack_width))
        body += "  " + line + "\n";
    }
    if (told < threads.size())
      body += "\n" + counted(threads.size() - told, "more thread") + " in the JSON report\n";
    return folded(heading, code_block(body, "text"));
  }

  std::string await_chains() const {
    const std::vector<TaskId> involved = involved_tasks(analysis_, shown_);
    if (involved.empty()) return {};
    const std::vector<TaskBlock> blocks = task_blocks(analysis_, involved);
    const std::size_t limit = options_.all_threads ? blocks.size() : shown_blocks(blocks.size());
    std::string body;
    for (std::size_t i = 0; i < limit; ++i) {
      if (!body.empty()) body += '\n';
      body += block_title(analysis_, blocks[i]) + "\n";
      for (const std::string& line : stack_text(blocks[i].lines, stack_width))
        body += "  " + line + "\n";
    }
    if (limit < blocks.size())
      body += "\n" + counted(blocks.size() - limit, "more await chain") + " in the JSON report\n";
    return folded(involved.size() == 1 ? "Where this task awaits" : "Where these tasks await",
                  code_block(body, "text"));
  }

  std::string tasks() const {
    const std::vector<TaskId> rest = other_tasks(analysis_, shown_);
    if (rest.empty()) return {};
    if (analysis_.verdict.kind == VerdictKind::none)
      return markdown_text(tasks_text(analysis_, rest)) + ".\n";
    std::string body = "| tasks | state | what | where |\n|---|---|---|---|\n";
    const std::vector<TaskGroup> groups = task_groups(analysis_, rest);
    std::uint64_t told = 0;
    for (std::size_t i = 0; i < groups.size() && i < group_limit; ++i) {
      const TaskGroup& group = groups[i];
      told += group.count;
      body += "| " + std::to_string(group.count) + " (" + markdown_cell(group.names) + ") | " +
              markdown_cell(group.state) + " | " + markdown_cell(group.what) + " | " +
              (group.where.empty() ? " " : code_span(group.where, true)) + " |\n";
    }
    const std::uint64_t count = count_tasks(analysis_, rest);
    if (told < count) body += "\n" + counted(count - told, "more task") + " in other places.\n";
    const bool alone = rest.size() == analysis_.facts.tasks.size();
    return folded((alone ? "The " : "The other ") + counted(count, "task"), body);
  }

  std::string threads() const {
    const std::vector<ThreadId> rest = other_threads(analysis_, shown_);
    const std::uint64_t listed = analysis_.facts.threads.size();
    const std::uint64_t all = std::max(analysis_.totals.thread_count, listed);
    if (rest.empty() && all == listed) return {};
    std::string body;
    if (!rest.empty()) body = "| threads | state | what | where |\n|---|---|---|---|\n";
    const std::vector<ThreadGroup> groups = thread_groups(analysis_, rest);
    std::size_t told = 0;
    for (std::size_t i = 0; i < groups.size() && i < group_limit; ++i) {
      const ThreadGroup& group = groups[i];
      told += group.threads.size();
      body += "| " + std::to_string(group.threads.size()) + " (" + markdown_cell(group.names) +
              ") | " + markdown_cell(group.state) + " | " + markdown_cell(group.what) + " | " +
              (group.where.empty() ? " " : code_span(group.where, true)) + " |\n";
    }
    if (told < rest.size())
      body += "\n" + counted(rest.size() - told, "more thread") + " in other places.\n";
    if (all > listed) {
      body += (rest.empty() ? "" : "\n") +
              counted(all - listed, rest.empty() ? "thread" : "more thread") +
              ", not listed in this report.\n";
    }
    if (rest.size() == listed) {
      std::string text = "### What the threads do\n\n" + body;
      if (analysis_.verdict.kind == VerdictKind::none) {
        text += "\nChecked: " + markdown_text(checked_text(analysis_)) +
                " If it still looks stuck: take a second core a minute later and compare the "
                "two.\n";
      }
      return text;
    }
    const std::uint64_t count = all - listed + rest.size();
    return folded(
        count == 1 ? "The other thread" : "The other " + std::to_string(count) + " threads", body);
  }

  std::string missing() const {
    std::string text;
    for (const MissingLine& line : missing_lines(analysis_)) {
      text += "- " + markdown_text(line.text);
      if (!line.command.empty()) text += " " + code_span(line.command);
      text += '\n';
    }
    return text.empty() ? text : "### What is missing\n\n" + text;
  }

  std::string closing() const {
    std::vector<std::string> parts;
    const std::string remarks = remarks_text(analysis_);
    if (!remarks.empty()) parts.push_back(remarks);
    const std::string left_out = private_text(analysis_);
    if (!left_out.empty()) parts.push_back(left_out);
    const Generator& made = analysis_.generator;
    if (!made.version.empty()) parts.push_back("Made by " + made.name + " " + made.version + ".");
    return parts.empty() ? std::string{} : "<sub>" + markdown_text(join(parts, " ")) + "</sub>\n";
  }

  const Analysis& analysis_;
  const RenderOptions& options_;
  const Finding* shown_;
  std::vector<Section> sections_;
};

}  // namespace
}  // namespace report

void render_markdown(const Analysis& analysis, const RenderOptions& options, std::ostream& out) {
  const Analysis tidy = report::cleaned(analysis);
  std::size_t room = options.max_chars == 0 ? report::default_limit : options.max_chars;
  room -= std::min(room, report::note_room);
  std::vector<std::string> left_out;
  const char* between = "";
  for (const report::Section& section : report::MarkdownPage(tidy, options).sections()) {
    if (section.text.size() + 1 > room && *between != '\0') {
      left_out.push_back(section.name);
      continue;
    }
    room -= std::min(room, section.text.size() + 1);
    out << between << section.text;
    between = "\n";
  }
  if (left_out.empty()) return;
  out << "\n**Cut to fit.** Left out here: " << join(left_out, ", ")
      << ". The text format has all of it: `coldcase render --format text REPORT.json`.\n";
}

}  // namespace coldcase
