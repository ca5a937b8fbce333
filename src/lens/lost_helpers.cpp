#include "lens/lost_helpers.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"

namespace coldcase {
namespace {

constexpr std::size_t innermost = 24;
constexpr std::uint64_t short_poll_ms = 1000;

struct Library {
  std::string_view module;  // how its file's name begins
  std::string_view name;
  WaitKind kind;
  std::string_view implementation, label;
};

// gRPC: the thread that calls polls its completion queue, 200 ms at a time; connections, timers and
// the call's completion are the event engine's threads' (grpcio 1.85, GRPC_ENABLE_FORK_SUPPORT=0).
constexpr std::array libraries{
    Library{"cygrpc", "gRPC", WaitKind::queue, "grpc_completion_queue", "gRPC's completion queue"},
    Library{"libgrpc", "gRPC", WaitKind::queue, "grpc_completion_queue", "gRPC's completion queue"},
};

bool is_in(const Module* module, const Library& library) {
  return module != nullptr && module->name().starts_with(library.module);
}

bool is_libc(const Module* module) {
  return module != nullptr && starts_with_any(module->name(), {"libc.so", "libc-2", "libpthread"});
}

// The library's own call, with nothing but the C library inside it.
std::optional<std::size_t> find_call(const View& view, std::size_t i, const Library& library) {
  const auto& frames = view.threads.walks[i].frames;
  for (std::size_t f = 0; f < std::min(frames.size(), innermost); ++f) {
    const Module* module = view.threads.rules.row(frames[f].row).module;
    if (is_in(module, library)) return f;
    if (!is_libc(module)) return std::nullopt;
  }
  return std::nullopt;
}

std::size_t count_lost(const View& view, const Pthreads& pthreads, const Library& library) {
  return static_cast<std::size_t>(
      std::ranges::count_if(pthreads.lost_threads(), [&](const LostThread& thread) {
        return is_in(view.modules.find(thread.start_routine), library);
      }));
}

bool has_own(const View& view, const Pthreads& pthreads, const Library& library) {
  for (std::size_t i = 0; i < view.core.threads.size(); ++i) {
    const auto& block = pthreads.block(i);
    if (block && is_in(view.modules.find(block->start_routine), library)) return true;
  }
  return false;
}

// It asks again and again, and nobody is there who could answer: not more than a guess, because a
// thread that polls may do the work itself, and because the answer may only be slow.
void wait_for_helpers(const View& view, std::size_t i, std::size_t frame, const Library& library,
                      std::size_t lost, const std::vector<StackMap>& stacks, Ledger& ledger) {
  const ThreadId id = view.thread_id(i);
  Wait wait = *ledger.thread(id).wait;
  const ResourceId resource = ledger.named_resource(
      "helpers:" + std::string(library.name) + ":" + std::to_string(view.process.index),
      library.kind, library.implementation);
  ResourceFact& fact = ledger.resource(resource);
  fact.label = std::string(library.label);
  fact.state = LockState::waiting;
  fact.owner_unknown_code = "helpers_not_copied";
  fact.owner_unknown_text = std::string(library.name) + " serves it by threads of its own; " +
                            counted(lost, "thread") + " of those never ended and " +
                            (lost == 1 ? "is" : "are") +
                            " not in this process: fork copied their memory, and not the threads";
  const ResourceId physical =
      wait.on.empty() ? ResourceId{} : wait.on.front().as<RefKind::resource>();
  if (physical.known()) wait.at = physical;
  wait.kind = library.kind;
  wait.on = {resource};
  if (wait.ends == Ends::timeout) wait.ends = Ends::poll_retry;
  wait.confidence = Confidence::hypothesis;
  const auto& map = stacks[i].native_at;
  if (frame < map.size()) wait.frame = map[frame];
  Evidence evidence;
  evidence.claim =
      "it sleeps inside " + std::string(library.name) + ", none of whose threads this process has";
  evidence.basis = Basis::inference;
  evidence.thread = id;
  evidence.frame = wait.frame;
  evidence.resource = resource;
  evidence.source = "struct pthread of the threads that fork did not copy";
  wait.evidence.push_back(ledger.add_evidence(std::move(evidence)));
  ledger.thread(id).state = ThreadState::blocked;
  ledger.set_wait(id, std::move(wait));
}

}  // namespace

void look_at_lost_helpers(const View& view, const Pthreads& pthreads,
                          const std::vector<StackMap>& stacks, Ledger& ledger) {
  if (pthreads.lost_threads().empty()) return;
  for (const Library& library : libraries) {
    const std::size_t lost = count_lost(view, pthreads, library);
    if (lost == 0 || has_own(view, pthreads, library)) continue;
    for (std::size_t i = 0; i < view.core.threads.size(); ++i) {
      const auto& wait = ledger.thread(view.thread_id(i)).wait;
      if (!wait) continue;
      const bool asks_again =
          wait->ends != Ends::timeout || (wait->timeout_ms && *wait->timeout_ms <= short_poll_ms);
      const auto frame = find_call(view, i, library);
      if (frame && asks_again) wait_for_helpers(view, i, *frame, library, lost, stacks, ledger);
    }
  }
}

}  // namespace coldcase
