#include "lens/cpython/ended_threads.hpp"

#include <algorithm>

#include "base/text.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_dangling = 1024, most_told = 4;

bool refers_to(const Objects& objects, Addr object, Addr wanted) {
  bool found = false;
  objects.each_attribute(object, [&](Addr, Addr value) {
    found = value == wanted;
    return !found;
  });
  return found;
}

}  // namespace

std::vector<EndedThread> find_ended_threads(const Objects& objects,
                                            const Interpreter& interpreter) {
  std::vector<EndedThread> ended;
  const auto dangling = find_global(objects, interpreter.at, "threading", "_dangling");
  const auto active = find_global(objects, interpreter.at, "threading", "_active");
  const auto data = dangling ? objects.find_attribute(*dangling, "data") : std::nullopt;
  if (!data || !active) return ended;
  std::vector<Addr> living;
  objects.each_item(*active, [&](Addr, Addr thread) {
    living.push_back(thread);
    return living.size() < most_values;
  });
  if (living.size() >= most_values) return ended;
  for (const Addr reference : read_items(objects, *data, most_dangling)) {
    const Addr thread = weak_target(objects, reference);
    const bool lives = std::ranges::find(living, thread) != living.end();
    // _ident is None until it starts.
    if (thread.value == 0 || lives || !find_number(objects, thread, "_ident")) continue;
    ended.push_back({thread, clean_text(find_text(objects, thread, "_name"), 64)});
  }
  std::ranges::sort(ended, {}, [](const EndedThread& one) {
    return std::pair{one.name, one.object};
  });
  return ended;
}

std::string ended_text(const Objects& objects, const std::vector<EndedThread>& ended,
                       Addr awaited) {
  std::vector<std::string> referring, others;
  for (const EndedThread& thread : ended)
    (refers_to(objects, thread.object, awaited) ? referring : others).push_back(thread.name);
  const bool refers = !referring.empty();
  std::vector<std::string>& names = refers ? referring : others;
  if (names.empty()) return {};
  const std::size_t all = names.size();
  if (all > most_told) {
    names.resize(most_told);
    names.push_back("and " + std::to_string(all - most_told) + " more");
  }
  return std::string(all == 1 ? "the thread " : "the threads ") + join(names, ", ") +
         (refers ? all == 1 ? ", which refers to it," : ", which refer to it," : "") +
         (all == 1 ? " has ended" : " have ended");
}

}  // namespace coldcase::cpython
