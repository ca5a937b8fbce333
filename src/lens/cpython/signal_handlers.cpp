// For which signals the program has handlers in Python. They run in the first thread, also while
// that waits in join() or acquire(), and may wake others.
#include <array>

#include "lens/basics.hpp"
#include "lens/cpython/lens_parts.hpp"
#include "lens/cpython/scan.hpp"

namespace coldcase::cpython {
namespace {

// Handlers (Modules/signalmodule.c, static), from 3.12 on _PyRuntime.signals.handlers: 65 entries
// of an int that says that the signal came, and the function. It is the int 0 for SIG_DFL, the int
// 1 for SIG_IGN and None for what Python did not set. The last 30 or more signals are the real-time
// ones, which few programs handle: that run of one function tells where the table ends.
constexpr std::int64_t entry_size = 16, function_at = 8;
constexpr int last_signal = 64;
constexpr std::size_t least_run = 24, most_run = 40;

class TableFinder {
 public:
  // Words one after the other. True when the table ended just before this one.
  bool take(std::uint64_t word) {
    Lane& lane = lanes_[odd_ ? 1 : 0];
    odd_ = !odd_;
    const bool follows = before_ <= 1;  // the flag of the same entry
    before_ = word;
    if (word != 0 && follows && word == lane.function) {
      ++lane.count;
      return false;
    }
    const bool ended = lane.count >= least_run && lane.count <= most_run;
    lane = {follows ? word : 0, 1};
    return ended;
  }
  void restart() { *this = {}; }

 private:
  struct Lane {
    std::uint64_t function = 0;
    std::size_t count = 0;
  };
  std::array<Lane, 2> lanes_;
  std::uint64_t before_ = ~std::uint64_t{0};
  bool odd_ = false;
};

bool is_int(const Objects& objects, Addr object, std::int64_t value) {
  const auto read = objects.read_int(object);
  return read && *read == value;
}

// The functions of signals 1 to 64, when they can be those.
std::vector<Addr> read_table(const Objects& objects, Addr last) {
  std::vector<Addr> functions;
  const Addr first = offset_by(last, -(last_signal - 1) * entry_size);
  for (int i = 0; i < last_signal; ++i) {
    const Addr at = offset_by(first, i * entry_size);
    const auto flag = objects.image().read<std::uint64_t>(offset_by(at, -function_at));
    const auto function = objects.image().read_pointer(at);
    if (!flag || *flag > 1 || !function || objects.type_name(*function).empty()) return {};
    functions.push_back(*function);
  }
  return is_int(objects, functions.back(), 0) ? functions : std::vector<Addr>{};
}

// Set by the program: the interpreter's own, for SIGINT, is a function in C.
bool is_set(const Objects& objects, Addr function) {
  return !is_none(objects, function) && objects.type_name(function) != "int" &&
         objects.type_name(function) != "builtin_function_or_method";
}

std::vector<Addr> find_table(const LensContext& context) {
  std::vector<Addr> functions;
  TableFinder finder;
  Addr expected;
  each_word(context.view, *context.runtime().module, [&](Addr at, std::uint64_t word) {
    if (at != expected) finder.restart();
    expected = offset_by(at, 8);
    if (finder.take(word)) functions = read_table(context.objects(), offset_by(at, -entry_size));
    return !functions.empty();
  });
  return functions;
}

// Only then a handler could be what they all wait for: the table's place is searched for.
bool is_asked_for(const LensContext& context) {
  for (std::size_t i = 0; i < context.view.core.threads.size(); ++i) {
    const auto& wait = context.ledger.thread(context.view.thread_id(i)).wait;
    if (!wait || wait->ends == Ends::timeout || wait->on.empty()) return false;
  }
  return true;
}

}  // namespace

void add_signal_handlers(LensContext& context) {
  if (context.runtime().module == nullptr || !is_asked_for(context)) return;
  const std::vector<Addr> functions = find_table(context);
  if (functions.empty()) return;
  std::vector<std::string> names;
  for (int signal = 1; signal <= last_signal; ++signal) {
    if (is_set(context.objects(), functions[static_cast<std::size_t>(signal - 1)]))
      names.push_back(signal_name(signal));
  }
  context.ledger.facts.processes[context.view.process.index].python_handlers = std::move(names);
}

}  // namespace coldcase::cpython
