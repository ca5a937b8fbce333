// What stands on the command line, before it is parsed.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
}

namespace coldcase::cli {

// The words with the command that they leave out. Throws Error (usage) for what is neither a
// command nor a file.
std::vector<std::string> complete(const CLI::App& app, std::vector<std::string> words);

}  // namespace coldcase::cli
