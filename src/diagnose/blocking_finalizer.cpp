// blocking-finalizer: a finalizer, run by the garbage collector at whatever line it began or
// because the last reference went away, waits for something that its own thread does not hold.
#include <algorithm>

#include "base/text.hpp"
#include "diagnose/diagnose.hpp"

namespace coldcase {
namespace {

bool in_ring(const Scene& scene, ThreadId id) {
  return std::ranges::any_of(scene.rings, [&](const Ring& ring) { return ring.contains(id); });
}

// Runs, or wakes up by itself: what it holds it may still give back. One that crashed did so too.
bool goes_on(const ThreadFact& thread) {
  if (thread.state == ThreadState::running || thread.state == ThreadState::spinning ||
      thread.state == ThreadState::crashed)
    return true;
  return thread.wait && thread.wait->ends == Ends::timeout;
}

// Who else could close a context's sockets: a thread that runs may be about to, and one inside
// libzmq is told by libzmq that the context ends.
Confidence sureness_of_sockets(const Scene& scene, ThreadId waiter) {
  Confidence sure = Confidence::proved;
  for (std::uint32_t i = 0; i < scene.facts.threads.size(); ++i) {
    const ThreadFact& other = scene.facts.threads[i];
    if (ThreadId{i} == waiter || other.process != scene.thread(waiter).process) continue;
    if (other.api && other.api->name.starts_with("zmq_")) return Confidence::likely;
    if (other.state == ThreadState::running) sure = Confidence::very_likely;
  }
  return sure;
}

// How sure it is that the wait does not end by itself; nothing when it may.
std::optional<Confidence> endlessness(const Scene& scene, ThreadId id, const Wait& wait) {
  if (wait.ends == Ends::timeout || wait.kind == WaitKind::sleep || wait.kind == WaitKind::gil)
    return std::nullopt;
  if (wait.kind == WaitKind::zmq_context) {
    if (wait.ends != Ends::never) return std::nullopt;
    return std::min(wait.confidence, sureness_of_sockets(scene, id));
  }
  if (wait.on.size() != 1) {  // I/O, a child: what it waits for may come at any moment
    const bool outside = wait.kind == WaitKind::io || wait.kind == WaitKind::process_exit;
    return outside ? std::optional(Confidence::likely) : std::nullopt;
  }
  if (const ThreadId other = wait.on.front().as<RefKind::thread>(); other.known()) {
    return goes_on(scene.thread(other)) ? std::nullopt : std::optional(wait.confidence);
  }
  const ResourceId on = wait.on.front().as<RefKind::resource>();
  if (!on.known()) return std::nullopt;
  const auto& owners = scene.resource(on).owners;
  if (owners.empty()) return Confidence::likely;
  Confidence weakest = wait.confidence;
  for (const Owner& owner : owners) {
    const ThreadId holder = owner.by.as<RefKind::thread>();
    if (holder.known() && goes_on(scene.thread(holder))) return std::nullopt;
    weakest = std::min(weakest, owner.confidence);
  }
  return weakest;
}

// What the detector tells of one thread.
struct Case {
  ThreadId id;
  const ThreadFact& thread;
  const FinalizerFact& finalizer;
  const Wait& wait;
  ResourceId resource;  // unknown: a thread's end, or something outside
  std::string function;
};

std::string function_of(const Scene& scene, ThreadId id, const FinalizerFact& finalizer) {
  const Frame* frame = scene.frame_of(id, finalizer.frame);
  if (frame == nullptr || frame->function.empty()) return "a finalizer";
  // Up to 3.10 code objects have bare names.
  if (frame->function == "__del__" && !finalizer.type.empty()) return finalizer.type + ".__del__";
  return frame->function;
}

bool waits_for_sockets(const Case& of) {
  return of.wait.kind == WaitKind::zmq_context;
}

// "a ZeroMQ context with 3 open sockets", "threading.Lock registry_lock", "poll".
std::string target_of(const Scene& scene, const Case& of) {
  if (of.resource.known()) {
    const std::string label = scene.label_of(of.resource);
    return (waits_for_sockets(of) ? "the end of a " : "") + label;
  }
  if (waits_for_sockets(of)) return "the end of a ZeroMQ context";
  if (!of.wait.on.empty()) {
    if (const ThreadId other = of.wait.on.front().as<RefKind::thread>(); other.known())
      return "the end of " + scene.name_of(other);
  }
  if (of.wait.kind == WaitKind::process_exit) return "the end of another process";
  return of.wait.syscall_name.empty() ? "something outside" : "I/O, in " + of.wait.syscall_name;
}

// The same for a headline: no address, no number of a thread.
std::string plain_target(const Scene& scene, const Case& of) {
  if (!of.resource.known() || waits_for_sockets(of)) {
    const bool thread = !of.wait.on.empty() && of.wait.on.front().as<RefKind::thread>().known();
    return thread ? "the end of a thread" : target_of(scene, of);
  }
  const ResourceFact& resource = scene.resource(of.resource);
  const std::string type =
      resource.implementation.empty() ? std::string(word(resource.kind)) : resource.implementation;
  return "a " + type + (resource.owners.empty() ? "" : " that another thread holds");
}

bool ends_interpreter(const Scene& scene, const ThreadFact& thread) {
  if (!thread.process.known()) return false;
  for (const RuntimeFact& runtime : scene.facts.processes[thread.process.index].runtimes) {
    for (const InterpreterFact& interpreter : runtime.interpreters) {
      if (interpreter.finalizing == true) return true;
    }
  }
  return false;
}

// Other threads of the process that may run Python code.
bool has_others(const Scene& scene, ThreadId id) {
  for (std::uint32_t i = 0; i < scene.facts.threads.size(); ++i) {
    const ThreadFact& other = scene.facts.threads[i];
    if (ThreadId{i} != id && other.process == scene.thread(id).process && !other.python.empty())
      return true;
  }
  return false;
}

void tell_begin(const Scene& scene, const Case& of, Finding& finding) {
  const FinalizerFact& fact = of.finalizer;
  const Frame* line = scene.frame_of(of.id, fact.interrupted);
  const std::string name = scene.name_of(of.id);
  const std::string where = line != nullptr ? Scene::text_of(line) : "";
  std::string text = name;
  if (fact.collection != true) {
    text += where.empty() ? " dropped" : ", in " + where + ", dropped";
    text += " the last reference to an object";
    text += fact.type.empty() ? "" : " of type " + fact.type;
    text += ": its finalizer runs at once, on that thread.";
    if (!fact.collection) {
      text = name + (where.empty() ? " runs a finalizer" : " runs a finalizer on top of " + where) +
             "; whether the garbage collector or a last reference started it was not read.";
    }
  } else if (where.empty()) {
    text += ends_interpreter(scene, of.thread)
                ? " runs a garbage collection as the interpreter ends."
                : " runs a garbage collection, with no Python code outside it.";
  } else if (fact.asked == true) {
    text += " asked for a garbage collection in " + where + ".";
  } else {
    text += " was in " + where + " when a garbage collection began on it";
    text += fact.asked == false
                ? ", by itself: that can happen at any line, wherever enough objects were made."
                : ".";
  }
  finding.story.push_back({text, fact.evidence});
}

void tell_finalizer(const Scene& scene, const Case& of, Finding& finding) {
  const Frame* frame = scene.frame_of(of.id, of.finalizer.frame);
  std::string text = of.finalizer.collection == true ? "The collection runs " : "That runs ";
  text += of.function;
  if (frame != nullptr && frame->line)
    text += " at " + std::string(base_name(frame->file)) + ":" + std::to_string(*frame->line);
  if (!of.finalizer.type.empty() && !of.function.starts_with(of.finalizer.type + "."))
    text += ", the finalizer of an object of type " + of.finalizer.type;
  if (!of.finalizer.role.empty()) text += ", " + of.finalizer.role;
  text += ", which waits for " + target_of(scene, of);
  if (of.thread.api) text += ", in " + of.thread.api->name;
  finding.story.push_back({text + ".", of.wait.evidence});
}

std::uint64_t word_of(const ResourceFact& resource, std::string_view name) {
  const auto at = std::ranges::find(resource.words, name, &MemoryWord::name);
  return at == resource.words.end() ? 0 : at->value;
}

// How many sockets are in the way; each of them is evidence.
void tell_sockets(const Scene& scene, const Case& of, Finding& finding) {
  std::vector<EvidenceId> known;
  for (std::uint32_t i = 0; i < scene.facts.evidence.size() && known.size() < 8; ++i) {
    const Evidence& evidence = scene.facts.evidence[i];
    if (evidence.resource == of.resource && !evidence.thread.known()) known.push_back({i});
  }
  const std::uint64_t open = word_of(scene.resource(of.resource), "open");
  const std::uint64_t closed = word_of(scene.resource(of.resource), "closed");
  std::vector<std::string> parts;
  if (open > 0) parts.push_back(std::to_string(open) + (open == 1 ? " is" : " are") + " open");
  if (closed > 0)
    parts.push_back(std::to_string(closed) + (closed == 1 ? " is" : " are") +
                    " closed and not gone");
  if (parts.empty()) return;
  finding.story.push_back(
      {"zmq_ctx_term returns when every socket of its context is closed and has sent what it "
       "had: " +
           join(parts, ", ") + ".",
       known});
  if (of.finalizer.collection == true && open > 0) {
    finding.story.push_back(
        {"If an open socket is garbage as well, only this same collection would close it, and that "
         "does not go on before the finalizer returns.",
         {}});
  }
}

void tell_holders(const Scene& scene, const Case& of, Finding& finding) {
  if (!of.resource.known()) return;
  for (const Owner& owner : scene.resource(of.resource).owners) {
    const ThreadId holder = owner.by.as<RefKind::thread>();
    if (!holder.known()) continue;
    const Frame* site = scene.site_of(holder);
    std::string text = scene.name_of(holder) + " holds it";
    if (site != nullptr) text += ", in " + Scene::text_of(site);
    const auto& wait = scene.thread(holder).wait;
    if (wait && !wait->on.empty())
      text += ", and " + wait_phrase(scene, holder);
    else if (wait && !wait->syscall_name.empty())
      text += ", asleep in " + wait->syscall_name;
    finding.story.push_back({text + ".", owner.evidence});
    if (std::ranges::find(finding.threads, holder) == finding.threads.end())
      finding.threads.push_back(holder);
  }
}

// Who else is held up: only those who wait for what this thread has.
void tell_others(const Scene& scene, const Case& of, Finding& finding) {
  const std::size_t behind = find_behind(scene.facts, {of.id}).size();
  const bool has_gil = std::ranges::any_of(of.thread.python, [](const PythonThread& python) {
    return python.gil_state == GilState::holds;
  });
  std::string text = "No timeout ends this wait. ";
  if (of.wait.ends != Ends::never) text = "Nothing in the core says that this wait ends. ";
  const Frame* line = scene.frame_of(of.id, of.finalizer.interrupted);
  if (line != nullptr && !line->function.empty())
    text += line->function + " cannot go on";
  else
    text += "The thread cannot go on";
  if (behind > 0) {
    text += ", and " + counted(behind, "thread") + (behind == 1 ? " is" : " are") +
            " held up behind it";
    text += has_gil ? " (it still has the GIL)." : ".";
  } else if (has_gil) {
    text += "; it still has the GIL.";
  } else if (!of.thread.python.empty() && has_others(scene, of.id)) {
    text += "; it has let go of the GIL, so other Python threads go on.";
  } else {
    text += ".";
  }
  finding.story.push_back({text, {}});
}

void advise(const Scene& scene, const Case& of, Finding& finding) {
  // A library's line is not for its user to change.
  const Frame* frame = scene.frame_of(of.id, of.finalizer.frame);
  const bool own = frame != nullptr && frame->in_app.value_or(false);
  const auto location = own ? Scene::location_of(frame) : std::nullopt;
  if (waits_for_sockets(of)) {
    finding.advice.push_back(
        {"Close the sockets, and then the context, where their work ends, and not in a finalizer: "
         "with zmq.Context() as context, with context.socket(...) as socket, or "
         "context.destroy(linger=0).",
         std::nullopt, ""});
    finding.advice.push_back(
        {"Set a linger (context.linger = 0, or what a peer may need): a closed socket with linger "
         "-1 waits without end for somebody to take its messages.",
         std::nullopt, ""});
  } else {
    finding.advice.push_back(
        {"Do not wait in a finalizer: let it note what is to be done (queue.SimpleQueue.put is "
         "made "
         "for this) and do it elsewhere.",
         location, ""});
  }
  finding.advice.push_back(
      {"Do not rely on " +
           std::string(of.function.ends_with("__del__") ? "__del__" : "finalizers") +
           ": give the object a close() and a with block. The collector runs finalizers on any "
           "thread, at any line, in any order.",
       location, ""});
}

void add_path(const Scene& scene, const Case& of, Finding& finding) {
  for (const Ref on : of.wait.on)
    finding.path.push_back({of.id, Relation::waits_for, on, of.wait.confidence, of.wait.evidence});
  if (!of.resource.known()) return;
  finding.resources.push_back(of.resource);
  for (const Owner& owner : scene.resource(of.resource).owners)
    finding.path.push_back(
        {of.resource, Relation::held_by, owner.by, owner.confidence, owner.evidence});
}

Finding make_finding(const Scene& scene, const Case& of, Confidence confidence) {
  const bool collection = of.finalizer.collection == true;
  Finding finding;
  finding.pattern = "blocking-finalizer";
  finding.kind = FindingKind::hang;
  finding.confidence = std::min(confidence, of.finalizer.confidence);
  finding.threads = {of.id};
  finding.headline =
      as_headline((collection ? "A garbage collection runs " + of.function + ", which waits for "
                              : of.function + " runs as a finalizer and waits for ") +
                  plain_target(scene, of));
  const Frame* line = scene.frame_of(of.id, of.finalizer.interrupted);
  finding.summary = {
      scene.name_of(of.id) + (line != nullptr ? " was in " + Scene::text_of(line) : "") +
          (collection ? " when Python's garbage collector ran " : " when Python ran ") +
          of.function + " on it.",
      "That finalizer waits for " + target_of(scene, of) + "."};
  if (of.resource.known() && !scene.resource(of.resource).owner_unknown_text.empty() &&
      waits_for_sockets(of)) {
    std::string why = scene.resource(of.resource).owner_unknown_text;
    why.front() = static_cast<char>(std::toupper(static_cast<unsigned char>(why.front())));
    finding.summary.push_back(why + ".");
  }
  tell_begin(scene, of, finding);
  tell_finalizer(scene, of, finding);
  if (waits_for_sockets(of) && of.resource.known()) tell_sockets(scene, of, finding);
  tell_holders(scene, of, finding);
  tell_others(scene, of, finding);
  add_path(scene, of, finding);
  advise(scene, of, finding);
  finding.location = Scene::location_of(scene.frame_of(of.id, of.finalizer.frame));
  return finding;
}

}  // namespace

std::vector<Finding> detect_blocking_finalizer(const Scene& scene) {
  std::vector<Finding> findings;
  for (std::uint32_t i = 0; i < scene.facts.threads.size(); ++i) {
    const ThreadId id{i};
    const ThreadFact& thread = scene.thread(id);
    const bool asleep = thread.state == ThreadState::blocked || thread.state == ThreadState::idle;
    // A ring is told as what it is: the wait is for what the thread holds itself, or others of it.
    if (!thread.finalizer || !thread.wait || !asleep || in_ring(scene, id)) continue;
    const auto endless = endlessness(scene, id, *thread.wait);
    if (!endless) continue;
    const ResourceId resource = thread.wait->on.size() == 1
                                    ? thread.wait->on.front().as<RefKind::resource>()
                                    : ResourceId{};
    const Case of{id,           thread,   *thread.finalizer,
                  *thread.wait, resource, function_of(scene, id, *thread.finalizer)};
    findings.push_back(make_finding(scene, of, *endless));
  }
  return findings;
}

}  // namespace coldcase
