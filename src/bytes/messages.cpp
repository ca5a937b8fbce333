#include "bytes/messages.hpp"

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
          "(see  ulimit -c ); take a new one"};
}

Error cannot_map(const std::string& path, int error) {
  return {Trouble::read_error, clean_text(path) + ": cannot map it: " + std::strerror(error)};
}

Error cannot_spool(int error) {
  return {Trouble::read_error,
          std::string("cannot write the temporary file for the decompressed core: ") +
              std::strerror(error) + ". Set TMPDIR to a folder with more room"};
}

Error not_zstd(const std::string& path, const std::string& why) {
  return {Trouble::not_a_core, clean_text(path) + ": cannot decompress: " + why +
                                   ". Was it copied whole? Check it with:  zstd -t FILE"};
}

}  // namespace coldcase::messages
