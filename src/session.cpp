#include "session.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "modules/symbols.hpp"
#include "sidecar/side_car_json.hpp"

namespace coldcase {
namespace {

// What lies beside the core and is of the same process. Whatever is wrong with it is a note: the
// core is analyzed without it.
void open_side_car(Session& session, const std::string& path) {
  const std::string beside = side_car_path(path);
  if (beside.empty()) return;
  const auto refuse = [&](const std::string& why) {
    session.side_car_problem = clean_text(shorten_home(beside)) + ": " + why;
  };
  auto found = load_side_car(beside);
  if (!found) {
    if (!found.error().empty()) refuse(clean_text(found.error()));
    return;
  }
  const auto& process = session.core.process;
  if (!process)
    return refuse("the core's own process id is lost, so nothing tells they are of one");
  // gcore run outside a container writes the outer id, the kernel the inner one.
  if (process->pid != found->pid && process->pid != found->inner_pid) {
    return refuse("it is of process " + std::to_string(found->pid) + ", the core of process " +
                  std::to_string(process->pid));
  }
  session.side_car = std::move(*found);
}

}  // namespace

std::unique_ptr<Session> open_session(const std::string& path, const AnalyzeOptions& options,
                                      Unpack unpack) {
  auto session = std::make_unique<Session>();
  session->input = open_input(path, unpack);
  session->core = parse_core(session->input.content(), session->input.path);
  Core& core = session->core;
  if (!core.threads.empty()) session->signal_thread = core.threads.front().tid;
  std::ranges::stable_sort(core.threads, {}, &CoreThread::tid);
  open_side_car(*session, path);
  session->saved = core_image(core);
  const FileSearch search{options.executables, options.sysroots, options.debug_dirs};
  session->modules = find_modules(core, session->saved, search);
  session->image = session->saved.with_files(file_extents(core, session->modules));
  session->threads =
      std::make_unique<Threads>(unwind_threads(core, session->image, session->modules));
  return session;
}

}  // namespace coldcase
