// Whose code a frame is: the runtime's (C library, interpreter, driver), a library's, or the
// application's. Sites, headlines and signatures name the nearest frame that is not the runtime's.
#pragma once

#include <cstdint>
#include <string_view>

namespace coldcase {

enum class Ring : std::uint8_t { runtime, library, application };

Ring ring_of_module(std::string_view path);
// Code of the C++ library compiled into somebody's module (templates, inline functions without
// optimisation): std::mutex::lock(), void std::__invoke<...>(...).
bool is_standard_library(std::string_view function);
// How glibc and musl name what a thread sleeps in and begins with. Of a static program these are
// functions like its own; they come without lines.
bool is_c_library(std::string_view function);

// `file` is a code object's co_filename.
Ring ring_of_python(std::string_view file);

}  // namespace coldcase
