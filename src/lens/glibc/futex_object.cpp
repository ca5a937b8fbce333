// From a futex's address to the object it is part of: by the waiter's own cancellation record, by
// the function that waits, by the object's shape.
#include <algorithm>

#include "base/text.hpp"
#include "lens/glibc/parts.hpp"

namespace coldcase::glibc {
namespace {

// The calls of glibc a thread can be blocked in on a futex, with the object each waits on.
struct CallShape {
  std::string_view prefix;
  WaitKind kind;
  std::string_view implementation;
};

constexpr std::array shapes{
    CallShape{"pthread_mutex_", WaitKind::mutex, "pthread_mutex_t"},
    CallShape{"lll_mutex", WaitKind::mutex, "pthread_mutex_t"},
    CallShape{"pthread_rwlock_", WaitKind::rwlock, "pthread_rwlock_t"},
    CallShape{"pthread_cond_", WaitKind::condition, "pthread_cond_t"},
    CallShape{"cnd_", WaitKind::condition, "pthread_cond_t"},
    CallShape{"sem_", WaitKind::semaphore, "sem_t"},
    CallShape{"new_sem_", WaitKind::semaphore, "sem_t"},
    CallShape{"pthread_join", WaitKind::thread_exit, ""},
    CallShape{"pthread_timedjoin", WaitKind::thread_exit, ""},
    CallShape{"pthread_clockjoin", WaitKind::thread_exit, ""},
    CallShape{"pthread_once", WaitKind::once, "pthread_once_t"},
    CallShape{"pthread_barrier_", WaitKind::barrier, "pthread_barrier_t"},
    CallShape{"cxa_guard_acquire", WaitKind::static_guard, "static-local guard"},
    CallShape{"lll_lock_wait_private", WaitKind::mutex, library_lock},
};
constexpr std::size_t innermost = 8;  // frames among which the waiting call lies

const CallShape* find_shape(std::string_view symbol) {
  const auto at = std::ranges::find_if(shapes, [&](const CallShape& shape) {
    return without_underscores(symbol).starts_with(shape.prefix);
  });
  return at == shapes.end() ? nullptr : &*at;
}

Addr minus(Addr at, std::uint64_t offset) {
  return Addr{at.value - offset};
}

// On +8 the expected value tells a reader from a writer; +12 is writers behind a writer; +0 are
// readers behind a queued writer (native-waits.md 3.4).
void set_rwlock(const LensContext& context, std::size_t i, const FutexWait& futex, Object& object) {
  const std::string& name = context.symbol_of(i, *object.frame);
  const bool writer = name.find("wrlock") != std::string::npos;
  object.mode = writer ? Mode::write : Mode::read;
  const std::uint64_t offset =
      writer ? (futex.expected == 2 ? 8 : 12) : (futex.expected == 3 ? 8 : 0);
  object.address = minus(futex.address, offset);
  if (writer && offset == 12) {
    // A writer may also wait at +8 with other bits set: the word that must be a live rwlock
    // decides.
    const auto lock = read_rwlock(context.view.image, object.address);
    if (lock && lock->writers_futex == 0 && lock->cur_writer == 0)
      object.address = minus(futex.address, 8);
  }
}

// Up to 2.42 a joiner sleeps on the other's tid, from 2.43 on its joinstate.
void set_join(const LensContext& context, const FutexWait& futex, Object& object) {
  object.join = true;
  for (const std::uint64_t field : {720u, 1576u}) {
    if (!object.joined) object.joined = context.pthreads.find_block(minus(futex.address, field));
  }
}

// Who signals takes the condition's own lock (the low bits of __g1_orig_size) and, up to 2.40,
// waits for the group of waiters that were woken before (an odd number: somebody waits for a
// reference).
void set_signalled(const FutexWait& futex, bool groups, Object& object) {
  const bool leaving = groups && (futex.expected & 1U) != 0;
  if (leaving) {
    object.address = minus(futex.address, (futex.address.value & 4) != 0 ? 20 : 16);
    object.noun = "condition that threads woken earlier have yet to leave, ";
  } else {
    object.address = minus(futex.address, groups ? 32 : 24);
    object.noun = "condition that another thread is at work on, ";
  }
}

// A wait in a pthread_cond_* call without a record of its own.
void set_condition(const LensContext& context, std::size_t i, const FutexWait& futex,
                   Object& object) {
  const bool groups = context.version == 0 || context.version <= 240;  // 2.25 to 2.40
  const std::uint64_t signals = groups ? 40 : 32;
  const std::uint64_t references = groups ? 36 : 28;
  const std::string_view call = without_underscores(context.symbol_of(i, *object.frame));
  if (call.starts_with("pthread_cond_destroy")) {
    object.address = minus(futex.address, references);
    object.noun = "condition being destroyed while threads still wait on it, ";
    return;
  }
  if (starts_with_any(call, {"pthread_cond_signal", "pthread_cond_broadcast"}))
    return set_signalled(futex, groups, object);
  // Woken, and now waiting to get the mutex back.
  const auto mutex = read_mutex(context.view.image, futex.address);
  const bool contended =
      mutex && mutex->plausible() && context.pthreads.find_owner(mutex->holder());
  if (contended && (futex.expected == 2 || futex.by_owner || mutex->owner_in_word())) {
    object.kind = WaitKind::mutex;
    object.implementation = "pthread_mutex_t";
    return;
  }
  // The word gives the condition up to the group, which is 8-aligned with it or 4 behind.
  object.address = minus(futex.address, signals + ((futex.address.value & 4) != 0 ? 4 : 0));
  object.basis = Basis::inference;
}

// A raw priority-inheriting futex: the kernel itself needs the owner's number in the word.
void set_pi_futex(Object& object) {
  object.kind = WaitKind::mutex;
  object.implementation = "PI futex";
  object.noun = "priority-inheriting futex";
}

// Nothing names the call (a stripped static program): words that are a mutex with a living owner.
void set_by_shape(const LensContext& context, const FutexWait& futex, Object& object) {
  const auto mutex = read_mutex(context.view.image, futex.address);
  if (!mutex || !mutex->plausible() || !mutex->locked()) return;
  const bool waits_so = mutex->owner_in_word() || futex.expected == 2 ||
                        (mutex->protects_priority() && futex.expected == mutex->lock);
  const bool lives = context.pthreads.find_owner(mutex->holder()) ||
                     context.pthreads.find_owner_by_note(mutex->holder());
  if (!waits_so || !lives || mutex->nusers == 0) return;
  object.kind = WaitKind::mutex;
  object.implementation = "pthread_mutex_t";
  object.basis = Basis::memory;
  object.at_most = Confidence::very_likely;
}

// The word is a thread's own number, or its joinstate: nothing else lies in a thread block.
bool set_by_thread_block(const LensContext& context, const FutexWait& futex, Object& object) {
  const auto by_number = context.pthreads.find_block(minus(futex.address, 720));
  const auto by_state = context.pthreads.find_block(minus(futex.address, 1576));
  const bool number = by_number && context.pthreads.block(*by_number)->tid ==
                                       static_cast<std::int32_t>(futex.expected);
  if (!number && !by_state) return false;
  object.kind = WaitKind::thread_exit;
  object.implementation.clear();
  object.join = true;
  object.joined = number ? by_number : by_state;
  return true;
}

// Frames in the C library may have no names: then the first named one around them, or what the
// first frame outside had called.
const CallShape* find_call_shape(const LensContext& context, std::size_t i, const FutexWait& futex,
                                 std::optional<std::size_t>& frame) {
  const Walk& walk = context.view.threads.walks[i];
  for (std::size_t f = 0; f < std::min(walk.frames.size(), innermost); ++f) {
    const std::string& symbol = context.symbol_of(i, f);
    const CallShape* shape = find_shape(symbol);
    if (shape == nullptr && !symbol.empty() && f > 0 && !is_libc_frame(context.view, i, f)) {
      const std::string called = callee_of(context.view, i, f);
      shape = find_shape(called);
      if (shape == nullptr && futex.expected == 2 && takes_internal_locks(called))
        shape = &shapes.back();
      // Named functions of the C library may stand between the two.
      if (shape != nullptr) frame = shape == &shapes.back() ? 0 : f - 1;
      return shape;
    }
    if (shape != nullptr) frame = f;
    if (shape != nullptr) return shape;
  }
  return nullptr;
}

const Module* find_loader(const View& view, Addr address) {
  const Module* module = view.modules.find(address);
  return module != nullptr && starts_with_any(module->name(), {"ld-linux", "ld-2."}) ? module
                                                                                     : nullptr;
}

// struct rtld_global holds the loader's recursive mutexes: _dl_load_lock at 2312 (2.31), 2568 (2.36
// and 2.41), 1800 (2.43), 40 after it the write lock, 80 after it the one of thread-local storage.
void set_loader(const LensContext& context, Object& object) {
  const Module* loader = find_loader(context.view, object.address);
  if (object.kind != WaitKind::mutex || loader == nullptr) return;
  object.kind = WaitKind::loader_lock;
  object.noun = "the dynamic loader's lock";
  const auto global = loader->find_symbol("_rtld_global");
  if (!global || *global > object.address) return;
  const std::uint64_t offset = object.address.value - global->value;
  for (const std::uint64_t base : {2312u, 2568u, 1800u}) {
    if (offset == base + 40) object.noun = "the dynamic loader's write lock";
    if (offset == base + 80) object.noun = "the dynamic loader's lock of thread-local storage";
  }
}

void set_by_call(const LensContext& context, std::size_t i, const FutexWait& futex,
                 Object& object) {
  switch (object.kind) {
    case WaitKind::rwlock:
      return set_rwlock(context, i, futex, object);
    case WaitKind::barrier:
      object.address = minus(futex.address, 4);
      return;
    case WaitKind::thread_exit:
      return set_join(context, futex, object);
    case WaitKind::condition:
      return set_condition(context, i, futex, object);
    case WaitKind::mutex:
      return set_loader(context, object);
    default:
      return;
  }
}

}  // namespace

Object find_object(const LensContext& context, std::size_t i, const FutexWait& futex) {
  Object object;
  object.address = futex.address;
  const auto record = context.pthreads.read_cleanup(i, futex.address);
  if (record && record->condition) {
    object.kind = WaitKind::condition;
    object.implementation = "pthread_cond_t";
    object.address = *record->condition;
    object.mutex = record->mutex;
    object.basis = Basis::cleanup_buffer;
    object.frame = find_frame(context.view, i, innermost, {"pthread_cond_", "cnd_"});
    return object;
  }
  if (record && record->argument == futex.address && futex.expected == 0) {
    // sem_wait registers the semaphore itself.
    object.kind = WaitKind::semaphore;
    object.implementation = "sem_t";
    object.basis = Basis::cleanup_buffer;
    object.frame = find_frame(context.view, i, innermost, {"sem_", "new_sem_"});
    return object;
  }
  if (set_by_thread_block(context, futex, object)) {
    object.frame = find_frame(context.view, i, innermost, {"pthread_"});
    return object;
  }
  if (auto found = find_runtime_object(context, i, futex)) return *found;
  const CallShape* shape = find_call_shape(context, i, futex, object.frame);
  if (shape == nullptr) {
    const auto mutex = read_mutex(context.view.image, futex.address);
    const bool in_mutex = mutex && mutex->plausible() && mutex->inherits_priority();
    if (futex.by_owner && !in_mutex)
      set_pi_futex(object);
    else
      set_by_shape(context, futex, object);
    return object;
  }
  object.kind = shape->kind;
  object.implementation = std::string(shape->implementation);
  if (shape->implementation == library_lock)
    return find_internal_lock(context, i, *object.frame, futex);
  set_by_call(context, i, futex, object);
  return object;
}

}  // namespace coldcase::glibc
