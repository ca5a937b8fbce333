// What the user is told when an input cannot be opened. All texts of this stage stand here, to be
// reviewed as prose: what happened, why that usually happens, what to try.
#pragma once

#include <coldcase/result.hpp>
#include <string>

namespace coldcase::messages {

Error cannot_open(const std::string& path, int error);
Error is_directory(const std::string& path);
Error not_a_file(const std::string& path);
Error is_empty(const std::string& path);
Error cannot_map(const std::string& path, int error);
Error cannot_spool(int error);
Error not_zstd(const std::string& path, const std::string& why);

}  // namespace coldcase::messages
