// Names for the driver functions threads are in. Every exported cuXxx is a trampoline that
// tail-jumps through a table, so it is never on the stack and the nearest symbol names the wrong
// one (cuda.md 0). The function's start, from the unwind tables, is looked up in that table, and
// its own name string is read.
#pragma once

#include <map>
#include <set>
#include <string>

#include "lens/view.hpp"

namespace coldcase::cuda {

struct ApiName {
  std::string name;
  bool by_table = false;   // the dispatch table leads from this export to this function
  bool by_string = false;  // the function refers to exactly one API name, its own
};

class Driver {
 public:
  // The driver among the modules: by name, so a fake one in tests is one too. Null when there is
  // none.
  static const Module* find(const Modules& modules);
  Driver(const View& view, const Module& module);

  const Module& module() const { return module_; }
  std::string version()
      const;  // from the file's name, libcuda.so.550.163.01; empty when it has none

  // The public function whose implementation contains this address of the process; empty name: an
  // internal entry.
  ApiName name_at(Addr pc) const;

 private:
  std::string name_by_string(std::uint64_t begin, std::uint64_t end) const;

  const Module& module_;
  std::map<std::uint64_t, std::string> table_;  // start of an implementation -> export
};

}  // namespace coldcase::cuda
