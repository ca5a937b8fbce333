// What the user is told when an input cannot be opened. All texts of this stage stand here, to be
// reviewed as prose: what happened, why that usually happens, what to try.
#pragma once

#include <coldcase/result.hpp>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace coldcase::messages {

Error cannot_open(const std::string& path, int error);
Error is_directory(const std::string& path);
Error not_a_file(const std::string& path);
Error is_empty(const std::string& path);
Error cannot_map(const std::string& path, int error);
Error cannot_spool(int error);
Error cannot_unpack(const std::string& path, const std::string& why, std::string_view packing);
Error no_core_in(const std::string& path, std::uint64_t files, const std::string& problem);
Error no_such_member(const std::string& path, const std::string& member);
Error several_cores(const std::string& path, const std::vector<std::string>& members);
Error no_core_in_report(const std::string& path);

}  // namespace coldcase::messages
