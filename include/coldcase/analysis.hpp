// Analysis: the one value the library returns. Facts, the findings made from them, and the verdict.
// Whatever a report says is in here, so every format is made from it without the core.
//
//   coldcase::Analysis a = coldcase::analyze({.cores = {"core.885"}});
//   coldcase::render_text(a, {}, std::cout);
#pragma once

#include <coldcase/facts.hpp>
#include <map>
#include <string>
#include <vector>

namespace coldcase {

inline constexpr std::string_view report_schema_version = "1.0-draft";

struct StoryLine {
  std::string text;
  std::vector<EvidenceId> evidence;
};

struct Edge {
  Ref from;
  Relation relation = Relation::waits_for;
  Ref to;
  Confidence confidence = Confidence::hypothesis;
  std::vector<EvidenceId> evidence;
};

struct Location {
  std::string file;
  std::optional<std::uint32_t> line;
  std::optional<std::uint32_t> column;
  std::string function;
  ModuleId module;
  std::optional<Addr> module_offset;
  std::string url;
};

struct Advice {
  std::string text;
  std::optional<Location> location;
  std::string url;
};

struct Signature {
  std::string version;  // "cc1"
  std::string text;
  std::string loose;
  std::string strict;
  std::string by_module;
};

struct Finding {
  std::string pattern;
  FindingKind kind = FindingKind::info;
  Confidence confidence = Confidence::hypothesis;
  std::string headline;
  std::vector<std::string> summary;
  std::vector<StoryLine> story;
  std::vector<ThreadId> threads;
  std::vector<TaskId> tasks;
  std::vector<ResourceId> resources;
  std::vector<ProcessId> processes;
  std::vector<Edge> path;
  bool cyclic = false;
  std::optional<Location> location;
  std::optional<CrashFact> crash;
  std::vector<FindingId> rivals;
  std::vector<Advice> advice;
  std::optional<Signature> signature;
};

struct Generator {
  std::string name = "coldcase";
  std::string version;
  std::string commit;
  std::map<std::string, std::string> options;
  std::string patterns = "1";
};

struct Verdict {
  VerdictKind kind = VerdictKind::inconclusive;
  std::string headline;
  std::optional<Confidence> confidence;
  std::vector<FindingId> findings;
  std::optional<bool> unrelated;
};

struct Totals {
  std::uint64_t thread_count = 0;
  std::uint64_t process_count = 0;
  std::uint64_t frame_count = 0;
  std::uint64_t listed_thread_count = 0;
  std::optional<std::uint64_t> task_count;  // also those that others stand for
};

struct Redaction {
  std::vector<std::string> left_out;
  std::vector<std::string> opted_in;
};

struct Analysis {
  Generator generator;
  Verdict verdict;
  Facts facts;
  std::vector<Finding> findings;
  Totals totals;
  Redaction redaction;
};

}  // namespace coldcase
