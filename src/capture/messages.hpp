// What the user is told when a process cannot be captured: what happened, why, the exact command
// that helps. All texts of this stage stand here, to be reviewed as prose.
#pragma once

#include <coldcase/result.hpp>
#include <cstdint>
#include <string>

namespace coldcase::messages {

Error nothing_named();
Error bad_pid(std::int64_t pid);
Error no_process(std::int64_t pid);
Error own_process(std::int64_t pid);
Error is_thread(std::int64_t tid, std::int64_t pid);
Error kernel_thread(std::int64_t pid, const std::string& name);
Error has_ended(std::int64_t pid, std::int64_t parent);
Error too_many(std::size_t limit);

Error is_traced(std::int64_t pid, std::int64_t tracer);
Error other_user(std::int64_t pid, std::int64_t uid);
Error no_capability(std::int64_t pid);
Error ptrace_scope(std::int64_t pid, std::int64_t scope);
Error not_dumpable(std::int64_t pid);
Error refused_by_kernel(std::int64_t pid);

Error no_gcore(const std::string& wanted);
Error no_folder(const std::string& path, int error);
Error folder_of_another(const std::string& path, std::int64_t uid);
Error folder_is_shared(const std::string& path);  // by its mode
Error exists(const std::string& path);
Error cannot_write(const std::string& path, int error);
Error no_guardian(int error);
Error no_core(std::int64_t pid, const std::string& said);
Error guardian_lost(std::int64_t pid);
Error dump_stalled(std::int64_t pid, int seconds);

std::string unread_memory(std::uint64_t count);

}  // namespace coldcase::messages
