// Demangled C++ and Rust names as people read them in a stack.
#pragma once

#include <string>
#include <string_view>

namespace coldcase {

// "void std::__invoke_impl<void, void (*)(std::__cxx11::basic_string<char, std::char_traits<char>,
// std::allocator<char> >)>(std::__invoke_other, ...)" is std::__invoke_impl<void, void
// (*)(std::string)>(...): without what a template's function returns and what templates of std take
// by default; long lists are three dots. Anything else is given back as it is,
// and what is longer than 4 KiB.
std::string readable_name(std::string_view demangled);

// Whether a readable name is of what the C++ and Rust libraries have between a thread's start, or
// a call of a stored function, and the user's code.
bool is_library_glue(std::string_view readable);

}  // namespace coldcase
