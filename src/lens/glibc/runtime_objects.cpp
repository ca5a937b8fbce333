// Locks of runtimes that call futex(2) on their own, and those of musl.
#include <algorithm>

#include "base/text.hpp"
#include "lens/glibc/parts.hpp"

namespace coldcase::glibc {
namespace {

// An offset that says: the word is one of libstdc++'s table of 16 (bits/atomic_wait.h,
// __waiter_pool_base), not the object's.
constexpr std::int32_t proxied = -1;

constexpr std::string_view gomp_team_barrier = "libgomp team's barrier";

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
    RuntimeShape{"std::barrier<", WaitKind::barrier, "std::barrier", proxied},
    RuntimeShape{"std::__tree_barrier<", WaitKind::barrier, "std::barrier", proxied},
    RuntimeShape{"std::__atomic_base<long>::wait", WaitKind::futex, "std::atomic", proxied},
    RuntimeShape{"std::__atomic_base<unsigned long>::wait", WaitKind::futex, "std::atomic",
                 proxied},
    RuntimeShape{"std::__atomic_wait_address", WaitKind::futex, "std::atomic", 0},
    RuntimeShape{"std::__detail::__platform_wait<", WaitKind::futex, "std::atomic", 0},
    RuntimeShape{"futex_mutex::Mutex>::lock_contended", WaitKind::mutex, "Rust std::sync::Mutex",
                 0},
    RuntimeShape{"mutex::futex::Mutex>::lock_contended", WaitKind::mutex, "Rust std::sync::Mutex",
                 0},
    RuntimeShape{"futex_mutex::Mutex::lock_contended", WaitKind::mutex, "Rust std::sync::Mutex", 0},
    RuntimeShape{"mutex::futex::Mutex::lock_contended", WaitKind::mutex, "Rust std::sync::Mutex",
                 0},
    RuntimeShape{"RwLock::read_contended", WaitKind::rwlock, "Rust std::sync::RwLock", 0,
                 Mode::read},
    RuntimeShape{"RwLock>::read_contended", WaitKind::rwlock, "Rust std::sync::RwLock", 0,
                 Mode::read},
    RuntimeShape{"RwLock::write_contended", WaitKind::rwlock, "Rust std::sync::RwLock", 4,
                 Mode::write},
    RuntimeShape{"RwLock>::write_contended", WaitKind::rwlock, "Rust std::sync::RwLock", 4,
                 Mode::write},
    RuntimeShape{"futex_condvar::Condvar::wait", WaitKind::condition, "Rust std::sync::Condvar", 0},
    RuntimeShape{"futex_condvar::Condvar>::wait", WaitKind::condition, "Rust std::sync::Condvar",
                 0},
    RuntimeShape{"condvar::futex::Condvar>::wait", WaitKind::condition, "Rust std::sync::Condvar",
                 0},
    RuntimeShape{"condvar::futex::Condvar::wait", WaitKind::condition, "Rust std::sync::Condvar",
                 0},
    RuntimeShape{"once::futex::Once>::call", WaitKind::once, "Rust std::sync::Once", 0},
    RuntimeShape{"once::futex::Once::call", WaitKind::once, "Rust std::sync::Once", 0},
    RuntimeShape{"Parker>::park", WaitKind::futex, "Rust thread parker", 0},
    RuntimeShape{"std::thread::park", WaitKind::futex, "Rust thread parker", 0},
    // gperftools 2.10, src/base/spinlock_linux-inl.h: timed, with a growing delay.
    RuntimeShape{"base::internal::SpinLockDelay", WaitKind::spinlock, "tcmalloc SpinLock", 0},
    RuntimeShape{"GOMP_critical", WaitKind::mutex, "libgomp lock", 0},
    RuntimeShape{"omp_set_lock", WaitKind::mutex, "omp_lock_t", 0},
    RuntimeShape{"omp_set_nest_lock", WaitKind::mutex, "omp_nest_lock_t", 0},
    RuntimeShape{"gomp_mutex_lock_slow", WaitKind::mutex, "libgomp lock", 0},
    RuntimeShape{"gomp_barrier_wait", WaitKind::barrier, "libgomp barrier", 4},
    RuntimeShape{"gomp_team_barrier_wait", WaitKind::barrier, "libgomp barrier", 4},
    RuntimeShape{"GOMP_barrier", WaitKind::barrier, "libgomp barrier", 4},
    // The last one of its own, at the end of a team, or the pool's dock at its begin: by its shape.
    RuntimeShape{"GOMP_parallel", WaitKind::barrier, gomp_team_barrier, 4},
};

const RuntimeShape* find_runtime_shape(std::string_view name) {
  if (name.empty()) return nullptr;
  const auto at = std::ranges::find_if(runtime_shapes, [&](const RuntimeShape& shape) {
    return name.find(shape.needle) != std::string_view::npos;
  });
  return at == runtime_shapes.end() ? nullptr : &*at;
}

// The runtime's own frames: those outward of the first other one are somebody else's.
bool of_runtime(const CodeName& name) {
  std::string_view function = name.function;
  for (const std::string_view result : {"void ", "bool "}) {
    if (function.starts_with(result)) function.remove_prefix(result.size());
  }
  return name.symbol == "syscall" || name.symbol.empty() ||
         starts_with_any(function,
                         {"std::", "core::", "<std::", "__gnu_cxx::", "futex_", "sys_futex"});
}

bool in_module(const View& view, std::size_t i, std::size_t frame, std::string_view prefix) {
  const Module* module = view.threads.rules.row(view.threads.walks[i].frames[frame].row).module;
  return module != nullptr && module->name().starts_with(prefix);
}

// The runtime's shape nearest to the system call. std::atomic's own wait is used inside latches and
// semaphores: the outer one tells more.
const RuntimeShape* shape_in_frames(const LensContext& context, std::size_t i,
                                    std::optional<std::size_t>& frame) {
  const auto& frames = context.view.threads.walks[i].frames;
  const RuntimeShape* best = nullptr;
  const auto consider = [&](std::string_view function, std::size_t f) {
    const RuntimeShape* shape = find_runtime_shape(function);
    if (shape == nullptr || (best != nullptr && best->implementation != "std::atomic")) return;
    best = shape;
    frame = f;
  };
  for (std::size_t f = 0; f < std::min<std::size_t>(frames.size(), 8); ++f) {
    const CodeName& name = context.view.threads.name_of(frames[f]);
    for (const InlineName& inlined : name.inlines) consider(inlined.function, f);
    consider(name.function, f);
    const bool gomp = in_module(context.view, i, f, "libgomp");
    // libgomp ships without local names: what its caller called.
    if (best == nullptr && f > 0 && !gomp && in_module(context.view, i, f - 1, "libgomp"))
      consider(callee_of(context.view, i, f), f - 1);
    if (!of_runtime(name) && !gomp) break;
  }
  return best;
}

// The function of musl's that the thread is in: by name, or by what its caller called.
std::string musl_call(const LensContext& context, std::size_t i) {
  const auto& frames = context.view.threads.walks[i].frames;
  const std::initializer_list<std::string_view> names{"pthread_", "sem_"};
  if (const auto frame = find_frame(context.view, i, 6, names)) return context.symbol_of(i, *frame);
  for (std::size_t f = 1; f < std::min<std::size_t>(frames.size(), 6); ++f) {
    if (is_libc_frame(context.view, i, f) || context.symbol_of(i, f).empty()) continue;
    std::string called = callee_of(context.view, i, f);
    return starts_with_any(without_underscores(called), names) ? called : std::string();
  }
  return {};
}

struct MuslShape {
  std::string_view prefix;
  WaitKind kind;
  std::string_view implementation;
  std::int32_t offset;
};

// musl 1.2, src/internal/pthread_impl.h: a mutex sleeps on its word at +4; waiters of a private
// condition and of a barrier sleep on words of a waiter's own stack.
constexpr std::array musl_shapes{
    MuslShape{"pthread_mutex_", WaitKind::mutex, "pthread_mutex_t (musl)", 4},
    MuslShape{"pthread_rwlock_", WaitKind::rwlock, "pthread_rwlock_t (musl)", 0},
    MuslShape{"sem_", WaitKind::semaphore, "sem_t (musl)", 0},
    MuslShape{"pthread_once", WaitKind::once, "pthread_once_t (musl)", 0},
    MuslShape{"pthread_barrier_", WaitKind::barrier, "pthread_barrier_t (musl)", proxied},
    MuslShape{"pthread_join", WaitKind::thread_exit, "", 0},
    MuslShape{"pthread_timedjoin", WaitKind::thread_exit, "", 0},
    MuslShape{"pthread_cond_", WaitKind::condition, "pthread_cond_t (musl)", proxied},
};

// No thread block of glibc's: musl's lies below the thread pointer's own word.
std::optional<Object> find_musl_object(const LensContext& context, std::size_t i,
                                       const FutexWait& futex) {
  // A thread block may be absent for other reasons.
  const bool glibc = std::ranges::any_of(context.view.modules.list, [](const Module& module) {
    return starts_with_any(module.name(), {"libc.so.6", "libc-2."});
  });
  if (glibc || context.pthreads.block(i)) return std::nullopt;
  const std::string called = musl_call(context, i);
  const std::string_view name = without_underscores(called);
  const auto shape = std::ranges::find_if(
      musl_shapes, [&](const MuslShape& row) { return name.starts_with(row.prefix); });
  if (shape == musl_shapes.end()) return std::nullopt;
  Object object;
  object.frame = 0;
  object.kind = shape->kind;
  object.implementation = std::string(shape->implementation);
  object.join = object.kind == WaitKind::thread_exit;
  object.proxy = shape->offset == proxied;
  // Woken from a condition, and now waiting to get the mutex back: no word of its own stack.
  const Addr sp = context.view.core.threads[i].registers.at(Registers::rsp);
  const bool own_word = futex.address >= sp && futex.address.value - sp.value < 8192;
  if (object.kind == WaitKind::condition && !own_word && !futex.shared) {
    object.kind = WaitKind::mutex;
    object.implementation = "pthread_mutex_t (musl)";
    object.proxy = false;
    object.address = Addr{futex.address.value - 4};
    return object;
  }
  object.address = object.proxy
                       ? futex.address
                       : Addr{futex.address.value - static_cast<std::uint64_t>(shape->offset)};
  if (object.kind == WaitKind::rwlock)
    object.mode = name.find("wrlock") != std::string_view::npos ? Mode::write : Mode::read;
  return object;
}

}  // namespace

std::optional<Object> find_runtime_object(const LensContext& context, std::size_t i,
                                          const FutexWait& futex) {
  if (auto musl = find_musl_object(context, i, futex)) return musl;
  if (auto absl = find_absl_object(context, i, futex)) return absl;
  std::optional<std::size_t> frame;
  const RuntimeShape* shape = shape_in_frames(context, i, frame);
  if (shape == nullptr) return std::nullopt;
  Object object;
  object.address = futex.address;
  object.kind = shape->kind;
  object.implementation = std::string(shape->implementation);
  object.frame = frame;
  object.mode = shape->mode;
  if (shape->implementation == gomp_team_barrier) {
    if (!read_gomp_barrier(context.view.image, Addr{futex.address.value - 4}, futex.expected))
      return std::nullopt;
    object.implementation = "libgomp barrier";
    object.noun = "OpenMP team's barrier";
  }
  object.proxy = shape->offset == proxied;
  if (!object.proxy)
    object.address = Addr{futex.address.value - static_cast<std::uint64_t>(shape->offset)};
  return object;
}

}  // namespace coldcase::glibc
