#include "lens/cuda/cuda.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "lens/cuda/api.hpp"

namespace coldcase::cuda {
namespace {

// A maximal run of the driver's frames in a walk: [first, last], indices of the walk, innermost
// first.
struct DriverRun {
  std::size_t first, last;
};

class CudaLens {
 public:
  CudaLens(const View& view, const Module& module, const std::vector<StackMap>& stacks,
           Ledger& ledger)
      : view_(view), driver_(view, module), stacks_(stacks), ledger_(ledger) {}

  void look() {
    add_runtime();
    for (std::size_t i = 0; i < view_.core.threads.size(); ++i) look_at_thread(i);
    for (std::uint32_t r = 0; r < ledger_.facts.resources.size(); ++r) set_hold_frames({r});
  }

 private:
  void add_runtime();
  void look_at_thread(std::size_t i);
  void name_api(std::size_t i, const DriverRun& run);
  void classify_lock(std::size_t i, const DriverRun& run);
  void set_hold_frames(ResourceId id);
  std::vector<DriverRun> runs_of(std::size_t i) const;
  bool in_driver(std::size_t i, std::size_t f) const {
    return view_.threads.rules.row(view_.threads.walks[i].frames[f].row).module ==
           &driver_.module();
  }
  bool is_worker(std::size_t i, const DriverRun& run) const;

  const View& view_;
  const Driver driver_;
  const std::vector<StackMap>& stacks_;
  Ledger& ledger_;
  RuntimeId runtime_;
};

void CudaLens::add_runtime() {
  std::uint32_t count = 0;
  for (const ProcessFact& process : ledger_.facts.processes)
    count += static_cast<std::uint32_t>(process.runtimes.size());
  runtime_ = {count};
  RuntimeFact fact;
  fact.kind = "cuda";
  fact.version = driver_.version();
  fact.module = view_.module_id(&driver_.module());
  ledger_.facts.processes[view_.process.index].runtimes.push_back(std::move(fact));
  if (driver_.module().level() == SymbolLevel::dynamic) {
    ledger_.add_note("stripped-driver", Severity::info,
                     "names inside " + clean_text(driver_.module().name()) +
                         " are not known: NVIDIA ships it stripped",
                     {view_.module_id(&driver_.module())});
  }
}

std::vector<DriverRun> CudaLens::runs_of(std::size_t i) const {
  std::vector<DriverRun> runs;
  for (std::size_t f = 0; f < view_.threads.walks[i].frames.size(); ++f) {
    if (!in_driver(i, f)) continue;
    if (!runs.empty() && runs.back().last + 1 == f)
      runs.back().last = f;
    else
      runs.push_back({f, f});
  }
  return runs;
}

// A thread the driver started: its outermost frames are start_thread's and, right inside, the
// driver's.
bool CudaLens::is_worker(std::size_t i, const DriverRun& run) const {
  const auto& frames = view_.threads.walks[i].frames;
  return run.last + 1 < frames.size() &&
         view_.threads.name_of(frames[run.last + 1]).symbol == "start_thread";
}

void CudaLens::name_api(std::size_t i, const DriverRun& run) {
  const WalkFrame& outermost = view_.threads.walks[i].frames[run.last];
  const ApiName found = driver_.name_at(view_.threads.rules.row(outermost.row).lookup);
  if (found.name.empty()) return;
  ThreadFact& thread = ledger_.thread(view_.thread_id(i));
  Api api;
  api.name = found.name;
  api.runtime = runtime_;
  api.how = found.by_table ? "memory" : "name_string";
  // Two independent ways agree, and the module is surely the one that ran: certain; one alone: not
  // quite.
  const bool sure =
      found.by_table && found.by_string && driver_.module().identity == Identity::build_id;
  api.confidence = sure ? Confidence::proved : Confidence::very_likely;
  thread.api = api;
  Evidence evidence;
  evidence.claim =
      found.by_table && found.by_string
          ? "the driver's dispatch table leads from " + found.name +
                " to the function on the stack, which also names itself so"
      : found.by_table
          ? "the driver's dispatch table leads from " + found.name + " to the function on the stack"
          : "the driver's function on the stack refers to one name, " + found.name;
  evidence.basis = found.by_table ? Basis::memory : Basis::name_string;
  evidence.thread = view_.thread_id(i);
  evidence.frame = stacks_[i].native_at[run.last];
  evidence.address = view_.threads.pc_of(outermost);
  evidence.source = found.by_table ? "libcuda's dispatch table" : "libcuda's name strings";
  ledger_.add_evidence(std::move(evidence));
}

// The C library's frames inside the run were called by the driver: the lock is the driver's.
void CudaLens::classify_lock(std::size_t i, const DriverRun& run) {
  ThreadFact& thread = ledger_.thread(view_.thread_id(i));
  if (!thread.wait || thread.wait->on.size() != 1) return;
  const auto& frames = view_.threads.walks[i].frames;
  for (std::size_t f = 0; f < run.first; ++f) {
    const Module* module = view_.threads.rules.row(frames[f].row).module;
    if (module == nullptr || !starts_with_any(module->name(), {"libc.so", "libc-2", "libpthread"}))
      return;
  }
  const ResourceId id = thread.wait->on.front().as<RefKind::resource>();
  if (!id.known()) return;
  ResourceFact& lock = ledger_.resource(id);
  if (lock.kind == WaitKind::driver_lock) thread.wait->kind = WaitKind::driver_lock;
  if (lock.kind != WaitKind::mutex && lock.kind != WaitKind::rwlock) return;
  const std::string noun(word(lock.kind));
  const Module* place = view_.modules.find(lock.at.front().address);
  lock.kind = WaitKind::driver_lock;
  lock.label = "the CUDA driver's internal " + noun + " at " + hex(lock.at.front().address.value) +
               (place == &driver_.module() ? " (in its data)" : "");
  thread.wait->kind = WaitKind::driver_lock;
}

void CudaLens::look_at_thread(std::size_t i) {
  const std::vector<DriverRun> runs = runs_of(i);
  if (runs.empty()) return;
  ThreadFact& thread = ledger_.thread(view_.thread_id(i));
  if (is_worker(i, runs.back())) {
    if (thread.name.empty()) {
      thread.name = "CUDA driver thread";
      thread.name_from = NameFrom::runtime;
    }
    if (runs.size() == 1) return;
  }
  name_api(i, runs.front());
  classify_lock(i, runs.front());
}

// Where a holder of a driver lock took it: the outermost frame of its innermost run in the driver.
void CudaLens::set_hold_frames(ResourceId id) {
  if (ledger_.resource(id).kind != WaitKind::driver_lock) return;
  for (std::size_t i = 0; i < view_.core.threads.size(); ++i) {
    for (Hold& hold : ledger_.thread(view_.thread_id(i)).holds) {
      const std::vector<DriverRun> runs =
          hold.resource == id && !hold.frame ? runs_of(i) : std::vector<DriverRun>{};
      if (!runs.empty()) hold.frame = stacks_[i].native_at[runs.front().last];
    }
  }
}

}  // namespace

void look_at_cuda(const View& view, const std::vector<StackMap>& stacks, Ledger& ledger) {
  if (const Module* module = Driver::find(view.modules))
    CudaLens(view, *module, stacks, ledger).look();
}

}  // namespace coldcase::cuda
