// size: table
#include "report/schema_text.hpp"

#include <coldcase/words.hpp>
#include <utility>

namespace coldcase::report {
namespace {

using Entry = std::pair<std::string_view, std::string_view>;
constexpr Entry entries[] = {
    {"schema", "Tells a report of coldcase from any other JSON."},
    {"schema_version", "1.x only adds keys, words and arrays."},
    {"generator", "The program that wrote the report, and the options that changed its content."},
    {"patterns", "Version of the table of patterns."},
    {"verdict", "The one answer; kind is what the exit code follows."},
    {"headline", "Prose, no address, pid or host. May change in any release: never match it."},
    {"confidence", "How sure, from hypothesis to proved; no more than the basis allows."},
    {"unrelated", "The inputs turned out to be separate incidents."},
    {"inputs", "The files the report was made from; unreadable ones are listed too."},
    {"identity", "sha256 over ELF header, program headers and notes of the plain core."},
    {"file_bytes", "Size of the file as given."},
    {"declared_bytes", "Bytes the core's headers promise."},
    {"present_bytes", "Bytes of those that are there."},
    {"at",
     "A time (RFC 3339, UTC), the places a resource lies at, or the resource a thread blocks "
     "in physically."},
    {"processes", "Captured processes, and those known only through others."},
    {"captured", "Has a core here; false: known through others."},
    {"fate", "What became of it, as far as known."},
    {"dump_reason", "A signal ended it, or it was copied while it lived."},
    {"from_outside", "The signal was sent by another process."},
    {"runtimes", "Language and driver runtimes found in the process."},
    {"free_threaded", "CPython built without a GIL."},
    {"gil", "The interpreter's lock."},
    {"findings", "Findings, the main one first."},
    {"pattern", "Stable slug: what machines match."},
    {"summary", "Up to five sentences to paste; of a resource's state: one word."},
    {"story", "What happened, in order, each sentence with the evidence it rests on."},
    {"path", "Of a finding: who waits for whom, edge by edge. Elsewhere a file, as recorded."},
    {"cyclic", "The path closes on itself."},
    {"rivals", "Findings that would explain the same facts."},
    {"loose", "Same for the same bug across builds: group by this one."},
    {"strict", "Same only for the same lines of code."},
    {"by_module", "Made of modules and offsets, for stripped programs."},
    {"threads", "Threads by process and tid."},
    {"tasks", "Tasks of event loops that have not ended; of a finding: those in it."},
    {"loop", "The event loop the task belongs to."},
    {"alike", "So many more, not listed, do the same in the same place."},
    {"task_count", "Also those that one listed task stands for."},
    {"tid", "The kernel's thread id (LWP)."},
    {"entry", "The function the thread was started with."},
    {"tag", "The worst role the thread plays over all findings."},
    {"on", "What it waits for: any one of these would end the wait, unless all says otherwise."},
    {"all", "The wait ends with the last of these."},
    {"ends", "Whether the wait ends by itself."},
    {"frame", "Index into the frames of the thread's or task's stack."},
    {"holds", "What the thread has; absent when nothing is known to be held."},
    {"site", "Index of the innermost frame of the user's own code."},
    {"api", "The runtime's function the thread is in."},
    {"cpu_ms",
     "Processor time since the thread began, user and system, by the kernel's ticks. That alone "
     "never makes a hang."},
    {"cpu_system_ms", "How much of cpu_ms the kernel ran."},
    {"cpu_from",
     "core: the core's note of the thread. core_remainder: the process's time without that of its "
     "other threads; the time of threads that have ended is in it. side_car: the file beside the "
     "core."},
    {"age_ms", "How long before the side-car was taken the thread began."},
    {"in_syscall", "Of a thread that is not asleep: false when its registers show no system call."},
    {"stopped", "A signal had stopped it (job control): it moves again with SIGCONT."},
    {"locals", "Arguments and variables of native frames: only when asked for (--locals)."},
    {"stacks", "Threads with the same pcs share one."},
    {"frames", "Innermost first; inlined functions before their real frame."},
    {"depth", "Frames in the process; at least as many as listed."},
    {"merge", "How sure the order of Python and native frames is."},
    {"stopped_because", "Why the stack ends where it does."},
    {"trust", "How the frame was found."},
    {"times", "A repeat: so many rounds of the frames above it."},
    {"of", "A repeat: how many frames one round has."},
    {"in_app", "The user's own code, not a library of the system or the runtime."},
    {"resources", "Locks, queues, pipes: what threads wait for and have."},
    {"part_of", "E.g. the condition of a queue."},
    {"owners", "Who has it, and how that is known."},
    {"owner_unknown", "Why nobody is named as owner."},
    {"waiters", "Who waits for it; in a state: the count it keeps itself."},
    {"connection", "What a socket is one end of, from the file beside the core."},
    {"protocol", "tcp, udp or unix."},
    {"scope", "The network that the other end's address is in."},
    {"port", "The other end's; its own of a socket that listens."},
    {"peer", "The other end's address or path: only when asked for (--endpoints)."},
    {"received_ms",
     "How long before the side-car was taken data last came in, or the connection was made where "
     "none ever did."},
    {"sent_ms", "The same for data that went out."},
    {"received_bytes", "What came in since the connection was made."},
    {"sent_bytes", "What went out since the connection was made."},
    {"unread_bytes", "Came in, and the process has not read it."},
    {"untaken_bytes", "The process wrote it, and the other end has not taken it."},
    {"evidence", "What claims rest on."},
    {"claim", "Prose: what was seen."},
    {"source", "Struct, field and version it was read by, or where a time comes from."},
    {"modules", "The program and the libraries it had loaded."},
    {"package", "The source package that the file was built from, as it says itself."},
    {"found", "Where the file's contents came from."},
    {"refused", "A file that was found in its place and is another build: not used."},
    {"identified_by",
     "Where no build-id tells that the file is the one that was mapped: same_layout."},
    {"debug_file", "The separate file that names and lines are from, where there is one."},
    {"supplement", "The file that dwz moved common parts of the debug file to."},
    {"symbols", "How many names the file has."},
    {"fetch", "A command that would supply what is missing."},
    {"notes", "What was missing, and which limit was hit."},
    {"totals", "Counts over the whole incident, also of what is not listed."},
    {"redaction", "What was left out as private, and what was asked for in spite of that."},
};

std::string basis_text() {
  std::string text = "How it is known, with the highest confidence a holder named on it may have:";
  const char* between = " ";
  for (std::size_t i = 0; i < std::size(basis_words); ++i) {
    text += between;
    text += basis_words[i];
    text += ' ';
    text += word(ceiling_of(static_cast<Basis>(i)));
    between = ", ";
  }
  return text + ".";
}

}  // namespace

std::string schema_rules(bool closed) {
  std::string rules =
      "An absent key is unknown or does not apply; null is never written; false, 0 and [] are "
      "facts. Addresses and 64-bit words are strings: 0x, lower-case hex, no padding. Ids are "
      "opaque. Prose may change in any release: match pattern, kind, basis, code, state and "
      "signatures.";
  rules += closed ? " This is the closed form, for the program's own tests: no other keys, no "
                    "other words."
                  : " Readers ignore keys they do not know and treat an unknown word as other.";
  return rules;
}

std::string schema_text(std::string_view key) {
  if (key == "basis") return basis_text();
  for (const Entry& entry : entries) {
    if (entry.first == key) return std::string(entry.second);
  }
  return {};
}

}  // namespace coldcase::report
