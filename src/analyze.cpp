// The driver: from bytes to diagnose, one stage after the other.
#include <algorithm>
#include <coldcase/analyze.hpp>

#include "base/text.hpp"
#include "diagnose/diagnose.hpp"
#include "holders/holders.hpp"
#include "holders/native_locals.hpp"
#include "holders/polling.hpp"
#include "lens/basics.hpp"
#include "lens/cpython/cpython.hpp"
#include "lens/crash.hpp"
#include "lens/cuda/cuda.hpp"
#include "lens/family.hpp"
#include "lens/lost_helpers.hpp"
#include "lens/mpi/job.hpp"
#include "lens/mpi/mpi.hpp"
#include "lens/openblas/openblas.hpp"
#include "lens/seen.hpp"
#include "lens/side_car_facts.hpp"
#include "lens/zmq/zmq.hpp"
#include "modules/symbols.hpp"
#include "session.hpp"
#include "waits/graph.hpp"

namespace coldcase {
namespace {

// One process: what the lenses see of it, into the ledger.
void look(const Session& session, Seen& seen, Ledger& ledger) {
  const View& view = seen.view;
  add_basics(view, session.input, session.signal_thread, ledger);
  add_side_car_tasks(view, ledger);
  add_side_car_notes(view, ledger);
  seen.python = cpython::read_python(view, seen.pthreads, seen.native);
  const cpython::PythonFacts& python = seen.python;

  StackBuilder builder(view, ledger);
  const auto interpreted = cpython::interpret(python, view.core.threads.size(), builder);
  for (std::size_t i = 0; i < view.core.threads.size(); ++i) {
    seen.stacks.push_back(builder.build(i, view.thread_id(i), interpreted[i]));
  }
  look_at_glibc(view, seen.pthreads, seen.native, seen.stacks, ledger);
  cpython::look_at_cpython(view, python, seen.pthreads, seen.native, seen.stacks, ledger);
  cuda::look_at_cuda(view, seen.stacks, ledger);
  openblas::look_at_openblas(view, seen.pthreads, seen.stacks, ledger);
  look_at_lost_helpers(view, seen.pthreads, seen.stacks, ledger);
  zmq::look_at_zmq(view, seen.native, seen.stacks, ledger);
  mpi::add_place(view, ledger);
  look_at_crash(view, session.signal_thread, ledger);
  add_side_car_names(view, ledger);
  add_sites(view, ledger);
  add_gaps(view, session.input, ledger);
}

InputFact refused(const std::string& path, const Error& error) {
  InputFact fact;
  fact.path = clean_text(shorten_home(path));
  fact.problem_code = error.trouble() == Trouble::no_such_file    ? "no-such-file"
                      : error.trouble() == Trouble::no_permission ? "no-permission"
                                                                  : "not-a-core";
  fact.problem_text = error.what();
  return fact;
}

// One bad input among good ones is a row of the report, not its end. Throws when none is usable.
std::vector<std::unique_ptr<Session>> open_all(const AnalyzeOptions& options, Unpack unpack,
                                               Debuginfod& servers,
                                               std::vector<InputFact>& unreadable) {
  std::vector<std::unique_ptr<Session>> sessions;
  std::optional<Error> first;
  const auto refuse = [&](const std::string& path, const Error& error) {
    if (!first) first = error;
    unreadable.push_back(refused(path, error));
  };
  for (const std::string& path : options.cores) {
    std::vector<Input> inputs;
    try {
      inputs = open_inputs(path, unpack);
    } catch (const Error& error) {
      refuse(path, error);
    }
    for (Input& input : inputs) {
      const std::string name = input.path;
      try {
        sessions.push_back(open_session(std::move(input), options, &servers));
      } catch (const Error& error) {
        refuse(name, error);
      }
    }
  }
  if (sessions.empty() && first) throw Error(*first);
  return sessions;
}

// A kernel core's ppid is the thread that forked (lens/family.cpp).
bool is_parent(const Core& parent, const Core& child) {
  if (child.process->ppid <= 0) return false;
  return parent.process->pid == child.process->ppid ||
         std::ranges::find(parent.threads, child.process->ppid, &CoreThread::tid) !=
             parent.threads.end();
}

// Parent and child, ranks of one MPI job, or one core given twice: what makes several cores one
// incident.
bool related(const Core& a, const std::string& job_of_a, const Core& b,
             const std::string& job_of_b) {
  if (!job_of_a.empty() && job_of_a == job_of_b) return true;
  if (!a.process || !b.process) return false;
  return is_parent(a, b) || is_parent(b, a) ||
         (a.process->ppid == b.process->ppid && a.process->ppid > 1);
}

void note_unrelated(const std::vector<std::unique_ptr<Session>>& sessions, Analysis& analysis) {
  if (sessions.size() < 2) return;
  std::vector<std::string> jobs;
  jobs.reserve(sessions.size());
  for (const auto& session : sessions) jobs.push_back(mpi::find_job(session->core, session->image));
  for (std::size_t i = 1; i < sessions.size(); ++i) {
    bool joined = false;
    for (std::size_t k = 0; k < sessions.size(); ++k)
      joined =
          joined || (k != i && related(sessions[i]->core, jobs[i], sessions[k]->core, jobs[k]));
    if (!joined) analysis.verdict.unrelated = true;
  }
  if (analysis.verdict.unrelated) {
    Ledger(analysis.facts)
        .add_note("unrelated-inputs", Severity::warning,
                  "these cores are not of related processes: what is told of each stands alone", {},
                  "analyze them one by one, or many at once with  coldcase triage");
  }
}

void add_fetch_notes(const std::vector<std::unique_ptr<Session>>& sessions,
                     const Debuginfod& servers, Ledger& ledger) {
  const auto add = [&](const FetchNote& note) {
    ledger.add_note(note.code, note.warning ? Severity::warning : Severity::info, note.text, {},
                    note.advice, note.command);
  };
  for (const auto& session : sessions) std::ranges::for_each(session->fetch_notes, add);
  std::ranges::for_each(servers.troubles(), add);
}

Analysis analyze_once(const AnalyzeOptions& options, Unpack unpack) {
  std::vector<InputFact> unreadable;
  Debuginfod servers(options.fetch);
  const auto sessions = open_all(options, unpack, servers, unreadable);

  Analysis analysis;
  analysis.generator.version = std::string(library_version());
  analysis.generator.commit = std::string(library_commit());
  Ledger ledger(analysis.facts);
  std::vector<std::unique_ptr<Seen>> processes;
  for (const auto& session : sessions) {
    const Facts& so_far = analysis.facts;
    const View view{session->core,
                    session->image,
                    session->modules,
                    *session->threads,
                    ProcessId{static_cast<std::uint32_t>(so_far.processes.size())},
                    static_cast<std::uint32_t>(so_far.threads.size()),
                    static_cast<std::uint32_t>(so_far.modules.size()),
                    session->side_car ? &*session->side_car : nullptr,
                    options.endpoints};
    processes.push_back(std::make_unique<Seen>(view));
    look(*session, *processes.back(), ledger);
  }
  join_processes(processes, ledger);
  for (std::size_t i = 0; i < sessions.size(); ++i)
    add_side_car_input(processes[i]->view, sessions[i]->side_car_problem, ledger);
  for (InputFact& fact : unreadable) analysis.facts.inputs.push_back(std::move(fact));
  add_fetch_notes(sessions, servers, ledger);
  mpi::look_at_mpi(processes, ledger);
  note_unrelated(sessions, analysis);
  find_polling(processes, ledger);
  find_holders(processes, ledger);
  if (options.locals) add_locals(processes, ledger);
  settle_waits(analysis.facts);
  diagnose(analysis);
  if (options.locals) {
    analysis.redaction.opted_in.emplace_back("locals");
    std::erase(analysis.redaction.left_out, "memory");
    std::ranges::replace(analysis.redaction.left_out, "arguments", "the command's arguments");
    analysis.generator.options["locals"] = "true";
  }
  if (options.endpoints) {
    analysis.redaction.opted_in.emplace_back("endpoints");
    std::erase(analysis.redaction.left_out, "host names");
    analysis.generator.options["endpoints"] = "true";
  }
  return analysis;
}

}  // namespace

Analysis analyze(const AnalyzeOptions& options) {
  return reading_frames([&](Unpack unpack) { return analyze_once(options, unpack); });
}

}  // namespace coldcase
