#include "base/rings.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"

namespace coldcase {

Ring ring_of_module(std::string_view path) {
  const std::string_view name = base_name(path);
  if (starts_with_any(
          name, {"libc.so", "libc-2", "libpthread", "ld-linux", "ld-2", "libm.so", "libdl", "librt",
                 "libstdc++", "libgcc_s", "libffi", "_ctypes", "_ctypes_test", "libpython",
                 "python", "libcuda.so", "libcudart", "[vdso]", "libgomp"})) {
    return Ring::runtime;
  }
  if (path.find("/lib-dynload/") != std::string_view::npos) return Ring::runtime;
  // MPI is often built by its users, into a folder of theirs.
  if (starts_with_any(
          name, {"libmpi", "libopen-pal", "libopen-rte", "libpmix", "libpmi", "libprrte", "mca_",
                 "libucp.", "libuct.", "libucs.", "libucm.", "libfabric"})) {
    return Ring::library;
  }
  if (starts_with_any(path, {"/usr/lib/", "/lib/", "/lib64/", "/usr/lib64/"}) ||
      path.find("/site-packages/") != std::string_view::npos ||
      path.find("/dist-packages/") != std::string_view::npos) {
    return Ring::library;
  }
  return Ring::application;
}

namespace {

// "<std::sys::sync::mutex::futex::Mutex>::lock", "core::ops::function::FnOnce::call_once". A C++
// program's own `core` has parameters, or (inlined) none of Rust's modules.
bool is_rust_library(std::string_view function) {
  if (!function.starts_with('<'))
    return starts_with_any(
               function,
               {"core::cell::",     "core::fmt::",       "core::future::",      "core::iter::",
                "core::ops::",      "core::option::",    "core::panic::",       "core::ptr::",
                "core::result::",   "core::slice::",     "core::str::",         "core::sync::",
                "core::task::",     "core::panicking::", "alloc::boxed::",      "alloc::rc::",
                "alloc::string::",  "alloc::sync::",     "alloc::task::",       "alloc::vec::",
                "alloc::raw_vec::", "alloc::slice::",    "alloc::collections::"}) &&
           function.find('(') == std::string_view::npos;
  function.remove_prefix(1);
  for (const std::string_view word : {"&", "mut ", "dyn ", "["}) {
    if (function.starts_with(word)) function.remove_prefix(word.size());
  }
  return starts_with_any(function, {"std::", "core::", "alloc::"});
}

}  // namespace

bool is_standard_library(std::string_view function) {
  // A template's name begins with its return type; what decides stands before the first bracket.
  const std::string_view head = function.substr(0, function.find_first_of("<("));
  const auto space = head.rfind(' ');
  const std::string_view name = space == std::string_view::npos ? head : head.substr(space + 1);
  return starts_with_any(name, {"std::", "__gnu_cxx::", "__gthread_", "__cxxabiv1::", "__cxa_"}) ||
         starts_with_any(function, {"std::", "__gnu_cxx::", "runtime."}) ||  // the last is Go's
         is_rust_library(function);
}

bool is_c_library(std::string_view function) {
  static constexpr std::array<std::string_view, 16> names{
      "start_thread", "clone",  "clone3",          "start",     "__clone",  "__clone3",
      "syscall",      "__poll", "__read",          "__write",   "__select", "sched_yield",
      "sigsuspend",   "pause",  "clock_nanosleep", "nanosleep",
  };
  if (std::ranges::find(names, function) != names.end()) return true;
  return function == "execute_native_thread_routine" ||
         starts_with_any(function, {"__lll_", "pthread_", "__pthread_", "___pthread_", "__futex_",
                                    "futex_", "__syscall", "__timedwait", "__new_sem_", "sem_",
                                    "__GI_", "__libc_", "__nptl_", "__clock_", "__nanosleep",
                                    "__rwlock_", "__wait", "__private_cond_"});
}

Ring ring_of_python(std::string_view file) {
  if (file.find("/site-packages/") != std::string_view::npos ||
      file.find("/dist-packages/") != std::string_view::npos) {
    return Ring::library;
  }
  if (starts_with_any(file, {"<frozen ", "<__array_function__"})) return Ring::runtime;
  const auto lib = file.find("/lib/python3");
  return lib == std::string_view::npos ? Ring::application : Ring::runtime;
}

}  // namespace coldcase
