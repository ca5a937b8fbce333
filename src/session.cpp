#include "session.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "modules/symbols.hpp"
#include "sidecar/side_car_json.hpp"

namespace coldcase {
namespace {

tl::expected<SideCar, std::string> load(const Companions& companions, const std::string& path) {
  if (!companions.folder.empty()) return load_side_car(path);
  const Companion* companion = companions.find(path);
  if (companion == nullptr) return tl::unexpected<std::string>("");
  const Bytes text = companion->content.bytes;
  auto side_car = parse_side_car({reinterpret_cast<const char*>(text.data()), text.size()});
  if (side_car) side_car->path = path;
  return side_car;
}

// What lies beside the core and is of the same process. Whatever is wrong with it is a note: the
// core is analyzed without it.
void open_side_car(Session& session) {
  const Input& input = session.input;
  const std::string beside = side_car_path(input.path);
  if (beside.empty() || !input.beside) return;
  const auto refuse = [&](const std::string& why) {
    session.side_car_problem = clean_text(shorten_home(beside)) + ": " + why;
  };
  auto found = load(*input.beside, beside);
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

std::unique_ptr<Session> open_files(Input input, const AnalyzeOptions& options,
                                    Debuginfod* servers) {
  auto session = std::make_unique<Session>();
  session->input = std::move(input);
  session->core = parse_core(session->input.content(), session->input.path);
  Core& core = session->core;
  if (!core.threads.empty()) session->signal_thread = core.threads.front().tid;
  std::ranges::stable_sort(core.threads, {}, &CoreThread::tid);
  open_side_car(*session);
  session->saved = core_image(core);
  FileSearch search{options.executables, options.sysroots, options.debug_dirs,
                    session->input.beside.get()};
  // What the collector recorded comes after what the user says.
  if (const std::string& recorded = session->input.executable; !recorded.empty())
    search.executables.push_back(std::string(base_name(recorded)) + "=" + recorded);
  session->modules = find_modules(core, session->saved, search);
  if (servers != nullptr && servers->on())
    session->fetch_notes = fetch_files(core, session->saved, search, session->modules, *servers);
  return session;
}

std::unique_ptr<Session> open_session(Input input, const AnalyzeOptions& options,
                                      Debuginfod* servers) {
  auto session = open_files(std::move(input), options, servers);
  const Core& core = session->core;
  session->image = session->saved.with_files(file_extents(core, session->modules));
  session->threads =
      std::make_unique<Threads>(unwind_threads(core, session->image, session->modules));
  return session;
}

}  // namespace coldcase
