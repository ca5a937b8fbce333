// The folder that is written, and finding gcore.
#pragma once

#include <coldcase/result.hpp>
#include <string>

namespace coldcase::capture {

// Made with mode 0700 when it is not there, opened. Files in it are new, 0600, never overwritten.
class Folder {
 public:
  explicit Folder(const std::string& path);  // throws Error
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder();
  int fd() const { return fd_; }
  std::string path_of(const std::string& name) const;
  bool has(const std::string& name) const;
  int create(
      const std::string& name) const;  // open for writing; throws Error, also when it is there
  void remove(const std::string& name) const;

 private:
  std::string path_;
  int fd_ = -1;
};

// An absolute path. Throws Error.
std::string find_gcore(const std::string& wanted);

}  // namespace coldcase::capture
