// Names as people read them: of g++, clang's libc++ and rustc.
#include "base/readable_name.hpp"

#include "base/function_name.hpp"

#include <coldcase/report.hpp>
#include <sstream>

#include "support/catch.hpp"
#include "support/incident.hpp"

namespace coldcase {
namespace {

const std::string text_type =
    "std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> >";

TEST_CASE("names that need nothing stay", "[text]") {
  for (const char* const name : {"",
                                 "main",
                                 "start_thread",
                                 "post(int, int)",
                                 "main.(*Bank).Move",
                                 "Bank::move() const",
                                 "std::mutex::lock()",
                                 "(anonymous namespace)::save(int)",
                                 "operator new(unsigned long)",
                                 "Bank::operator()(int) const",
                                 "Bank::operator bool() const",
                                 "operator<(Key, Key)",
                                 "std::ostream::operator<<(int)",
                                 "main::{lambda(int)#1}::operator()(int) const",
                                 "<bank::Teller as core::ops::drop::Drop>::drop",
                                 "work(int) [clone .cold]",
                                 "Key::operator->() const",
                                 "mine__1::f(int)",
                                 "guard variable for settings(int)::made",
                                 "non-virtual thunk to Bank::move(int)",
                                 "vtable for Table<int>",
                                 "std::this_thread::sleep_until<Clock>"})
    CHECK(readable_name(name) == name);
}

TEST_CASE("std's own types have their common names", "[text]") {
  CHECK(readable_name("save(" + text_type + " const&)") == "save(std::string const&)");
  CHECK(readable_name(text_type + "::append(char const*)") == "std::string::append(char const*)");
  CHECK(readable_name("f(std::__1::basic_string<char, std::__1::char_traits<char>, "
                      "std::__1::allocator<char>>)") == "f(std::string)");
  CHECK(readable_name("f(std::map<int, " + text_type +
                      ", std::less<int>, std::allocator<std::pair<int const, " + text_type +
                      " > > >)") == "f(std::map<int, std::string>)");
  CHECK(readable_name("f(std::unique_ptr<Bank, std::default_delete<Bank> >)") ==
        "f(std::unique_ptr<Bank>)");
  CHECK(readable_name("f(std::pair<int, std::less<int> >)") == "f(std::pair<int, std::less<int>>)");
  CHECK(readable_name("f(mine::List<int, std::allocator<int> >)") ==
        "f(mine::List<int, std::allocator<int>>)");  // nobody knows what that takes by default
}

TEST_CASE("what a template's function returns is left out, and long lists are", "[text]") {
  CHECK(readable_name("void std::__invoke_impl<void, void (*)(int, int), int, "
                      "int>(std::__invoke_other, void (*&&)(int, int), int&&, int&&)") ==
        "std::__invoke_impl<void, void (*)(int, int), int, int>(...)");
  CHECK(readable_name("decltype (f(0)) call<Bank>(Bank&)") == "call<Bank>(Bank&)");
  CHECK(readable_name("std::vector<Order> (anonymous namespace)::all<Book>()") ==
        "(anonymous namespace)::all<Book>()");
  CHECK(readable_name("Table<AVeryLongNameOfAKey, AVeryLongNameOfAValue>::find(int)") ==
        "Table<...>::find(int)");
  CHECK(readable_name("void Table<int>::visit<f(int)::{lambda(int)#1}>(int)") ==
        "Table<int>::visit<f(int)::{lambda(int)#1}>(int)");
}

TEST_CASE("names that were cut keep what is left", "[text]") {
  const std::string ellipsis = "\xe2\x80\xa6";
  CHECK(readable_name("void Table<int>::visit<f(std::map<" + ellipsis) == "Table<int>::visit<...>");
  CHECK(readable_name("void save(std::map<int, std::ve" + ellipsis) == "save(...)");
  CHECK(readable_name("shop::left[abi:cxx11]") == "shop::left");
}

TEST_CASE("functions as people say them", "[text]") {
  CHECK(plain_function("int bank::move<Gold>(Account&, long)") == "bank::move<Gold>");
  CHECK(plain_function("(anonymous namespace)::save()") == "save");
  CHECK(plain_function("main::{lambda()#1}::operator()() const") == "main's lambda");
  CHECK(plain_function("auto shop::serve(" + text_type +
                       ")::{lambda(auto:1&)#1}::operator()<int>(int&) "
                       "const") == "shop::serve's lambda");
  CHECK(plain_function("run<main::{lambda()#1}>(int)") == "run<main::{lambda()#1}>");
  CHECK(plain_function("Bank::operator()(" + text_type + ")") == "Bank::operator()(std::string)");
  CHECK(plain_function("main.(*Bank).Move") == "main.(*Bank).Move");
  CHECK(spoken_function("save(" + text_type + ")") == "save(std::string)");
  CHECK(spoken_function("save(int)::{lambda()#1}::operator()() const") == "save's lambda");
}

TEST_CASE("hostile names of functions end", "[text]") {
  const std::string endless = "f<" + std::string(1000000, 'x') + ">(int)";
  CHECK(readable_name(endless) == endless);
  const std::string deep(1000, '<');
  CHECK(readable_name("f" + deep) == "f" + deep);
  CHECK(readable_name("f<" + std::string(1000, '(') + std::string(1000, ')') + ">").size() < 2100);
  std::string nested = "x";
  for (int i = 0; i < 300; ++i) nested = "a<" + nested + ">";
  CHECK(readable_name(nested).find("...") != std::string::npos);
  for (const char* const odd : {"<", ">", "(", ")", "operator", "f(", "f)", "->", "a<->", "f<,>(,)",
                                "operator<", "operator<<", "operator()", " ( ", "::", "f<a, >"}) {
    (void)is_library_glue(readable_name(odd));
  }
  const std::string whole = "void std::thread::_Invoker<std::tuple<void (*)(" + text_type +
                            ")> >::_M_invoke<0ul>(std::_Index_tuple<0ul>)";
  for (std::size_t size = 0; size <= whole.size(); ++size)
    CHECK(readable_name(whole.substr(0, size)).size() <= size + 8);
}

TEST_CASE("what the libraries have between is known", "[text]") {
  for (const char* const name :
       {"std::thread::_Invoker<...>::operator()()", "std::__invoke_impl<void, void (*)()>(...)",
        "std::_Function_handler<...>::_M_invoke(std::_Any_data const&)",
        "core::ops::function::FnOnce::call_once{{vtable.shim}}",
        "std::sys::backtrace::__rust_begin_short_backtrace",
        "<std::sys::thread::unix::Thread>::new::thread_start"})
    CHECK(is_library_glue(name));
  for (const char* const name :
       {"std::mutex::lock()", "std::lock_guard<std::mutex>::lock_guard(std::mutex&)",
        "std::vector<bank::_Row>::push_back(bank::_Row const&)", "bank::_step()",
        "std::panicking::rust_panic_with_hook", "std::sort<_Iter>(_Iter, std::__x)",
        "__gthread_mutex_lock", "main", ""})
    CHECK_FALSE(is_library_glue(name));
}

std::string text_of(const Analysis& analysis, bool full_names) {
  std::ostringstream out;
  RenderOptions options;
  options.all_threads = true;
  options.full_names = full_names;
  render_text(analysis, options, out);
  return out.str();
}

TEST_CASE("stacks have readable names, and full ones on request", "[text]") {
  test::Incident incident;
  const ThreadId thread = incident.thread("post");
  incident.stack(
      thread, {test::native_frame("post(" + text_type + ")"),
               test::native_frame("void std::__invoke_impl<void>(int)"),
               test::native_frame("std::thread::_Invoker<int>::operator()()"),
               test::native_frame("start_thread"), test::native_frame("std::_Alone<int>::run()")});
  const std::string text = text_of(incident.analysis, false);
  CHECK(text.find("post(std::string)") != std::string::npos);
  CHECK(text.find("2 frames inside the standard library") != std::string::npos);
  CHECK(text.find("_Invoker") == std::string::npos);
  CHECK(text.find("std::_Alone<int>::run()") != std::string::npos);
  const std::string full = text_of(incident.analysis, true);
  CHECK(full.find("inside the standard library") == std::string::npos);
  CHECK(full.find("void std::__invoke_impl<void>(int)") != std::string::npos);
}

}  // namespace
}  // namespace coldcase
