#include "triage/folder.hpp"

#include <fcntl.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <coldcase/analyze.hpp>
#include <coldcase/result.hpp>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>

#include "base/text.hpp"

namespace coldcase::triage {
namespace {

namespace fs = std::filesystem;

constexpr std::string_view manifest_name = "manifest.txt";

std::string manifest_of(const std::vector<std::string>& reading) {
  std::string text = "coldcase triage 1\nversion " + std::string(library_version()) + "\n";
  for (const std::string& word : reading) text += "option " + clean_text(word) + "\n";
  return text;
}

[[noreturn]] void cannot_write(const std::string& path) {
  throw Error(Trouble::cannot_write,
              "cannot write " + clean_text(path) + ": " + std::strerror(errno));
}

}  // namespace

Folder::Folder(const std::string& path, const std::vector<std::string>& reading, bool force)
    : path_(path) {
  std::error_code error;
  fs::create_directories(fs::path(path) / "reports", error);
  if (error)
    throw Error(Trouble::cannot_write,
                "cannot make the folder " + clean_text(path) + ": " + error.message());
  const auto manifest = read(std::string(manifest_name));
  const bool foreign =
      !manifest &&
      std::ranges::any_of(fs::directory_iterator(path), [](const fs::directory_entry& entry) {
        return entry.path().filename() != "reports";
      });
  const std::string wanted = manifest_of(reading);
  if (!force && (foreign || (manifest && *manifest != wanted))) {
    throw Error(Trouble::usage,
                clean_text(path) +
                    (foreign ? " holds files that triage did not write"
                             : " was made with other options or another version") +
                    ". Name another folder, or give --force to write there all the same");
  }
  write(std::string(manifest_name), wanted);
}

std::optional<std::string> Folder::read(const std::string& name) const {
  std::ifstream file(path_ + "/" + name, std::ios::binary);
  if (!file) return std::nullopt;
  std::stringstream text;
  text << file.rdbuf();
  return text.str();
}

void Folder::write(const std::string& name, const std::string& content) const {
  const std::string target = path_ + "/" + name;
  const std::string temporary = target + ".tmp." + std::to_string(::getpid());
  const int fd = ::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
  if (fd < 0) cannot_write(temporary);
  std::string_view rest = content;
  while (!rest.empty()) {
    const ssize_t done = ::write(fd, rest.data(), rest.size());
    if (done < 0 && errno == EINTR) continue;
    if (done <= 0) {
      ::close(fd);
      ::unlink(temporary.c_str());
      cannot_write(target);
    }
    rest.remove_prefix(static_cast<std::size_t>(done));
  }
  (void)::fsync(fd);
  ::close(fd);
  if (::rename(temporary.c_str(), target.c_str()) != 0) cannot_write(target);
}

void Folder::remove_strays(const std::vector<std::string>& keys) const {
  std::error_code error;
  std::vector<fs::path> strays;
  for (const auto& entry : fs::directory_iterator(path_ + "/reports", error)) {
    const std::string stem = entry.path().stem().string();
    if (std::ranges::find(keys, stem) == keys.end()) strays.push_back(entry.path());
  }
  for (const fs::path& stray : strays) fs::remove(stray, error);
}

}  // namespace coldcase::triage
