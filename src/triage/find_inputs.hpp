// Which files under the paths given may be cores: by their first bytes, never by name.
#pragma once

#include <string>
#include <vector>

namespace coldcase::triage {

struct Candidate {
  std::string path;    // to open
  std::string shown;   // relative to the path it was found under: the same on every machine
  std::string folder;  // of `shown`
  // Named by the user, or a core by its first bytes: when it cannot be read it is a row all the
  // same.
  bool expected = false;
};

// Sorted by what is shown. Throws Error when a path does not exist. `output` is not walked into.
std::vector<Candidate> find_inputs(const std::vector<std::string>& paths,
                                   const std::string& output);

}  // namespace coldcase::triage
