// A folder of one test's own; TMPDIR points into it, so that a spool can be seen there.
#pragma once

#include <sys/stat.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <span>
#include <string>
#include <string_view>

#include "support/catch.hpp"

namespace coldcase::test {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = (std::filesystem::temp_directory_path() / "coldcase-test.XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
    if (const char* old = std::getenv("TMPDIR")) old_ = old;
    ::setenv("TMPDIR", name.c_str(), 1);
  }
  TemporaryFolder(const TemporaryFolder&) = delete;
  TemporaryFolder& operator=(const TemporaryFolder&) = delete;
  ~TemporaryFolder() {
    if (old_.empty()) ::unsetenv("TMPDIR");
    if (!old_.empty()) ::setenv("TMPDIR", old_.c_str(), 1);
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  std::string file(const std::string& name) const { return (path_ / name).string(); }
  std::string write(const std::string& name, std::string_view content) const {
    std::ofstream(file(name), std::ios::binary)
        .write(content.data(), static_cast<std::streamsize>(content.size()));
    return file(name);
  }
  std::string write(const std::string& name, std::span<const std::byte> content) const {
    return write(name,
                 std::string_view(reinterpret_cast<const char*>(content.data()), content.size()));
  }
  bool empty() const { return std::filesystem::is_empty(path_); }
  // Bytes on the disk of the one unlinked file this process has open in the folder.
  std::uint64_t spooled() const {
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
      std::error_code gone;
      const auto target = std::filesystem::read_symlink(entry, gone).string();
      if (target.rfind(path_.string(), 0) != 0) continue;
      struct stat about {};
      if (::stat(entry.path().c_str(), &about) != 0) continue;
      return static_cast<std::uint64_t>(about.st_blocks) * 512;
    }
    FAIL("no spool is open in " << path_);
    return 0;
  }

 private:
  std::filesystem::path path_;
  std::string old_;
};

}  // namespace coldcase::test
