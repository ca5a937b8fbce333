#include "diagnose/signature.hpp"

#include <algorithm>

#include "base/digest.hpp"
#include "base/rings.hpp"
#include "base/text.hpp"

namespace coldcase {
namespace {

constexpr std::string_view pending = " (callback, not yet entered)";

std::string without_brackets(std::string_view name, char open, char close,
                             std::string_view instead) {
  std::string plain;
  int depth = 0;
  for (std::size_t i = 0; i < name.size(); ++i) {
    const bool arrow = name[i] == '>' && i > 0 && name[i - 1] == '-';
    if (name[i] == open) {
      if (depth++ == 0) plain += instead;
    } else if (name[i] == close && !arrow && depth > 0) {
      --depth;
    } else if (depth == 0) {
      plain += name[i];
    }
  }
  return plain;
}

std::string normal_native(std::string name) {
  // "(anonymous namespace)::" is a scope, the last "(...)" are parameters.
  for (auto at = name.find("(anonymous namespace)"); at != std::string::npos;
       at = name.find("(anonymous namespace)")) {
    name.replace(at, 21, "{anonymous}");
  }
  for (auto at = name.find("[abi:"); at != std::string::npos; at = name.find("[abi:")) {
    const auto end = name.find(']', at);
    name.erase(at, end == std::string::npos ? end : end - at + 1);
  }
  if (name.find("operator") == std::string::npos) name = without_brackets(name, '<', '>', "<T>");
  name = without_brackets(name, '(', ')', "");
  for (const std::string_view mark : {".part.", ".isra.", ".constprop.", ".cold", ".lto_priv.",
                                      ".localalias", " [clone", ".llvm."}) {
    const auto at = name.find(mark);
    if (at != std::string::npos) name.erase(at);
  }
  if (name.ends_with(" const")) name.erase(name.size() - 6);
  while (!name.empty() && name.back() == ' ') name.pop_back();
  return name;
}

std::string normal_python(std::string_view name) {
  if (name.ends_with(pending)) name.remove_suffix(pending.size());
  std::string plain;
  std::string_view rest = name;
  std::string_view around;
  for (;;) {
    const auto dot = rest.find('.');
    const std::string_view part = rest.substr(0, dot);
    if (dot == std::string_view::npos) {
      if (part == "<lambda>" && !around.empty()) plain = std::string(around) + ".";
      return plain + std::string(part);
    }
    if (part != "<locals>") around = part;
    rest.remove_prefix(dot + 1);
  }
}

bool is_comprehension(std::string_view name) {
  return name.ends_with("<listcomp>") || name.ends_with("<dictcomp>") ||
         name.ends_with("<setcomp>") || name.ends_with("<genexpr>");
}

// Counts for a signature: physical, found surely, named by the file that ran itself. Comprehensions
// have a frame of their own up to 3.11 and none after.
bool counts(const Frame& frame) {
  if (frame.function.empty() || frame.trust == Trust::scan || frame.function == "_start")
    return false;
  if (frame.kind == FrameKind::python)
    return !is_comprehension(frame.function) && !frame.function.ends_with(pending);
  return frame.kind == FrameKind::native && !frame.named_by_debug_file &&
         !is_standard_library(frame.function);
}

bool runtime_module(const Facts& facts, const Frame& frame) {
  return !frame.module.known() ||
         ring_of_module(facts.modules[frame.module.index].path) == Ring::runtime;
}

const std::vector<std::uint32_t>* frames_of(const Facts& facts, ThreadId id) {
  const StackId stack = facts.threads[id.index].stack;
  return stack.known() ? &facts.stacks[stack.index].frames : nullptr;
}

// The nearest application frame, else the nearest library's; null when only the runtime is there.
const Frame* find_site(const Facts& facts, const std::vector<std::uint32_t>* frames) {
  const Frame* library = nullptr;
  if (frames == nullptr) return nullptr;
  for (const std::uint32_t f : *frames) {
    const Frame& frame = facts.frames[f];
    if (!counts(frame)) continue;
    if (frame.in_app.value_or(false)) return &frame;
    const bool python_library =
        frame.kind == FrameKind::python && ring_of_python(frame.file) == Ring::library;
    const bool native_library = frame.kind == FrameKind::native && !runtime_module(facts, frame);
    if (library == nullptr && (python_library || native_library)) library = &frame;
  }
  return library;
}

// Where the first frame outside the runtime lies, for cores without symbols.
std::string module_site(const Facts& facts, ThreadId id) {
  const auto* frames = frames_of(facts, id);
  if (frames == nullptr) return "?";
  for (const std::uint32_t f : *frames) {
    const Frame& frame = facts.frames[f];
    if (frame.kind != FrameKind::native || frame.trust == Trust::scan ||
        runtime_module(facts, frame))
      continue;
    return facts.modules[frame.module.index].name + "+" +
           hex(frame.module_offset.value_or(Addr{}).value);
  }
  return "?";
}

// The primitive as its user knows it: every version's threading.Lock is one thing.
std::string primitive_of(const std::optional<Wait>& wait) {
  if (!wait) return "?";
  std::string text(word(wait->kind));
  if (wait->mode && wait->mode != Mode::exclusive)
    text += "(" + std::string(word(*wait->mode)) + ")";
  return text;
}

// The collector runs a finalizer at any line: what two such hangs have in common is the finalizer.
// Empty: it is told as any other wait.
std::string finalizer_site(const Facts& facts, const Finding& finding, ThreadId id) {
  const auto& finalizer = facts.threads[id.index].finalizer;
  if (finding.pattern != "blocking-finalizer" || id != finding.threads.front() || !finalizer)
    return {};
  return finalizer->type.empty() ? "" : finalizer->type + ".__del__";
}

struct Edges {
  std::vector<std::string> loose, strict, by_module;
  bool named = false;    // some site is known
  bool complete = true;  // every site is
};

std::string strict_site(const Facts& facts, const Frame& site) {
  std::string text = normal_name(site);
  if (site.line) text += ":" + std::to_string(*site.line);
  if (site.module.known()) text += " " + facts.modules[site.module.index].build_id;
  return text;
}

// A task that runs is told with its thread.
void add_task(const Facts& facts, const TaskFact& task, Edges& edges) {
  if (task.state == TaskState::running) return;
  const auto* frames = task.stack.known() ? &facts.stacks[task.stack.index].frames : nullptr;
  const Frame* site = find_site(facts, frames);
  const std::string primitive = primitive_of(task.wait) + "@";
  edges.loose.push_back(primitive + (site != nullptr ? normal_name(*site) : "?"));
  edges.strict.push_back(primitive + (site != nullptr ? strict_site(facts, *site) : "?"));
  edges.named = edges.named || site != nullptr;
  edges.complete = edges.complete && site != nullptr;
}

Edges edges_of(const Facts& facts, const Finding& finding) {
  Edges edges;
  for (const ThreadId id : finding.threads) {
    const Frame* site = find_site(facts, frames_of(facts, id));
    const std::string primitive =
        finding.kind == FindingKind::crash ? "" : primitive_of(facts.threads[id.index].wait) + "@";
    const std::string finalizer = finalizer_site(facts, finding, id);
    if (!finalizer.empty()) {
      edges.loose.push_back(primitive + finalizer);
      edges.strict.push_back(primitive + finalizer);
      edges.by_module.push_back(primitive + module_site(facts, id));
      edges.named = true;
      continue;
    }
    edges.loose.push_back(primitive + (site != nullptr ? normal_name(*site) : "?"));
    edges.strict.push_back(primitive + (site != nullptr ? strict_site(facts, *site) : "?"));
    edges.by_module.push_back(primitive + module_site(facts, id));
    edges.named = edges.named || site != nullptr;
    edges.complete = edges.complete && site != nullptr;
  }
  for (const TaskId id : finding.tasks) add_task(facts, facts.tasks[id.index], edges);
  return edges;
}

// Equal neighbours are one (5 and 206 philosophers are one bug); then the smallest rotation.
std::string ring_text(std::vector<std::string> edges) {
  edges.erase(std::unique(edges.begin(), edges.end()), edges.end());
  while (edges.size() > 1 && edges.front() == edges.back()) edges.pop_back();
  std::vector<std::string> best = edges;
  for (std::size_t i = 0; i < std::min<std::size_t>(edges.size(), 1000); ++i) {
    std::rotate(edges.begin(), edges.begin() + 1, edges.end());
    best = std::min(best, edges);
  }
  return join(best, " -> ");
}

std::string hash_of(std::string_view prefix, std::string_view text) {
  return std::string(prefix) + ":" + sha256_hex(text).substr(0, 16);
}

}  // namespace

std::string normal_name(const Frame& frame) {
  return frame.kind == FrameKind::python ? normal_python(frame.function)
                                         : normal_native(frame.function);
}

std::optional<Signature> make_signature(const Facts& facts, const Finding& finding) {
  if (finding.confidence == Confidence::hypothesis || finding.kind == FindingKind::info)
    return std::nullopt;
  const Edges edges = edges_of(facts, finding);
  Signature signature;
  signature.version = "cc1";
  const std::string prefix = finding.pattern + ": ";
  const std::string modules = prefix + ring_text(edges.by_module);
  if (modules.find('+') != std::string::npos) signature.by_module = hash_of("cc1m", modules);
  if (!edges.named) {
    if (signature.by_module.empty()) return std::nullopt;
    signature.text = clean_text(modules, 2048);
    return signature;
  }
  signature.text = clean_text(prefix + ring_text(edges.loose), 2048);
  signature.loose = hash_of("cc1", signature.text);
  if (edges.complete) signature.strict = hash_of("cc1", prefix + ring_text(edges.strict));
  return signature;
}

}  // namespace coldcase
