// The steps of the CPython lens. Internal to it.
#pragma once

#include "lens/cpython/cpython.hpp"
#include "lens/cpython/labels.hpp"

namespace coldcase::cpython {

struct LensContext {
  const View& view;
  const PythonFacts& facts;
  const Pthreads& pthreads;
  const NativeWaits& native;
  const std::vector<StackMap>& stacks;
  Ledger& ledger;
  std::vector<ResourceId> gils;  // one for each interpreter

  const Runtime& runtime() const { return facts.python->runtime; }
  const Objects& objects() const { return facts.python->objects(); }

  // The index in the merged stack of a thread's k-th Python frame.
  std::optional<std::uint32_t> python_frame(std::size_t core_thread, std::size_t k) const {
    const auto& map = stacks[core_thread].python_at;
    return k < map.size() ? std::optional(map[k]) : std::nullopt;
  }
  std::string lwp(std::size_t core_thread) const {
    return "LWP " + std::to_string(view.core.threads[core_thread].tid);
  }
};

void add_runtime(LensContext& context);
void name_threads(LensContext& context);
void add_gil(LensContext& context);
void add_lock_waits(LensContext& context);
void add_lock_holders(LensContext& context);
void add_futures(LensContext& context);
void add_busy_databases(LensContext& context);
void add_multiprocessing_waits(LensContext& context);
void add_finalizers(LensContext& context);
void add_tasks(LensContext& context);
void add_finalization(LensContext& context);
void add_signal_handlers(LensContext& context);
void add_labels(LensContext& context);

// A Python function's frame as a report shows it.
Frame label_of(const std::string& function, const std::string& file, std::uint32_t line);
// "Account.pay (bank.py:12)".
std::string describe(const PythonFrame& frame);

// Whether the thread waits for what this is about; told if it does. `word` is its futex's.
bool wait_for_module_lock(LensContext& context, std::size_t thread, const PyThread& state,
                          Addr word);
bool wait_for_import_lock(LensContext& context, std::size_t thread, Addr word);
bool wait_for_buffered(LensContext& context, std::size_t thread, Addr word);

// The resource for a threading.Lock or RLock, with its state and, for an RLock, its owner.
ResourceId lock_resource(LensContext& context, const LockObject& lock);

}  // namespace coldcase::cpython
