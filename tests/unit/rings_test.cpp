// Whose code a frame is of.
#include "base/rings.hpp"

#include "support/catch.hpp"

namespace coldcase {
namespace {

TEST_CASE("functions of the languages' own libraries are known", "[rings]") {
  for (const char* const name :
       {"std::mutex::lock()", "void std::__invoke_impl<void, void (*)()>(void (*&&)())",
        "__gthread_mutex_lock", "runtime.gopark", "core::ops::function::FnOnce::call_once",
        "alloc::sync::Arc<T,A>::drop_slow", "<std::sys::sync::mutex::futex::Mutex>::lock_contended",
        "<alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once",
        "<&dyn core::ops::function::Fn<(), Output = i32> as X>::call_once",
        "<&mut core::iter::Map<I,F> as Iterator>::next"})
    CHECK(is_standard_library(name));
  for (const char* const name :
       {"main", "post(std::mutex&)", "void run<std::mutex>(int)",
        "<bank::Teller as core::ops::Drop>::drop", "<bank::Bank<std::string::String>>::forth",
        "core::Engine::run()", "core::Engine::step", "bank::core::run", "<", "",
        "alloc::Pool::take(unsigned long)"})
    CHECK_FALSE(is_standard_library(name));
}

}  // namespace
}  // namespace coldcase
