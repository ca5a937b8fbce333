// The driver: from bytes to diagnose, one stage after the other.
#include <coldcase/analyze.hpp>

#include "diagnose/diagnose.hpp"
#include "lens/basics.hpp"
#include "lens/cpython/cpython.hpp"
#include "lens/crash.hpp"
#include "lens/cuda/cuda.hpp"
#include "lens/glibc/waits.hpp"
#include "session.hpp"
#include "waits/graph.hpp"

namespace coldcase {
namespace {

// One process: what the lenses see of it, into the ledger.
void look(const Session& session, const View& view, Ledger& ledger) {
  add_basics(view, session.input, session.signal_thread, ledger);
  const Pthreads pthreads(view);
  const NativeWaits native = parse_native_waits(view);
  const cpython::PythonFacts python = cpython::read_python(view, pthreads, native);

  StackBuilder builder(view, ledger);
  const auto interpreted = cpython::interpret(python, view.core.threads.size(), builder);
  std::vector<StackMap> stacks;
  for (std::size_t i = 0; i < view.core.threads.size(); ++i) {
    stacks.push_back(builder.build(i, view.thread_id(i), interpreted[i]));
  }
  look_at_glibc(view, pthreads, native, stacks, ledger);
  cpython::look_at_cpython(view, python, pthreads, native, stacks, ledger);
  cuda::look_at_cuda(view, stacks, ledger);
  look_at_crash(view, session.signal_thread, ledger);
  add_sites(view, ledger);
  add_gaps(view, session.input, ledger);
}

}  // namespace

Analysis analyze(const AnalyzeOptions& options) {
  std::vector<std::unique_ptr<Session>> sessions;
  for (const std::string& path : options.cores) sessions.push_back(open_session(path, options));

  Analysis analysis;
  analysis.generator.version = std::string(library_version());
  analysis.generator.commit = std::string(library_commit());
  Ledger ledger(analysis.facts);
  for (const auto& session : sessions) {
    const Facts& so_far = analysis.facts;
    const View view{session->core,
                    session->image,
                    session->modules,
                    *session->threads,
                    ProcessId{static_cast<std::uint32_t>(so_far.processes.size())},
                    static_cast<std::uint32_t>(so_far.threads.size()),
                    static_cast<std::uint32_t>(so_far.modules.size())};
    look(*session, view, ledger);
  }
  settle_waits(analysis.facts);
  diagnose(analysis);
  return analysis;
}

}  // namespace coldcase
