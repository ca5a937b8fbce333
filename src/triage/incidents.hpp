// From candidates to incidents: what each file is, which are copies of one another, and which
// belong together.
#pragma once

#include <coldcase/inspect.hpp>
#include <coldcase/triage.hpp>

#include "triage/find_inputs.hpp"
#include "triage/workers.hpp"

namespace coldcase::triage {

// What `identify` printed of one file; hostile until parsed.
struct Identified {
  Candidate file;
  std::string member;  // of an archive with several cores: this one's name
  bool is_core = false;
  std::string identity;  // of the content
  std::int64_t pid = 0, ppid = 0;
  std::string job;                    // what the ranks of one MPI job share; empty: none
  std::vector<std::int64_t> threads;  // beside the one with its pid: a child's ppid may be one
  Outcome outcome;                    // of the worker, when it is none
};

// A line of `coldcase worker identify`: identity, pid, ppid, job, thread numbers with commas, the
// member's name in hex, with tabs between; what is empty at the end is left out.
std::string identity_line(const CoreIdentity& identity);

// Parses one. False when it makes no sense.
bool parse_identity(std::string_view line, Identified& into);

// What a worker printed of `file`, the cores of an archive each as ARCHIVE:MEMBER; empty when any
// line makes no sense.
std::vector<Identified> parse_identities(std::string_view text, const Candidate& file);

// Files of one incident: copies count once; of one folder, parent and child and the ranks of a job
// belong together.
struct Incident {
  std::vector<Candidate> files;
  std::vector<std::string> duplicates;
  std::vector<std::string> identities;  // sorted
  // What neither this machine nor debuginfod's cache has of its files, where that was looked for.
  std::vector<FetchRequest> missing{};
  bool missing_unknown = false;  // its worker did not tell
};
std::vector<std::string> paths_of(const Incident& incident);
std::vector<Incident> group_incidents(const std::vector<Identified>& identified);

// The name of a result: the same inputs, tool and options have the same key on every machine. Where
// files are looked for in debuginfod's cache, those that lack are part of it: what came later makes
// another result, whichever server it came from.
std::string key_of(const Incident& incident, const std::vector<std::string>& reading);

}  // namespace coldcase::triage
