// What every lens reads: one process's core, memory, modules and unwound threads.
#pragma once

#include <coldcase/id.hpp>

#include "core/core.hpp"
#include "image/image.hpp"
#include "modules/modules.hpp"
#include "sidecar/side_car.hpp"
#include "threads/threads.hpp"

namespace coldcase {

struct View {
  const Core& core;
  const MemoryImage& image;
  const Modules& modules;
  const Threads& threads;
  ProcessId process;
  std::uint32_t first_thread = 0;  // the incident's earlier processes have those before
  std::uint32_t first_module = 0;
  const SideCar* side_car = nullptr;  // none lay beside the core
  bool endpoints = false;             // addresses of sockets may be told

  // The thread of the incident that is the core's i-th, and the other way round.
  ThreadId thread_id(std::size_t i) const { return {first_thread + static_cast<std::uint32_t>(i)}; }
  ModuleId module_id(const Module* module) const {
    if (module == nullptr) return {};
    return {first_module + static_cast<std::uint32_t>(modules.index_of(module))};
  }
};

}  // namespace coldcase
