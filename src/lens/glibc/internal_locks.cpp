// Locks of the C library itself, and of runtimes that call futex(2) on their own.
#include <algorithm>

#include "base/text.hpp"
#include "lens/glibc/parts.hpp"

namespace coldcase::glibc {
namespace {

constexpr std::size_t innermost = 16;

bool in_libc(const View& view, std::size_t i, std::size_t frame) {
  const Module* module = view.threads.rules.row(view.threads.walks[i].frames[frame].row).module;
  return module != nullptr && starts_with_any(module->name(), {"libc.so", "libc-2"});
}

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
  const auto& frames = context.view.threads.walks[i].frames;
  for (std::size_t f = frame + 1; f < std::min(frames.size(), frame + innermost); ++f) {
    if (!in_libc(context.view, i, f)) break;
    const std::string_view name = without_underscores(context.symbol_of(i, f));
    if (name.empty()) continue;
    caller.name = std::string(name);
    caller.malloc = caller.malloc || is_malloc(name);
    caller.stdio = caller.stdio || is_stdio(name);
    caller.exit = caller.exit || is_exit(name);
  }
  return caller;
}

struct RuntimeShape {
  std::string_view needle;  // in the demangled name of a frame or of a function inlined there
  WaitKind kind;
  std::string_view implementation;
  std::int32_t offset;  // of the word in the object
  std::optional<Mode> mode{};
};

// libstdc++ 12 (bits/atomic_futex.h, latch, semaphore, barrier), Rust std 1.63 to 1.95
// (library/std/src/sys/.../futex), libgomp 12 (config/linux).
constexpr std::array runtime_shapes{
    RuntimeShape{"std::__atomic_futex_unsigned_base::_M_futex_wait", WaitKind::future,
                 "std::future", 16},
    RuntimeShape{"std::latch::wait", WaitKind::barrier, "std::latch", 0},
    RuntimeShape{"std::latch::arrive_and_wait", WaitKind::barrier, "std::latch", 0},
    RuntimeShape{"std::counting_semaphore<", WaitKind::semaphore, "std::counting_semaphore", 0},
    RuntimeShape{"std::__atomic_semaphore::", WaitKind::semaphore, "std::counting_semaphore", 0},
    RuntimeShape{"std::barrier<", WaitKind::barrier, "std::barrier", 0},
    RuntimeShape{"std::__tree_barrier<", WaitKind::barrier, "std::barrier", 0},
    RuntimeShape{"std::__atomic_wait_address", WaitKind::futex, "std::atomic", 0},
    RuntimeShape{"std::__detail::__platform_wait<", WaitKind::futex, "std::atomic", 0},
    RuntimeShape{"futex_mutex::Mutex::lock_contended", WaitKind::mutex, "Rust std::sync::Mutex", 0},
    RuntimeShape{"mutex::futex::Mutex::lock_contended", WaitKind::mutex, "Rust std::sync::Mutex",
                 0},
    RuntimeShape{"RwLock::read_contended", WaitKind::rwlock, "Rust std::sync::RwLock", 0,
                 Mode::read},
    RuntimeShape{"RwLock::write_contended", WaitKind::rwlock, "Rust std::sync::RwLock", 4,
                 Mode::write},
    RuntimeShape{"futex_condvar::Condvar::wait", WaitKind::condition, "Rust std::sync::Condvar", 0},
    RuntimeShape{"condvar::futex::Condvar::wait", WaitKind::condition, "Rust std::sync::Condvar",
                 0},
    RuntimeShape{"once::futex::Once::call", WaitKind::once, "Rust std::sync::Once", 0},
    RuntimeShape{"std::thread::park", WaitKind::futex, "Rust thread parker", 0},
    RuntimeShape{"GOMP_critical", WaitKind::mutex, "libgomp lock", 0},
    RuntimeShape{"omp_set_lock", WaitKind::mutex, "omp_lock_t", 0},
    RuntimeShape{"omp_set_nest_lock", WaitKind::mutex, "omp_nest_lock_t", 0},
    RuntimeShape{"gomp_mutex_lock_slow", WaitKind::mutex, "libgomp lock", 0},
    RuntimeShape{"gomp_barrier_wait", WaitKind::barrier, "libgomp barrier", 0},
    RuntimeShape{"gomp_team_barrier_wait", WaitKind::barrier, "libgomp barrier", 0},
    RuntimeShape{"GOMP_barrier", WaitKind::barrier, "libgomp barrier", 0},
};

const RuntimeShape* find_runtime_shape(std::string_view name) {
  if (name.empty()) return nullptr;
  const auto at = std::ranges::find_if(runtime_shapes, [&](const RuntimeShape& shape) {
    return name.find(shape.needle) != std::string_view::npos;
  });
  return at == runtime_shapes.end() ? nullptr : &*at;
}

bool at_most_word(const CodeName& name) {
  return name.symbol == "syscall" || name.symbol.empty() ||
         starts_with_any(name.function, {"std::", "core::", "__gnu_cxx::", "futex_", "sys_futex"});
}

// The runtime's shape nearest to the system call. std::atomic's own wait is used inside latches and
// semaphores: the outer one tells more.
const RuntimeShape* shape_in_frames(const LensContext& context, std::size_t i,
                                    std::optional<std::size_t>& frame) {
  const auto& frames = context.view.threads.walks[i].frames;
  const RuntimeShape* best = nullptr;
  for (std::size_t f = 0; f < std::min<std::size_t>(frames.size(), 8); ++f) {
    const CodeName& name = context.view.threads.name_of(frames[f]);
    const auto consider = [&](std::string_view function) {
      const RuntimeShape* shape = find_runtime_shape(function);
      if (shape == nullptr || (best != nullptr && best->implementation != "std::atomic")) return;
      best = shape;
      frame = f;
    };
    for (const InlineName& inlined : name.inlines) consider(inlined.function);
    consider(name.function);
    if (best == nullptr && !at_most_word(name) && f > 0 &&
        !starts_with_any(without_underscores(name.symbol), {"gomp", "GOMP", "omp_"}))
      break;
    if (best != nullptr && !at_most_word(name)) break;
  }
  return best;
}

// musl (1.2: src/internal/pthread_impl.h): no thread block of glibc's; a mutex sleeps on its word
// at +4, the other objects on their first.
std::optional<Object> find_musl_object(const LensContext& context, std::size_t i,
                                       const FutexWait& futex) {
  if (context.pthreads.block(i)) return std::nullopt;
  const auto frame = find_frame(context.view, i, 8,
                                {"pthread_mutex_", "pthread_rwlock_", "sem_", "pthread_cond_"});
  if (!frame) return std::nullopt;
  const std::string_view name = without_underscores(context.symbol_of(i, *frame));
  Object object;
  object.address = futex.address;
  object.frame = frame;
  if (name.starts_with("pthread_mutex_")) {
    object.kind = WaitKind::mutex;
    object.implementation = "pthread_mutex_t (musl)";
    object.address = Addr{futex.address.value - 4};
  } else if (name.starts_with("pthread_rwlock_")) {
    object.kind = WaitKind::rwlock;
    object.implementation = "pthread_rwlock_t (musl)";
    object.mode = name.find("wrlock") != std::string_view::npos ? Mode::write : Mode::read;
  } else if (name.starts_with("sem_")) {
    object.kind = WaitKind::semaphore;
    object.implementation = "sem_t (musl)";
  } else {
    object.kind = WaitKind::condition;  // the word is the waiter's own, on its stack
    object.implementation = "pthread_cond_t (musl)";
    object.at_most = Confidence::likely;
  }
  return object;
}

}  // namespace

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
  object.implementation = "lock inside the C library";
  object.noun = "the C library's own lock";
  if (!caller.name.empty()) object.noun += " in " + clean_text(caller.name, 128) + "()";
  return object;
}

std::optional<Object> find_runtime_object(const LensContext& context, std::size_t i,
                                          const FutexWait& futex) {
  if (auto musl = find_musl_object(context, i, futex)) return musl;
  std::optional<std::size_t> frame;
  const RuntimeShape* shape = shape_in_frames(context, i, frame);
  if (shape == nullptr) return std::nullopt;
  Object object;
  object.kind = shape->kind;
  object.implementation = std::string(shape->implementation);
  object.frame = frame;
  object.mode = shape->mode;
  object.address = Addr{futex.address.value - static_cast<std::uint64_t>(shape->offset)};
  return object;
}

}  // namespace coldcase::glibc
