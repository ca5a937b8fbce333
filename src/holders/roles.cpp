#include "holders/roles.hpp"

#include <algorithm>
#include <array>

#include "modules/symbols.hpp"

namespace coldcase {
namespace {

struct RoleRow {
  std::string_view symbol;
  Role role;
};

using Act = Role::Act;

// Timed and trying forms are no acquisition by themselves: their result decides. They change
// nothing here, and whoever uses them is found by the cleanup alone.
constexpr std::array role_rows{
    RoleRow{"pthread_mutex_lock", {Act::acquire, LockClass::mutex, false}},
    RoleRow{"mtx_lock", {Act::acquire, LockClass::mutex, false}},
    RoleRow{"pthread_mutex_unlock", {Act::release, LockClass::mutex, false}},
    RoleRow{"mtx_unlock", {Act::release, LockClass::mutex, false}},
    RoleRow{"pthread_rwlock_rdlock", {Act::acquire, LockClass::rwlock, true}},
    RoleRow{"pthread_rwlock_wrlock", {Act::acquire, LockClass::rwlock, false}},
    RoleRow{"pthread_rwlock_unlock", {Act::release, LockClass::rwlock, false}},
    RoleRow{"sem_wait", {Act::acquire, LockClass::semaphore, false}},
    RoleRow{"sem_post", {Act::release, LockClass::semaphore, false}},
    RoleRow{"pthread_spin_lock", {Act::acquire, LockClass::spinlock, false}},
    RoleRow{"pthread_spin_unlock", {Act::release, LockClass::spinlock, false}},
    RoleRow{"__cxa_guard_acquire", {Act::acquire, LockClass::guard, false}},
    RoleRow{"__cxa_guard_abort", {Act::release, LockClass::guard, false}},
    RoleRow{"__cxa_guard_release", {Act::release, LockClass::guard, false}},
    RoleRow{"_Unwind_Resume", {Act::resumes, LockClass::none, false}},
    RoleRow{"__cxa_rethrow", {Act::resumes, LockClass::none, false}},
    RoleRow{"__cxa_end_cleanup", {Act::resumes, LockClass::none, false}},
    RoleRow{"__cxa_begin_catch", {Act::ends, LockClass::none, false}},
    RoleRow{"__cxa_call_unexpected", {Act::ends, LockClass::none, false}},
    RoleRow{"__clang_call_terminate", {Act::ends, LockClass::none, false}},
    RoleRow{"_ZSt9terminatev", {Act::ends, LockClass::none, false}},
    RoleRow{"__cxa_throw", {Act::ends, LockClass::none, false}},
    RoleRow{"__stack_chk_fail", {Act::ends, LockClass::none, false}},
    RoleRow{"__assert_fail", {Act::ends, LockClass::none, false}},
    RoleRow{"abort", {Act::ends, LockClass::none, false}},
    RoleRow{"exit", {Act::ends, LockClass::none, false}},
    RoleRow{"_exit", {Act::ends, LockClass::none, false}},
    RoleRow{"pthread_exit", {Act::ends, LockClass::none, false}},
};

}  // namespace

Role role_of(std::string_view symbol) {
  if (const auto version = symbol.find('@'); version != std::string_view::npos && version > 0)
    symbol = symbol.substr(0, version);
  for (const std::string_view prefix : {"", "__"}) {
    const auto row = std::ranges::find_if(role_rows, [&](const RoleRow& one) {
      return symbol.size() == prefix.size() + one.symbol.size() && symbol.starts_with(prefix) &&
             symbol.ends_with(one.symbol);
    });
    if (row != role_rows.end()) return row->role;
  }
  // libstdc++'s __throw_system_error and its like.
  if (symbol.starts_with("_ZSt") && symbol.find("__throw_") != std::string_view::npos)
    return {Act::ends, LockClass::none, false};
  // absl::Mutex::ReaderUnlock, boost's, a project's own: a member that unlocks its object. What it
  // is called with has to be the lock's own address.
  if (symbol.starts_with("_ZN") && symbol.size() < 512 &&
      (symbol.find("nlock") != std::string_view::npos ||
       symbol.find("nLock") != std::string_view::npos)) {
    const std::string name = demangle(symbol);
    const std::string_view whole = name;
    const std::string_view function = whole.substr(0, whole.find('('));
    for (const std::string_view suffix : {"unlock", "Unlock", "UnLock", "unlock_shared"}) {
      if (function.ends_with(suffix)) return {Act::release, LockClass::any, false};
    }
  }
  return {};
}

LockClass class_of(const ResourceFact& resource) {
  switch (resource.kind) {
    case WaitKind::mutex:
      return LockClass::mutex;
    case WaitKind::rwlock:
      return LockClass::rwlock;
    case WaitKind::semaphore:
      return LockClass::semaphore;
    case WaitKind::spinlock:
      return resource.implementation == "lock word" ? LockClass::word : LockClass::spinlock;
    case WaitKind::polled_word:
      return LockClass::flag;
    case WaitKind::static_guard:
      return LockClass::guard;
    case WaitKind::once:
      return LockClass::once;
    case WaitKind::driver_lock:
      return resource.implementation == "pthread_rwlock_t" ? LockClass::rwlock : LockClass::mutex;
    case WaitKind::futex:
    case WaitKind::unknown:
      return LockClass::word;
    default:
      return LockClass::none;
  }
}

}  // namespace coldcase
