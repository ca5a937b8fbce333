// Locks of the C library itself.
#include <algorithm>

#include "base/text.hpp"
#include "lens/glibc/parts.hpp"

namespace coldcase::glibc {
namespace {

constexpr std::size_t innermost = 16;

bool is_malloc(std::string_view name) {
  return starts_with_any(
      name, {"malloc", "free", "calloc", "realloc", "int_malloc", "int_free", "int_realloc",
             "libc_malloc", "libc_free", "libc_calloc", "arena_get", "reused_arena", "tcache_init",
             "memalign", "posix_memalign", "aligned_alloc", "mallopt", "mallinfo", "cfree"});
}

bool is_stdio(std::string_view name) {
  return name.starts_with("IO_") ||
         std::ranges::any_of(
             std::array<std::string_view, 24>{
                 "flockfile", "fflush",  "fwrite",  "fread",    "fputs",  "fputc",
                 "putc",      "puts",    "fgets",   "fgetc",    "getc",   "getline",
                 "fclose",    "fopen",   "fseek",   "ftell",    "printf", "fprintf",
                 "vfprintf",  "vprintf", "putchar", "getdelim", "ungetc", "setvbuf"},
             [&](std::string_view known) { return name == known; });
}

bool is_exit(std::string_view name) {
  return name == "exit" || name.starts_with("run_exit_handlers");
}

// Outward from the lock's own function to the last frame of the C library: what the program called.
struct Caller {
  std::string name;  // of the outermost named one
  bool malloc = false, stdio = false, exit = false;
};

Caller caller_of(const LensContext& context, std::size_t i, std::size_t frame) {
  Caller caller;
  const auto take = [&caller](std::string_view symbol) {
    const std::string_view name = without_underscores(symbol);
    if (name.empty()) return;
    caller.name = std::string(name);
    caller.malloc = caller.malloc || is_malloc(name);
    caller.stdio = caller.stdio || is_stdio(name);
    caller.exit = caller.exit || is_exit(name);
  };
  const auto& frames = context.view.threads.walks[i].frames;
  for (std::size_t f = frame + 1; f < std::min(frames.size(), frame + innermost); ++f) {
    if (!is_libc_frame(context.view, i, f)) {
      if (caller.name.empty()) take(callee_of(context.view, i, f));
      break;
    }
    take(context.symbol_of(i, f));
  }
  return caller;
}

}  // namespace

bool is_libc_frame(const View& view, std::size_t core_thread, std::size_t frame) {
  const Module* module =
      view.threads.rules.row(view.threads.walks[core_thread].frames[frame].row).module;
  return module != nullptr && is_c_library_file(module->name());
}

bool is_c_library_file(std::string_view name) {
  return starts_with_any(name, {"libc.so", "libc-2", "libpthread", "ld-linux", "ld-2.", "ld-musl"});
}

bool is_malloc_function(std::string_view symbol) {
  return is_malloc(without_underscores(symbol));
}

bool takes_internal_locks(std::string_view symbol) {
  const std::string_view name = without_underscores(symbol);
  return is_malloc(name) || is_stdio(name) || is_exit(name);
}

Object find_internal_lock(const LensContext& context, std::size_t i, std::size_t frame,
                          const FutexWait& futex) {
  Object object;
  object.address = futex.address;
  object.frame = frame;
  const Caller caller = caller_of(context, i, frame);
  // _IO_lock_t and the other recursive ones: lock 0, count 4, owner 8 (the thread's block).
  const auto owner = context.view.image.read_pointer(offset_by(futex.address, 8));
  const bool owned = owner && context.pthreads.find_block(*owner);
  if (caller.exit && !caller.stdio) {
    object.implementation = "recursive lock inside the C library";
    object.noun = "the lock of exit()";
    return object;
  }
  if (caller.malloc) {
    object.kind = WaitKind::malloc_arena;
    object.implementation = "malloc arena";
    object.noun = "malloc's arena";
    return object;
  }
  if (owned || caller.stdio) {
    object.kind = WaitKind::stdio_lock;
    object.implementation = "_IO_lock_t";
    object.noun = "stdio lock";
    return object;
  }
  object.kind = WaitKind::mutex;
  object.implementation = library_lock;
  object.noun = "the C library's own lock";
  if (!caller.name.empty()) object.noun += " in " + clean_text(caller.name, 128) + "()";
  return object;
}

}  // namespace coldcase::glibc
