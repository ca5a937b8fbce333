// The lines of a stack: frames, folded where they tell nothing, and the lock events at them.
#include <algorithm>

#include "base/readable_name.hpp"
#include "base/text.hpp"
#include "report/names.hpp"
#include "report/page.hpp"

namespace coldcase::report {
namespace {

constexpr std::size_t line_limit = 60;  // reported when hit

bool gil_function(const std::string& name) {
  return name == "take_gil" || name == "PyGILState_Ensure" || name == "PyEval_RestoreThread" ||
         name == "PyEval_AcquireThread";
}

class StackWriter {
 public:
  StackWriter(const Analysis& analysis, const StackParty& party, FrameNames& names)
      : analysis_(analysis),
        names_(names),
        party_(party),
        stack_(analysis.facts.stacks[party.stack.index]),
        has_python_(std::any_of(stack_.frames.begin(), stack_.frames.end(), [&](std::uint32_t i) {
          return analysis.facts.frames[i].kind == FrameKind::python;
        })) {}

  std::vector<StackLine> lines() {
    events(std::nullopt);
    for (std::uint32_t i = 0; i < stack_.frames.size(); ++i) {
      if (lines_.size() >= line_limit) {
        flush();
        remark("... " + counted(stack_.frames.size() - i, "more frame") + ", in the JSON report");
        break;
      }
      frame(stack_.frames[i]);
      events(i);
      if (!interpreters_own(frame_at(i))) locals(i);
    }
    flush();
    ending();
    return std::move(lines_);
  }

 private:
  const Frame& frame_at(std::size_t i) const { return analysis_.facts.frames[stack_.frames[i]]; }

  std::string module_of(const Frame& frame) const {
    if (!frame.module.known()) return {};
    return std::string(base_name(analysis_.facts.modules[frame.module.index].name));
  }

  // The interpreter's own C code below and above Python frames says nothing they do not.
  bool interpreters_own(const Frame& frame) const {
    if (!has_python_ || gil_function(frame.function)) return false;
    if (frame.kind != FrameKind::native && frame.kind != FrameKind::inline_) return false;
    const std::string module = module_of(frame);
    return starts_with_any(module, {"libpython", "python3", "python2"}) || module == "python";
  }

  void frame(std::uint32_t index) {
    const Frame& frame = analysis_.facts.frames[index];
    if (interpreters_own(frame)) return;
    const bool nameless = frame.kind == FrameKind::native && frame.function.empty() &&
                          frame.symbol.empty() && frame.file.empty();
    const std::string module = module_of(frame);
    if (nameless) {
      if (!glue_.empty() || (nameless_ > 0 && nameless_module_ != module)) flush();
      nameless_module_ = module;
      ++nameless_;
      return;
    }
    if (names_.is_glue(index) && party_.locals.empty()) {
      if (nameless_ > 0) flush();
      glue_.push_back(line_of(index, module));
      return;
    }
    flush();
    if (gil_function(frame.function)) {
      StackLine* inner = inner_gil(module);
      if (inner != nullptr) {
        inner->left += ", in " + frame.function;
        return;
      }
    }
    lines_.push_back(line_of(index, module));
  }

  // take_gil just before, whatever events stand at it: one line for it and its caller.
  StackLine* inner_gil(const std::string& module) {
    for (auto line = lines_.rbegin(); line != lines_.rend(); ++line) {
      if (line->kind == StackLine::Kind::event) continue;
      return line->left == "take_gil" && line->right == module ? &*line : nullptr;
    }
    return nullptr;
  }

  StackLine line_of(std::uint32_t index, const std::string& module) const {
    const Frame& frame = analysis_.facts.frames[index];
    StackLine line;
    if (frame.kind == FrameKind::gap) return {StackLine::Kind::remark, gap_text(frame), false, ""};
    if (frame.kind == FrameKind::repeat) {
      const std::string what = frame.of.value_or(1) == 1
                                   ? "the frame above"
                                   : "the " + counted(frame.of.value_or(1), "frame") + " above";
      return {StackLine::Kind::remark,
              "... and " + what + " " + counted(frame.times.value_or(0), "more time"), false, ""};
    }
    line.left = names_.name(index);
    if (frame.kind == FrameKind::signal)
      line.left = "<signal handler was called here>" + (line.left.empty() ? "" : " " + line.left);
    line.python = frame.kind == FrameKind::python;
    line.right = place_text(frame.file, frame.line);
    const bool plain = line.right.empty() && frame.symbol_offset && !gil_function(frame.function);
    if (plain && *frame.symbol_offset > 0) line.left += "+" + std::to_string(*frame.symbol_offset);
    if (line.left.empty()) line.left = "(no name)";
    if (line.right.empty()) line.right = module;
    if (frame.kind == FrameKind::inline_) line.left += " (inlined)";
    if (frame.trust == Trust::scan) line.left += " [guessed: found by scanning]";
    if (frame.trust == Trust::frame_pointer) line.left += " [by frame pointer]";
    return line;
  }

  static std::string gap_text(const Frame& frame) {
    return frame.function.empty() ? "(frames missing here)" : "(" + frame.function + ")";
  }

  void flush() {
    if (glue_.size() > 1)
      glue_ = {{StackLine::Kind::frame,
                std::to_string(glue_.size()) + " frames inside the standard library", false, ""}};
    std::ranges::move(glue_, std::back_inserter(lines_));
    glue_.clear();
    if (nameless_ == 0) return;
    StackLine line;
    line.left =
        counted(nameless_, "frame") + (nameless_ == 1 ? " without a name" : " without names");
    line.right = nameless_module_;
    lines_.push_back(line);
    nameless_ = 0;
  }

  void remark(std::string text) {
    lines_.push_back({StackLine::Kind::remark, std::move(text), false, ""});
  }
  void event(std::string text) {
    flush();
    lines_.push_back({StackLine::Kind::event, std::move(text), false, ""});
  }

  // Those at a frame, or (nullopt) those whose frame is not known or not listed.
  void events(std::optional<std::uint32_t> frame) {
    const auto here = [&](std::optional<std::uint32_t> at_frame) {
      if (at_frame && *at_frame >= stack_.frames.size()) at_frame.reset();
      return at_frame == frame;
    };
    if (party_.wait && here(party_.wait->frame)) event(wait_text(*party_.wait));
    for (const Hold& hold : party_.holds) {
      if (hold.resource.known() && here(hold.frame)) event(hold_text(hold));
    }
  }

  void locals(std::uint32_t frame) {
    std::string text;
    for (const LocalFact& local : party_.locals) {
      if (local.frame == frame)
        text += (text.empty() ? "" : ", ") + local.name + " = " + local.value;
    }
    if (!text.empty()) event(text);
  }

  std::string wait_text(const Wait& wait) const {
    std::string text = "waits for " + wait_target(analysis_, wait);
    if (!wait.on.empty()) text += holder_text(wait.on.front());
    if (wait.ends == Ends::timeout) text += "; this wait has a timeout";
    return text;
  }

  std::string holder_text(Ref target) const {
    const ResourceId id = target.as<RefKind::resource>();
    if (!id.known()) return {};
    const ResourceFact& resource = at(analysis_, id);
    std::vector<std::string> names;
    for (const Owner& owner : resource.owners) {
      if (names.size() < 3) names.push_back(owner_name(owner));
    }
    if (resource.owners.size() > 3) names.push_back("and others");
    if (!names.empty()) return ", held by " + join(names, ", ");
    const std::string& code = resource.owner_unknown_code;
    if (code == "not_held" || code == "worker_died" || code == "handler_ended" ||
        code == "pool_terminated")
      return ": " + resource.owner_unknown_text;
    if (!resource.owner_unknown_text.empty())
      return ", holder unknown: " + resource.owner_unknown_text;
    return {};
  }

  std::string owner_name(const Owner& owner) const {
    std::string name = ref_name(analysis_, owner.by);
    if (owner.confidence != Confidence::proved)
      name += " (" + confidence_text(owner.confidence) + ")";
    return name;
  }

  std::string hold_text(const Hold& hold) const {
    std::string text = "has " + resource_name(analysis_, hold.resource) + mode_text(hold.mode);
    if (hold.count && *hold.count > 1) text += ", " + std::to_string(*hold.count) + " times";
    if (hold.confidence != Confidence::proved)
      text += " (" + confidence_text(hold.confidence) + ": " + basis_text(hold.basis) + ")";
    return text;
  }

  void ending() {
    if (!stack_.stop_code.empty() && stack_.stop_code != "outermost") {
      std::string text = "(the stack could not be read further";
      if (!stack_.stop_text.empty()) text += ": " + stack_.stop_text;
      remark(text + ")");
    }
  }

  const Analysis& analysis_;
  FrameNames& names_;
  const StackParty& party_;
  const Stack& stack_;
  bool has_python_;
  std::vector<StackLine> lines_;
  std::vector<StackLine> glue_;
  std::size_t nameless_ = 0;
  std::string nameless_module_;
};

}  // namespace

const FrameNames::Row& FrameNames::row(std::uint32_t frame) {
  const auto [found, fresh] = rows_.try_emplace(frame);
  if (!fresh) return found->second;
  const Frame& fact = analysis_.facts.frames[frame];
  Row& row = found->second;
  row.name = fact.function.empty() ? fact.symbol : fact.function;
  const bool native = fact.kind == FrameKind::native || fact.kind == FrameKind::inline_;
  if (!native || full_) return row;
  row.name = readable_name(row.name);
  row.glue = is_library_glue(row.name) &&
             (fact.trust != Trust::scan && fact.trust != Trust::frame_pointer);
  return row;
}

bool same_lines(const std::vector<StackLine>& a, const std::vector<StackLine>& b) {
  return std::equal(
      a.begin(), a.end(), b.begin(), b.end(), [](const StackLine& x, const StackLine& y) {
        return x.kind == y.kind && x.left == y.left && x.python == y.python && x.right == y.right;
      });
}

std::vector<StackLine> stack_lines(const Analysis& analysis, const StackParty& party,
                                   FrameNames& names) {
  if (!party.stack.known())
    return {{StackLine::Kind::remark, "(no stack could be read)", false, ""}};
  return StackWriter(analysis, party, names).lines();
}

std::vector<StackBlock> stack_blocks(const Analysis& analysis, const std::vector<ThreadId>& threads,
                                     bool full_names) {
  std::vector<StackBlock> blocks;
  FrameNames names(analysis, full_names);
  for (const ThreadId id : threads) {
    const ThreadFact& thread = at(analysis, id);
    std::vector<StackLine> lines =
        stack_lines(analysis, {thread.stack, thread.wait, thread.holds, thread.locals}, names);
    const auto found =
        std::find_if(blocks.begin(), blocks.end(),
                     [&lines](const StackBlock& block) { return same_lines(block.lines, lines); });
    if (found != blocks.end()) {
      found->threads.push_back(id);
    } else {
      blocks.push_back(StackBlock{{id}, std::move(lines)});
    }
  }
  return blocks;
}

}  // namespace coldcase::report
