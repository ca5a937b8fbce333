// What people call the things of an analysis: threads, resources, waits, how something is known.
// All take an analysis that cleaned() made, so every id in it points somewhere.
#pragma once

#include <coldcase/analysis.hpp>
#include <string>

namespace coldcase::report {

const ThreadFact& at(const Analysis& analysis, ThreadId id);
const ResourceFact& at(const Analysis& analysis, ResourceId id);
const TaskFact& at(const Analysis& analysis, TaskId id);

// "MainThread (LWP 885)"; short: "MainThread (885)".
std::string thread_name(const Analysis& analysis, ThreadId id);
std::string short_name(const Analysis& analysis, ThreadId id);
// "task fetch"; "Task-3", which says itself that it is one.
std::string task_name(const Analysis& analysis, TaskId id);
std::string process_name(const Analysis& analysis, ProcessId id);

// Any party or resource: "MainThread (885)", "driver rwlock 0x5623984aa750", "process 4101".
std::string ref_name(const Analysis& analysis, Ref ref);
std::string resource_name(const Analysis& analysis, ResourceId id);

// ", for writing"; empty when there is no mode or it says nothing.
std::string mode_text(const std::optional<Mode>& mode);

// "rwlock", "import lock": a wait's kind in words.
std::string kind_text(WaitKind kind);
std::string confidence_text(Confidence confidence);
std::string basis_text(Basis basis);
std::string verdict_text(VerdictKind kind);
std::string finding_text(FindingKind kind);

// "src/index.cc:88"; empty when no file is known.
std::string place_text(const std::string& file, const std::optional<std::uint32_t>& line);

// "the GIL", "a mutex 0x7f..", "the end of thread X": what a thread waits for, in words.
std::string wait_target(const Analysis& analysis, const Wait& wait);

// "2019-10-22 14:03 UTC" of an RFC 3339 time; anything else as it is.
std::string time_text(const std::string& time);

}  // namespace coldcase::report
