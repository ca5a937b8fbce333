// One core opened up to its unwound threads: what both drivers, analyze and inspect, start from.
// The parts point into each other; a Session is made once and not moved.
#pragma once

#include <coldcase/analyze.hpp>
#include <memory>

#include "bytes/input.hpp"
#include "core/core.hpp"
#include "image/image.hpp"
#include "modules/fetch.hpp"
#include "sidecar/side_car.hpp"
#include "threads/threads.hpp"

namespace coldcase {

struct Session {
  Input input;
  Core core;
  std::int32_t signal_thread =
      0;              // the first thread of the core: in a kernel core it took the signal
  MemoryImage saved;  // the core alone
  Modules modules;
  MemoryImage image;  // with the files' bytes where the core left them out
  std::unique_ptr<Threads> threads;
  std::optional<SideCar> side_car;  // when one lies beside the core
  std::string side_car_problem;     // why the one that lies there is not used
  std::vector<FetchNote> fetch_notes;
};

// Its core and the files it mapped; `image` and `threads` are not there yet. Throws as
// open_session.
std::unique_ptr<Session> open_files(Input input, const AnalyzeOptions& options,
                                    Debuginfod* servers);

// Throws Error when the input is no core we can read; BadFrame as open_inputs says.
// `servers` are those of the whole run: their time is one; null: none are asked.
std::unique_ptr<Session> open_session(Input input, const AnalyzeOptions& options,
                                      Debuginfod* servers = nullptr);

}  // namespace coldcase
