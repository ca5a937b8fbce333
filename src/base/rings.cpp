#include "base/rings.hpp"

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

bool is_standard_library(std::string_view function) {
  // A template's name begins with its return type; what decides stands before the first bracket.
  const std::string_view head = function.substr(0, function.find_first_of("<("));
  const auto space = head.rfind(' ');
  const std::string_view name = space == std::string_view::npos ? head : head.substr(space + 1);
  return starts_with_any(name, {"std::", "__gnu_cxx::", "__gthread_", "__cxxabiv1::", "__cxa_"}) ||
         starts_with_any(function, {"std::", "__gnu_cxx::", "runtime."});  // the last is Go's
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
