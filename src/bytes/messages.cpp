#include "bytes/messages.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>

#include "base/text.hpp"

namespace coldcase::messages {

Error cannot_open(const std::string& path, int error) {
  const std::string name = clean_text(path);
  if (error == ENOENT || error == ENOTDIR) {
    return {Trouble::no_such_file, name + ": no such file"};
  }
  if (error == EACCES || error == EPERM) {
    return {
        Trouble::no_permission,
        name +
            ": no permission to read it. The kernel writes cores readable by the process's owner "
            "alone; read it as that user, or:  sudo chmod a+r FILE"};
  }
  return {Trouble::read_error, name + ": cannot open: " + std::strerror(error)};
}

Error is_directory(const std::string& path) {
  return {Trouble::not_a_core,
          clean_text(path) + " is a directory, not a core file. Name the core inside it"};
}

Error not_a_file(const std::string& path) {
  return {
      Trouble::not_a_core,
      clean_text(path) + " is not a regular file. To read a stream:  coldcase analyze - < FILE"};
}

Error is_empty(const std::string& path) {
  return {
      Trouble::not_a_core,
      clean_text(path) +
          " is empty. The kernel leaves an empty core when the disk was full or the limit was 0 "
          "(see  ulimit -c ); take a new one. gVisor and WSL1 leave none, although the shell says "
          "\"core dumped\": there  gcore PID  of the living process"};
}

Error cannot_map(const std::string& path, int error) {
  return {Trouble::read_error, clean_text(path) + ": cannot map it: " + std::strerror(error)};
}

Error cannot_spool(int error) {
  return {Trouble::read_error,
          std::string("cannot write the temporary file for the decompressed core: ") +
              std::strerror(error) + ". Set TMPDIR to a folder with more room"};
}

Error cannot_unpack(const std::string& path, const std::string& why, std::string_view packing) {
  return {Trouble::not_a_core, clean_text(path) + ": cannot unpack (" + std::string(packing) +
                                   "): " + clean_text(why) + ". Was it copied whole?"};
}

Error no_core_in(const std::string& path, std::uint64_t files, const std::string& problem) {
  std::string text = clean_text(path) + " is an archive of " + counted(files, "file") +
                     ", and none of them is a core dump";
  if (!problem.empty()) text += "; the rest of it cannot be read: " + clean_text(problem);
  return {Trouble::not_a_core, text + ". Archives inside an archive are not opened"};
}

Error no_such_member(const std::string& path, const std::string& member) {
  return {Trouble::no_such_file,
          clean_text(path) + " has no core " + clean_text(member) + " in it"};
}

Error several_cores(const std::string& path, const std::vector<std::string>& members) {
  std::string text =
      clean_text(path) + " holds " + counted(members.size(), "core") + ". Name one: ";
  constexpr std::size_t most_named = 5;
  for (std::size_t i = 0; i < std::min(members.size(), most_named); ++i)
    text += (i > 0 ? ", " : "") + clean_text(members[i]);
  return {Trouble::not_a_core, text + (members.size() > most_named ? ", ..." : "")};
}

Error no_core_in_report(const std::string& path) {
  return {Trouble::not_a_core,
          clean_text(path) +
              " is a report of Apport's without a core: it was too large, or was removed when the "
              "report was sent. Take the one on the machine where the process ran"};
}

}  // namespace coldcase::messages
