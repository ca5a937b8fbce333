// Writes the seeds of names_fuzz into the folder named.
#include <cstdio>
#include <filesystem>
#include <fstream>

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("usage: names_seeds FOLDER\n", stderr);
    return 64;
  }
  const std::filesystem::path folder = arguments[1];
  std::filesystem::create_directories(folder);
  int number = 0;
  for (const char* const name :
       {"void std::__invoke_impl<void, void (*)(int), int>(std::__invoke_other, void (*&&)(int))",
        "f(std::__cxx11::basic_string<char, std::char_traits<char>, std::allocator<char> > const&)",
        "auto shop::serve(int)::{lambda(auto:1&)#1}::operator()<int>(int&) const",
        "(anonymous namespace)::Key::operator->() const [clone .cold]", "main.(*Bank).Move",
        "<alloc::boxed::Box<F,A> as core::ops::function::FnOnce<Args>>::call_once",
        "guard variable for settings()::made[abi:cxx11]",
        "operator<< <char, f(std::map<int\xe2\x80\xa6"}) {
    std::ofstream(folder / std::to_string(number++), std::ios::binary) << name;
  }
  return 0;
}
