#include "session.hpp"

#include <algorithm>

namespace coldcase {

std::unique_ptr<Session> open_session(const std::string& path, const AnalyzeOptions& options) {
  auto session = std::make_unique<Session>();
  session->input = open_input(path);
  session->core = parse_core(session->input.bytes(), session->input.path);
  Core& core = session->core;
  if (!core.threads.empty()) session->signal_thread = core.threads.front().tid;
  std::ranges::stable_sort(core.threads, {}, &CoreThread::tid);
  session->saved = core_image(core);
  const FileSearch search{options.executables, options.sysroots, options.debug_dirs};
  session->modules = find_modules(core, session->saved, search);
  session->image = session->saved.with_files(file_extents(core, session->modules));
  session->threads =
      std::make_unique<Threads>(unwind_threads(core, session->image, session->modules));
  return session;
}

}  // namespace coldcase
