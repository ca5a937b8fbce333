// `coldcase inspect`: what an address of the dead process is, or a thread. Memory's contents are
// private: what lies there is named, never shown.
#include <algorithm>
#include <array>
#include <coldcase/inspect.hpp>

#include "base/readable_name.hpp"
#include "base/text.hpp"
#include "inspect_parts.hpp"
#include "lens/seen.hpp"
#include "modules/symbols.hpp"
#include "session.hpp"

namespace coldcase {
namespace {

constexpr std::size_t most_named = 8;

// In the order of Registers::Index.
constexpr std::array<std::string_view, 27> register_names{
    "r15",    "r14", "r13", "r12",     "rbp",     "rbx", "r11",      "r10", "r9",
    "r8",     "rax", "rcx", "rdx",     "rsi",     "rdi", "orig_rax", "rip", "cs",
    "eflags", "rsp", "ss",  "fs_base", "gs_base", "ds",  "es",       "fs",  "gs"};

Table facts_table() {
  return {{"what", "is"}, {}};
}

void add(Table& table, std::string_view what, std::string is) {
  if (!is.empty()) table.rows.push_back({std::string(what), std::move(is)});
}

std::string offset_text(std::uint64_t offset) {
  return offset == 0 ? "" : "+" + hex(offset);
}

// ---- an address

// "rw-, 0x7f00 to 0x9f00, of /usr/lib/libc.so.6 at 0x2000".
void add_mapping(const Session& session, Addr at, Table& table) {
  const auto segment = std::ranges::find_if(
      session.core.segments, [&](const Segment& one) { return one.range.contains(at); });
  const auto file = std::ranges::find_if(
      session.core.files, [&](const FileMapping& one) { return one.range.contains(at); });
  const bool mapped = segment != session.core.segments.end();
  if (!mapped && file == session.core.files.end()) {
    add(table, "mapping", "none: no mapping of the process covers it");
    return;
  }
  const Range range = mapped ? segment->range : file->range;
  std::string text = hex(range.begin.value) + " to " + hex(range.end.value);
  if (mapped) {
    text += std::string(", ") + (segment->readable ? "r" : "-") + (segment->writable ? "w" : "-") +
            (segment->executable ? "x" : "-");
  }
  if (file != session.core.files.end()) {
    text += ", of " + clean_text(shorten_home(file->path)) + " at " +
            hex(file->offset + (at.value - file->range.begin.value));
  }
  add(table, "mapping", text);
  const auto absent = session.image.why_absent(at);
  const Extent* extent = session.image.find(at);
  add(table, "bytes",
      absent                                                ? std::string(text_of(*absent))
      : extent != nullptr && extent->source == Source::file ? "of the mapped file"
                                                            : "saved in the core");
}

// A function or variable of the symbol tables that covers it.
std::string variable_at(const Module& module, Addr at) {
  const ElfFile* file = module.symbols();
  if (file == nullptr) return {};
  const std::uint64_t value = module.to_file(at);
  std::string found;
  file->each_symbol([&](const ElfSymbol& symbol) {
    const bool covers = symbol.type == 1 && value >= symbol.value &&  // STT_OBJECT
                        value - symbol.value < symbol.size;
    if (covers && found.empty())
      found = readable_name(demangle(symbol.name())) + offset_text(value - symbol.value);
  });
  return clean_text(found);
}

void add_symbol(const Session& session, Addr at, Table& table) {
  const Module* module = session.modules.find(at);
  if (module == nullptr) return;
  add(table, "module",
      clean_text(shorten_home(module->path)) + offset_text(at.value - module->range.begin.value) +
          (module->build_id.empty() ? "" : ", build-id " + module->build_id));
  const std::array asked{at};
  const CodeName name = name_code(session.modules, asked).front();
  if (!name.function.empty()) {
    std::string text = clean_text(name.function) + offset_text(at.value - name.start.value);
    if (name.where.line != 0)
      text +=
          ", " + clean_text(shorten_home(name.where.file)) + ":" + std::to_string(name.where.line);
    add(table, "function", text);
  } else {
    add(table, "variable", variable_at(*module, at));
  }
}

// The thread whose stack pointer is the nearest below it, in the same mapping.
void add_stack(const Session& session, const Facts& facts, Addr at, Table& table) {
  constexpr std::uint64_t red_zone = 128;  // System V ABI x86-64, 3.2.2
  const Extent* extent = session.image.find(at);
  if (extent == nullptr) return;
  std::optional<std::size_t> nearest;
  std::uint64_t top = 0;
  for (std::size_t i = 0; i < session.core.threads.size(); ++i) {
    const std::uint64_t sp = session.core.threads[i].registers[Registers::rsp];
    if (!extent->range.contains(Addr{sp}) || at.value + red_zone < sp || sp < top) continue;
    nearest = i;
    top = sp;
  }
  if (!nearest) return;
  std::string text = named(facts, ThreadId{static_cast<std::uint32_t>(*nearest)});
  const Walk& walk = session.threads->walks[*nearest];
  const auto frame = std::ranges::find_if(
      walk.frames, [&](const WalkFrame& one) { return one.cfa != 0 && at.value < one.cfa; });
  if (frame != walk.frames.end()) {
    const CodeName& name = session.threads->name_of(*frame);
    text += ", in its frame " + std::to_string(frame - walk.frames.begin());
    if (!name.function.empty()) text += ", " + clean_text(name.function);
  } else if (!walk.frames.empty()) {
    text += ", above its outermost frame";
  }
  add(table, "stack of", text);
}

void add_registers(const Session& session, const Facts& facts, Addr at, Table& table) {
  std::vector<std::string> holders;
  std::size_t count = 0;
  for (std::size_t i = 0; i < session.core.threads.size(); ++i) {
    const Registers& registers = session.core.threads[i].registers;
    for (std::size_t r = 0; r < registers.words.size(); ++r) {
      if (registers.words[r] != at.value || at.value == 0) continue;
      if (count++ < most_named)
        holders.push_back(named(facts, ThreadId{static_cast<std::uint32_t>(i)}) + " (" +
                          std::string(register_names[r]) + ")");
    }
  }
  if (count > most_named) holders.push_back(std::to_string(count - most_named) + " more");
  add(table, "in registers of", join(holders, ", "));
}

// Type and module of a Python object: its type's type's type is `type`.
void add_python_object(const Seen& seen, Addr at, Table& table) {
  if (!seen.python.python || seen.python.python->runtime.layout == nullptr) return;
  const cpython::Objects& objects = seen.python.python->objects();
  const auto type = objects.read_type(at);
  const auto meta = type ? objects.read_type(*type) : Read<Addr>(type);
  if (!meta || objects.type_name(*meta) != "type") return;
  const std::string name = clean_text(objects.type_name(at));
  if (!name.empty()) add(table, "Python object", "of type " + name);
}

Table resource_table(const Facts& facts, const ResourceFact& resource) {
  Table table = facts_table();
  add(table, "lock", resource.label);
  add(table, "kind", std::string(word(resource.kind)));
  add(table, "implementation", resource.implementation);
  add(table, "state", state_of(resource));
  add(table, "held by", owners_of(facts, resource));
  add(table, "how known", basis_of(resource));
  add(table, "waiters", waiters_of(facts, resource));
  return table;
}

// The object of the report that begins here, or one of whose words this is.
bool is_at(const ResourceFact& resource, ProcessId process, Addr at) {
  if (at.value == 0) return false;  // of words that have no place of their own
  const auto here = [&](const Place& place) {
    return place.process == process && place.address == at;
  };
  return std::ranges::any_of(resource.at, here) ||
         (!resource.at.empty() && resource.at.front().process == process &&
          std::ranges::find(resource.words, at, &MemoryWord::address) != resource.words.end());
}

std::vector<Section> address_sections(const Session& session, const Facts& facts, Addr at) {
  const View view{session.core, session.image, session.modules, *session.threads, ProcessId{0}};
  Seen seen(view);
  seen.python = cpython::read_python(view, seen.pthreads, seen.native);
  Table table = facts_table();
  add(table, "address", hex(at.value));
  add_mapping(session, at, table);
  add_symbol(session, at, table);
  add_stack(session, facts, at, table);
  for (std::size_t i = 0; i < session.core.threads.size(); ++i) {
    if (session.core.threads[i].registers[Registers::fs_base] == at.value && at.value != 0)
      add(table, "thread block of", named(facts, ThreadId{static_cast<std::uint32_t>(i)}));
  }
  add_python_object(seen, at, table);
  add_registers(session, facts, at, table);
  std::vector<Section> sections{{"address", std::move(table)}};
  for (const ResourceFact& resource : facts.resources) {
    if (!is_at(resource, view.process, at)) continue;
    const std::string number = sections.size() > 1 ? " " + std::to_string(sections.size()) : "";
    sections.push_back({"object" + number, resource_table(facts, resource)});
  }
  return sections;
}

// ---- a thread

std::string place_of(const Facts& facts, const Frame& frame) {
  std::string text = frame.file;
  if (!text.empty() && frame.line) text += ":" + std::to_string(*frame.line);
  if (!text.empty() || !frame.module.known()) return text;
  return facts.modules[frame.module.index].name +
         (frame.module_offset ? offset_text(frame.module_offset->value) : "");
}

Table stack_of(const Facts& facts, const ThreadFact& thread) {
  Table table{{"frame", "function", "place", "kind", "trust"}, {}};
  const Stack& stack = facts.stacks[thread.stack.index];
  for (std::size_t f = 0; f < stack.frames.size(); ++f) {
    const Frame& frame = facts.frames[stack.frames[f]];
    const std::string function =
        frame.kind == FrameKind::repeat ? "the frames above, again and again" : frame.function;
    table.rows.push_back({std::to_string(f), function, place_of(facts, frame),
                          std::string(word(frame.kind)), std::string(word(frame.trust))});
  }
  if (!stack.stop_text.empty()) table.rows.push_back({"", stack.stop_text, "", "", ""});
  return table;
}

std::vector<Section> thread_sections(const Facts& facts, const ThreadFact& thread) {
  Table table = facts_table();
  add(table, "thread", std::to_string(*thread.tid));
  add(table, "name", thread.name);
  add(table, "began in", thread.entry);
  add(table, "state", std::string(word(thread.state)));
  add(table, "waits for", target_of(facts, thread));
  if (thread.wait) {
    add(table, "how sure", std::string(word(thread.wait->confidence)));
    for (const EvidenceId id : thread.wait->evidence)
      add(table, "known from", facts.evidence[id.index].claim);
  }
  for (const Hold& hold : thread.holds)
    add(table, "has", facts.resources[hold.resource.index].label);
  std::vector<Section> sections{{"thread", std::move(table)}};
  if (thread.stack.known()) sections.push_back({"stack", stack_of(facts, thread)});
  return sections;
}

}  // namespace

std::vector<Section> inspect(const AnalyzeOptions& options, std::uint64_t number) {
  const Analysis analysis = analyze(options);
  for (const ThreadFact& thread : analysis.facts.threads) {
    if (thread.tid && *thread.tid > 0 && static_cast<std::uint64_t>(*thread.tid) == number)
      return thread_sections(analysis.facts, thread);
  }
  return reading_frames([&](Unpack unpack) {
    FetchOptions again = options.fetch;  // what came is in the cache by now
    again.seconds = std::min(again.seconds, 3.0);
    Debuginfod servers(again);
    const auto session = open_session(open_input(options.cores.front(), unpack), options, &servers);
    return address_sections(*session, analysis.facts, Addr{number});
  });
}

}  // namespace coldcase
