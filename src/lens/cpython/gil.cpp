#include "lens/cpython/gil.hpp"

#include <algorithm>
#include <set>

#include "modules/functions.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::uint64_t condition_size = 48;  // pthread_cond_t
constexpr std::size_t innermost = 10;         // frames in which the request for the GIL lies

std::optional<std::size_t> find_named(const View& view, std::size_t thread,
                                      std::initializer_list<std::string_view> names) {
  const Walk& walk = view.threads.walks[thread];
  for (std::size_t i = 0; i < std::min(walk.frames.size(), innermost); ++i) {
    const std::string& symbol = view.threads.name_of(walk.frames[i]).symbol;
    for (const std::string_view name : names) {
      if (symbol == name || (symbol.starts_with(name) && symbol[name.size()] == '.')) return i;
    }
  }
  return std::nullopt;
}

// Where the function begins that this frame is in, named or not.
std::uint64_t function_of(const View& view, const WalkFrame& frame) {
  const Row& row = view.threads.rules.row(frame.row);
  if (row.module == nullptr || !row.module->file) return 0;
  const auto range = find_function(*row.module->file, row.module->to_file(row.lookup));
  return range ? row.module->to_process(range->begin).value : 0;
}

// The innermost frame inside the interpreter's own module: the function that takes the GIL
// (take_gil, static and often inlined or without a name).
std::optional<std::size_t> taking_frame(const View& view, const Runtime& runtime,
                                        std::size_t thread) {
  const Walk& walk = view.threads.walks[thread];
  for (std::size_t i = 0; i < std::min(walk.frames.size(), innermost); ++i) {
    if (view.threads.rules.row(walk.frames[i].row).module == runtime.module) return i;
  }
  return std::nullopt;
}

void set_frames(const View& view, const Runtime& runtime, GilWait& wait) {
  wait.frame = taking_frame(view, runtime, wait.core_thread);
  wait.ensure = find_named(view, wait.core_thread, {"PyGILState_Ensure"});
}

}  // namespace

namespace {

bool has_gil(const Runtime& runtime, const Interpreter& of, std::size_t core_thread) {
  if (!of.gil_locked) return false;
  return std::ranges::any_of(runtime.interpreters, [&](const Interpreter& sharing) {
    return sharing.gil == of.gil && std::ranges::any_of(sharing.threads, [&](const PyThread& one) {
             return one.at == of.gil_holder && one.core_thread == core_thread;
           });
  });
}

// Who has the GIL and sleeps inside its structure wants its mutex, to give it up or to say that it
// has it now; unless it waits for the GIL itself, with another thread state than the one it has.
bool is_passing_on(const View& view, const Runtime& runtime, const Interpreter& of,
                   std::size_t core_thread, Addr word) {
  if (!has_gil(runtime, of, core_thread)) return false;
  const bool in_condition = word.value - of.gil_words.condition.value < condition_size;
  return !in_condition ||
         !find_frame(view, core_thread, innermost,
                     {"pthread_cond_wait", "pthread_cond_timedwait", "pthread_cond_clockwait"});
}

// Asleep on a word inside the structure.
void find_asleep(const View& view, const Runtime& runtime, const NativeWaits& native,
                 std::vector<GilWait>& waits) {
  for (std::size_t i = 0; i < native.futexes.size(); ++i) {
    if (!native.futexes[i]) continue;
    const std::uint64_t word = native.futexes[i]->address.value;
    for (std::size_t k = 0; k < runtime.interpreters.size(); ++k) {
      const auto& parts = runtime.interpreters[k].gil_words.parts;
      const bool inside =
          std::ranges::any_of(parts, [&](const Range& part) { return part.contains(Addr{word}); });
      if (!inside || is_passing_on(view, runtime, runtime.interpreters[k], i, Addr{word})) continue;
      GilWait wait{i, k, std::nullopt, std::nullopt, false};
      set_frames(view, runtime, wait);
      waits.push_back(wait);
      break;  // interpreters may share one GIL
    }
  }
}

// Awake for a moment in the function that takes the GIL: by its exported callers' names, or in the
// very function where proved waiters sit. PyEval_RestoreThread does nothing else.
bool is_taking(const View& view, const GilWait& wait, const std::set<std::uint64_t>& takers) {
  if (!wait.frame) return false;
  if (find_named(view, wait.core_thread,
                 {"take_gil", "PyEval_RestoreThread", "_PyThreadState_Attach"}))
    return true;
  return takers.contains(
      function_of(view, view.threads.walks[wait.core_thread].frames[*wait.frame]));
}

// Just back from such a sleep: the registers still have its word.
bool has_slept(const View& view, const NativeWaits& native, const Interpreter& of,
               std::size_t core_thread) {
  const SystemCall& call = native.calls[core_thread];
  const Registers& r = view.core.threads[core_thread].registers;
  const std::uint64_t word = r[Registers::rdi];
  constexpr std::uint64_t wait = 0, wait_bitset = 9, operation = 0x7f;  // linux/futex.h
  const std::uint64_t asked = r[Registers::rsi] & operation;
  return call.state == CallState::returning && call.number == call_futex &&
         (asked == wait || asked == wait_bitset) &&
         word - of.gil_words.condition.value < condition_size;
}

}  // namespace

std::vector<GilWait> find_gil_waits(const View& view, const Runtime& runtime,
                                    const NativeWaits& native) {
  std::vector<GilWait> waits;
  find_asleep(view, runtime, native, waits);
  std::set<std::uint64_t> takers;
  std::set<std::size_t> known;
  for (const GilWait& wait : waits) {
    known.insert(wait.core_thread);
    if (wait.frame)
      takers.insert(function_of(view, view.threads.walks[wait.core_thread].frames[*wait.frame]));
  }
  takers.erase(0);
  for (std::size_t k = 0; k < runtime.interpreters.size(); ++k) {
    const Interpreter& interpreter = runtime.interpreters[k];
    if (!interpreter.gil_locked) continue;
    for (const PyThread& state : interpreter.threads) {
      const bool candidate =
          state.core_thread && !known.contains(*state.core_thread) &&
          state.at != interpreter.gil_holder &&
          state.state.value_or(0) == 0;  // 3.13+: an attached thread waits for nothing
      if (!candidate) continue;
      GilWait wait{*state.core_thread, k, std::nullopt, std::nullopt, true};
      set_frames(view, runtime, wait);
      wait.slept = has_slept(view, native, interpreter, wait.core_thread);
      // A thread with several states that has just taken the GIL with one of them is in that
      // function still: only a sleep says that it waits with another.
      const bool takes =
          is_taking(view, wait, takers) && !has_gil(runtime, interpreter, wait.core_thread);
      if (!wait.slept && !takes) continue;
      known.insert(wait.core_thread);
      waits.push_back(wait);
    }
  }
  return waits;
}

std::optional<PendingCallback> find_callback(const View& view, Python& python,
                                             const GilWait& wait) {
  if (!wait.ensure || python.runtime.layout == nullptr) return std::nullopt;
  const Walk& walk = view.threads.walks[wait.core_thread];
  const Objects& objects = python.objects();
  const std::uint64_t begin = walk.frames[*wait.ensure].cfa;
  const std::size_t last = std::min(*wait.ensure + 6, walk.frames.size() - 1);
  const std::uint64_t end = std::min(walk.frames[last].cfa, begin + 16 * 1024);
  for (std::uint64_t at = begin; at + 8 <= end; at += 8) {
    const auto thunk = view.image.read_pointer(Addr{at});
    if (!thunk || thunk->value % 8 != 0 || !view.image.mapped(*thunk)) continue;
    if (objects.type_name(*thunk) != "_ctypes.CThunkObject") continue;
    auto callable = view.image.read_pointer(offset_by(*thunk, 88));
    if (!callable) continue;
    if (objects.type_name(*callable) == "method")
      callable = view.image.read_pointer(offset_by(*callable, 16));
    if (!callable || objects.type_name(*callable) != "function") continue;
    const auto code_at =
        view.image.read_pointer(offset_by(*callable, python.runtime.layout->function_code));
    const Code* code = code_at ? python.codes().find(*code_at) : nullptr;
    if (code == nullptr) continue;
    PendingCallback callback{code->name, code->file,
                             static_cast<std::uint32_t>(std::max(code->first_line, 0)), *thunk,
                             *callable};
    const auto name =
        view.image.read_pointer(offset_by(*callable, python.runtime.layout->function_qualname));
    if (name) callback.name = objects.read_str(*name).value_or(callback.name);
    return callback;
  }
  return std::nullopt;
}

}  // namespace coldcase::cpython
