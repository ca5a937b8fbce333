#include "lens/cpython/runtime.hpp"

#include <algorithm>
#include <utility>

#include "base/text.hpp"
#include "image/walk.hpp"
#include "lens/cpython/locks.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_interpreters = 1'000, most_threads = 100'000,
                      most_python_frames = 100'000;

// "3.11.2" at this place of the text: digits, then within a few characters " (".
std::string version_at(std::string_view text, std::size_t at, std::string_view start) {
  const auto end = text.find_first_not_of("0123456789", at + start.size());
  if (end == std::string_view::npos || end == at + start.size()) return {};
  // "3.11.2 (main, ...", "3.14.0rc1 (...", "3.9.18+ (..."
  const auto bracket = text.substr(end, 64).find(" (");
  return bracket != std::string_view::npos && bracket < 48 ? clean_text(text.substr(at, end - at))
                                                           : std::string{};
}

// Py_GetVersion's buffer in the module's writable data; .data and .bss are different mappings.
std::string find_version_text(const View& view, const Module& module, int minor) {
  const std::string start = "3." + std::to_string(minor) + ".";
  for (const auto& load : module.headers) {
    if (load.type != elf::pt_load || (load.flags & elf::flag_w) == 0 || load.memsz > (1u << 26))
      continue;
    for (std::uint64_t done = 0; done < load.memsz;) {
      const Bytes bytes = view.image.view(module.to_process(load.vaddr + done), load.memsz - done);
      const std::string_view text{reinterpret_cast<const char*>(bytes.data()), bytes.size()};
      for (auto at = text.find(start); at != std::string_view::npos;
           at = text.find(start, at + 1)) {
        std::string version = version_at(text, at, start);
        if (!version.empty()) return version;
      }
      done += std::max<std::uint64_t>(bytes.size(), 4096);
    }
  }
  return {};
}

// The minor version a file name tells: libpython3.11.so.1.0, python3.11.
std::optional<int> minor_from_name(std::string_view name) {
  const auto at = name.find("python3.");
  if (at == std::string_view::npos) return std::nullopt;
  int minor = 0;
  std::size_t digits = 0;
  for (std::size_t i = at + 8; i < name.size() && name[i] >= '0' && name[i] <= '9' && digits < 3;
       ++i, ++digits) {
    minor = minor * 10 + (name[i] - '0');
  }
  return digits > 0 ? std::optional(minor) : std::nullopt;
}

struct Found {
  const Module* module;
  Addr at;
};

// dynsym or symtab of every module, then the section .PyRuntime (3.10+), which strip leaves.
std::optional<Found> find_runtime(const View& view) {
  for (const Module& module : view.modules.list) {
    const bool likely =
        module.name().find("python") != std::string_view::npos ||
        &module ==
            &view.modules.list[std::min(view.modules.executable, view.modules.list.size() - 1)];
    if (!likely) continue;
    if (const auto at = module.find_symbol("_PyRuntime")) return Found{&module, *at};
  }
  for (const Module& module : view.modules.list) {
    if (!module.file) continue;
    if (const ElfSection* section = module.file->find_section(".PyRuntime")) {
      return Found{&module, module.to_process(section->header.addr)};
    }
  }
  for (const Module& module : view.modules.list) {
    if (const auto at = module.find_symbol("_PyRuntime")) return Found{&module, *at};
  }
  return std::nullopt;
}

const Layout* choose_layout(const View& view, const Found& found) {
  const auto hinted = minor_from_name(found.module->name());
  if (const Layout* layout = hinted ? find_layout(*hinted) : nullptr) {
    return fits(view.image, found.at, *layout) ? layout : nullptr;
  }
  if (hinted) return nullptr;  // a version no table here has
  // An embedding program's name tells nothing: the one layout that fits and whose version text is
  // there.
  for (const Layout& layout : layouts()) {
    if (fits(view.image, found.at, layout) &&
        !find_version_text(view, *found.module, layout.minor).empty()) {
      return &layout;
    }
  }
  return nullptr;
}

}  // namespace

std::unique_ptr<Python> Python::open(const View& view, const Pthreads& pthreads,
                                     std::vector<std::string>& problems) {
  if (view.modules.list.empty()) return nullptr;
  const auto found = find_runtime(view);
  if (!found) return nullptr;
  auto python = std::make_unique<Python>();
  Runtime& runtime = python->runtime;
  runtime.at = found->at;
  runtime.module = found->module;
  const auto self = read_self_description(view.image, found->at);
  if (self) {
    runtime.free_threaded = self->free_threaded;
    runtime.version = "3." + std::to_string(self->version >> 16 & 0xff) + "." +
                      std::to_string(self->version >> 8 & 0xff);
    if (!self->free_threaded && self->layout.minor != 0) python->own_layout_ = self->layout;
    if (python->own_layout_ && fits(view.image, found->at, *python->own_layout_))
      runtime.layout = &*python->own_layout_;
  } else {
    runtime.layout = choose_layout(view, *found);
    if (runtime.layout != nullptr) {
      runtime.version = find_version_text(view, *found->module, runtime.layout->minor);
      if (runtime.version.empty()) runtime.version = "3." + std::to_string(runtime.layout->minor);
    } else if (const auto minor = minor_from_name(found->module->name())) {
      runtime.version = "3." + std::to_string(*minor);
    }
  }
  if (runtime.layout == nullptr) {
    problems.push_back(
        "CPython " + runtime.version + (runtime.free_threaded ? " (free-threaded)" : "") +
        " is in this process, and its state could not be read: this version's layout is not known "
        "here, or the memory it lies in is not in the core. Python frames and locks are not told");
    return python;
  }
  python->objects_ = std::make_unique<Objects>(view.image, *runtime.layout);
  python->codes_ = std::make_unique<Codes>(*python->objects_);
  python->read_interpreters(view, pthreads);
  return python;
}

void Python::read_interpreters(const View& view, const Pthreads& pthreads) {
  const Layout& layout = *runtime.layout;
  const MemoryImage& image = view.image;
  runtime.finalizing =
      image.read<std::uint64_t>(offset_by(runtime.at, layout.runtime_finalizing)).value_or(0) != 0;
  const auto head = image.read_pointer(offset_by(runtime.at, layout.runtime_interpreters_head));
  const auto next_of = [&](std::int32_t offset) {
    return [&image, offset](Addr at) { return image.read_pointer(offset_by(at, offset)); };
  };
  walk_list(head.value_or(Addr{}), most_interpreters, next_of(layout.interp_next), [&](Addr at) {
    Interpreter interpreter;
    interpreter.at = at;
    interpreter.gil = offset_by(runtime.at, layout.runtime_gil);
    if (layout.interp_ceval_gil >= 0) {
      interpreter.gil = image.read_pointer(offset_by(at, layout.interp_ceval_gil)).value_or(Addr{});
    }
    interpreter.gil_locked =
        image.read<std::int32_t>(offset_by(interpreter.gil, gil_locked_word)).value_or(0) == 1;
    interpreter.gil_holder =
        image.read_pointer(offset_by(interpreter.gil, gil_last_holder)).value_or(Addr{});
    interpreter.gc_word = layout.interp_gc_collecting >= 0
                              ? offset_by(at, layout.interp_gc_collecting)
                              : offset_by(runtime.at, layout.runtime_gc_collecting);
    const auto collecting = image.read<std::int32_t>(interpreter.gc_word);
    const bool known = layout.interp_gc_collecting >= 0 || layout.runtime_gc_collecting >= 0;
    if (known && collecting && (*collecting == 0 || *collecting == 1))
      interpreter.gc_running = *collecting != 0;
    const auto first = image.read_pointer(offset_by(at, layout.interp_threads_head));
    walk_list(first.value_or(Addr{}), most_threads, next_of(8), [&](Addr thread) {
      interpreter.threads.push_back(read_thread(view, pthreads, thread));
      return true;
    });
    read_thread_names(interpreter);
    runtime.interpreters.push_back(std::move(interpreter));
    return true;
  });
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

std::optional<PythonFrame> Python::read_frame(Addr at) {
  const Layout& layout = *runtime.layout;
  const MemoryImage& image = objects_->image();
  const auto code = image.read_pointer(offset_by(at, layout.frame_code));
  PythonFrame frame;
  frame.at = at;
  frame.code = code ? codes_->find(*code) : nullptr;
  if (frame.code == nullptr) return std::nullopt;
  if (layout.code_adaptive >= 0) {
    const auto instruction = image.read_pointer(offset_by(at, layout.frame_lasti));
    if (!instruction) return std::nullopt;
    frame.lasti = static_cast<std::int64_t>(instruction->value - frame.code->instructions.value);
    if (frame.lasti < -2 || frame.lasti > (1 << 24)) return std::nullopt;
  } else {
    const auto lasti = image.read<std::int32_t>(offset_by(at, layout.frame_lasti));
    if (!lasti) return std::nullopt;
    frame.lasti = layout.lasti_is_index() ? std::int64_t{*lasti} * 2 : *lasti;
  }
  frame.line = line_at(layout, *frame.code, frame.lasti);
  return frame;
}

void Python::read_frames(PyThread& thread) {
  const Layout& layout = *runtime.layout;
  const MemoryImage& image = objects_->image();
  constexpr std::uint8_t owned_by_c_stack = 3;
  Addr head;
  if (layout.ts_frame >= 0) {
    head = image.read_pointer(offset_by(thread.at, layout.ts_frame)).value_or(Addr{});
  } else if (layout.ts_current_frame >= 0) {
    head = image.read_pointer(offset_by(thread.at, layout.ts_current_frame)).value_or(Addr{});
  } else if (const auto cframe = image.read_pointer(offset_by(thread.at, layout.ts_cframe))) {
    head = image.read_pointer(offset_by(*cframe, layout.cframe_current_frame)).value_or(Addr{});
  }
  std::vector<PythonFrame> run;
  const auto end_run = [&] {
    thread.runs.push_back(std::move(run));
    run.clear();
  };
  const auto next = [&](Addr at) { return image.read_pointer(offset_by(at, layout.frame_back)); };
  walk_list(head, most_python_frames, next, [&](Addr at) {
    if (layout.minor >= 12 &&
        image.read<std::uint8_t>(offset_by(at, layout.frame_owner)).value_or(0) ==
            owned_by_c_stack) {
      end_run();  // the marker of a native boundary; its own fields mean nothing
      return true;
    }
    const auto frame = read_frame(at);
    if (frame) run.push_back(*frame);
    const bool entry =
        layout.frame_is_entry >= 0 &&
        image.read<std::uint8_t>(offset_by(at, layout.frame_is_entry)).value_or(0) != 0;
    if (layout.minor <= 10 || entry) end_run();
    return true;
  });
  if (!run.empty()) end_run();
}

// The qualified name of the function with this code among what the frame references; empty when
// none is there.
std::string Python::find_qualified_name(const PythonFrame& frame, Addr code) const {
  const MemoryImage& image = objects_->image();
  for (const Addr slot : read_slots(*objects_, frame)) {
    Addr function = slot;
    if (objects_->type_name(slot) == "method") {
      function = image.read_pointer(offset_by(slot, 16)).value_or(Addr{});  // im_func
    }
    if (objects_->type_name(function) != "function") continue;
    const auto its_code = image.read_pointer(offset_by(function, runtime.layout->function_code));
    if (!its_code || *its_code != code) continue;
    const auto name = image.read_pointer(offset_by(function, runtime.layout->function_qualname));
    return name ? objects_->read_str(*name).value_or("") : std::string{};
  }
  return {};
}

// To 3.10 a code object has a bare name. The function that was called lies on its caller's value
// stack, alone or bound to an object, and has the qualified one.
void Python::qualify_names(const PyThread& thread) {
  const PythonFrame* inner = nullptr;
  for (const auto& run : thread.runs) {
    for (const PythonFrame& caller : run) {
      const PythonFrame* called = std::exchange(inner, &caller);
      if (called == nullptr || called->code->qualified) continue;
      std::string name = find_qualified_name(caller, called->code->at);
      if (!name.empty()) codes_->qualify(called->code->at, std::move(name));
    }
  }
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
