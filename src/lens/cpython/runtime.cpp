#include "lens/cpython/runtime.hpp"

#include "base/text.hpp"
#include "image/walk.hpp"
#include "lens/cpython/type_names.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_interpreters = 1'000, most_threads = 100'000;

std::string file_of(const Module& module) {
  return clean_text(std::string(module.name())) +
         (module.build_id.empty() ? "" : " (build-id " + module.build_id + ")");
}

// A name or a path without a file is no use to a program: the copy is named by the file it is of.
std::string supply(const Module& module) {
  return "copy it from the machine the process ran on, or install the same build there, and "
         "supply it: --sysroot DIR, or --executable " +
         clean_text(std::string(module.name())) + "=FILE";
}

Unread missing_file(const Located& located) {
  return {file_of(*located.module) + ", CPython itself, is not here: " +
              (located.by_shape ? "its state was found by its shape, and " : "") +
              "its types are called as its dictionaries call them. Native frames inside it have no "
              "names, and types that no dictionary names have none",
          supply(*located.module)};
}

Unread unread(const Located& located) {
  const std::string version = located.version.empty() ? "" : " " + located.version;
  const std::string what = "CPython" + version + (located.free_threaded ? " (free-threaded)" : "") +
                           " is in this process, and its state could not be read: ";
  const std::string end = ". Python frames and locks are not told";
  if (located.free_threaded || (!located.known_version && !located.version.empty()))
    return {what + "this version's layout is not known here" + end,
            "a newer coldcase may read it; while the process still runs, py-spy dump --pid PID and "
            "faulthandler tell its Python stacks"};
  if (located.by_shape)
    return {what + file_of(*located.module) +
                " is not here, and without it the state was not found" + end,
            supply(*located.module)};
  return {what + "the memory it lies in is not in the core, or is not as this version has it" + end,
          "take the core whole: with gcore, or with bits 0 and 1 of /proc/PID/coredump_filter set"};
}

}  // namespace

std::unique_ptr<Python> Python::open(const View& view, const Pthreads& pthreads,
                                     std::vector<Unread>& problems) {
  auto located = locate(view);
  if (!located) return nullptr;
  auto python = std::make_unique<Python>();
  python->located_ = std::move(*located);
  Runtime& runtime = python->runtime;
  runtime.at = python->located_.at;
  runtime.module = python->located_.module;
  runtime.version = python->located_.version;
  runtime.free_threaded = python->located_.free_threaded;
  runtime.layout = python->located_.layout();
  if (runtime.layout == nullptr) {
    problems.push_back(unread(python->located_));
    return python;
  }
  python->objects_ = std::make_unique<Objects>(view.image, *runtime.layout);
  if (python->learn_names()) runtime.missing = missing_file(python->located_);
  python->codes_ = std::make_unique<Codes>(*python->objects_);
  python->read_interpreters(view, pthreads);
  python->assign_threads(view);
  python->order_states();
  return python;
}

// True when the types' own names are not there to be read.
bool Python::learn_names() {
  const Layout& layout = *runtime.layout;
  const auto main =
      objects_->image().read_pointer(offset_by(runtime.at, layout.runtime_interpreters_head));
  const auto dict = [&](std::int32_t offset) {
    return main ? objects_->image().read_pointer(offset_by(*main, offset)).value_or(Addr{})
                : Addr{};
  };
  const Addr builtins = dict(layout.interp_builtins), modules = dict(layout.interp_modules);
  if (builtins.value == 0 || !objects_->type_name(builtins).empty()) return false;
  objects_->name_types(learn_type_names(*objects_, builtins, modules));
  return true;
}

void Python::read_interpreters(const View& view, const Pthreads& pthreads) {
  const Layout& layout = *runtime.layout;
  const MemoryImage& image = view.image;
  const Addr finalizing = layout.runtime_finalizing >= 0
                              ? offset_by(runtime.at, layout.runtime_finalizing)
                              : located_.variables.finalizing;
  runtime.finalizing = image.read<std::uint64_t>(finalizing).value_or(0) != 0;
  const auto head = image.read_pointer(offset_by(runtime.at, layout.runtime_interpreters_head));
  const auto next = [&](Addr at) { return image.read_pointer(offset_by(at, layout.interp_next)); };
  walk_list(head.value_or(Addr{}), most_interpreters, next, [&](Addr at) {
    runtime.interpreters.push_back(read_interpreter(view, pthreads, at));
    return true;
  });
}

Interpreter Python::read_interpreter(const View& view, const Pthreads& pthreads, Addr at) {
  const Layout& layout = *runtime.layout;
  const MemoryImage& image = view.image;
  Interpreter interpreter;
  interpreter.at = at;
  if (layout.interp_ceval_gil >= 0) {
    interpreter.gil = image.read_pointer(offset_by(at, layout.interp_ceval_gil)).value_or(Addr{});
    interpreter.gil_words = words_of_gil(interpreter.gil);
  } else if (layout.runtime_gil >= 0) {
    interpreter.gil = offset_by(runtime.at, layout.runtime_gil);
    interpreter.gil_words = words_of_gil(interpreter.gil);
  } else {
    interpreter.gil_words = words_of_gil(located_.variables);
    interpreter.gil = interpreter.gil_words.holder;
  }
  const GilReading gil = read_gil(image, interpreter.gil_words);
  interpreter.gil_locked = gil.locked;
  interpreter.gil_holder = gil.holder;
  interpreter.gc_word =
      layout.interp_gc_collecting >= 0    ? offset_by(at, layout.interp_gc_collecting)
      : layout.runtime_gc_collecting >= 0 ? offset_by(runtime.at, layout.runtime_gc_collecting)
                                          : located_.variables.collecting;
  const auto collecting = image.read<std::int32_t>(interpreter.gc_word);
  if (interpreter.gc_word.value != 0 && collecting && (*collecting == 0 || *collecting == 1))
    interpreter.gc_running = *collecting != 0;
  const auto first = image.read_pointer(offset_by(at, layout.interp_threads_head));
  const auto next = [&](Addr thread) { return image.read_pointer(offset_by(thread, 8)); };
  walk_list(first.value_or(Addr{}), most_threads, next, [&](Addr thread) {
    interpreter.threads.push_back(read_thread(view, pthreads, thread));
    return true;
  });
  read_thread_names(interpreter);
  return interpreter;
}

PyThread Python::read_thread(const View& view, const Pthreads& pthreads, Addr at) {
  PyThread thread;
  thread.at = at;
  thread.ident =
      view.image.read<std::uint64_t>(offset_by(at, runtime.layout->ts_thread_id)).value_or(0);
  thread.core_thread = pthreads.find_block(Addr{thread.ident});
  if (!thread.core_thread) {
    // No readable thread block: fs_base in the registers is the same number.
    for (std::size_t i = 0; i < view.core.threads.size() && !thread.core_thread; ++i) {
      if (view.core.threads[i].registers[Registers::fs_base] == thread.ident && thread.ident != 0)
        thread.core_thread = i;
    }
  }
  if (runtime.layout->ts_state >= 0) {
    const auto state = view.image.read<std::int32_t>(offset_by(at, runtime.layout->ts_state));
    if (state) thread.state = *state;
  }
  read_frames(thread);
  if (runtime.layout->code_qualname < 0) qualify_names(thread);
  return thread;
}

void Python::read_thread_names(Interpreter& interpreter) {
  const auto modules =
      objects_->image().read_pointer(offset_by(interpreter.at, runtime.layout->interp_modules));
  if (!modules) return;
  const auto threading = objects_->find_item(*modules, "threading");
  if (!threading) return;
  const auto globals = objects_->image().read_pointer(offset_by(*threading, 16));  // md_dict
  const auto active = globals ? objects_->find_item(*globals, "_active") : std::nullopt;
  if (!active) return;
  std::map<std::uint64_t, PyThread*> by_ident;
  for (PyThread& state : interpreter.threads) by_ident[state.ident] = &state;
  objects_->each_item(*active, [&](Addr key, Addr thread) {
    const auto ident = objects_->read_int(key);
    const auto at = ident ? by_ident.find(static_cast<std::uint64_t>(*ident)) : by_ident.end();
    if (at == by_ident.end()) return true;
    if (const auto name = objects_->find_attribute(thread, "_name")) {
      at->second->name = clean_text(objects_->read_str(*name).value_or(""));
    }
    if (const auto daemon = objects_->find_attribute(thread, "_daemonic")) {
      const auto value = objects_->read_int(*daemon);
      if (value) at->second->daemon = *value != 0;
    }
    return true;
  });
}

}  // namespace coldcase::cpython
