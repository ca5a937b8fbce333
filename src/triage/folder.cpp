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

bool Folder::is_ours(const std::string& name) {
  // KEY.json, KEY.md, and what a write that was interrupted left of them.
  const std::string stem = name.substr(0, 32);
  const bool key =
      stem.size() == 32 && stem.find_first_not_of("0123456789abcdef") == std::string::npos;
  const std::string rest = name.substr(stem.size());
  return key && (rest == ".json" || rest == ".md" || rest.starts_with(".json.tmp.") ||
                 rest.starts_with(".md.tmp."));
}

bool Folder::holds_foreign_files() const {
  std::error_code error;
  for (const auto& entry : fs::directory_iterator(path_, error)) {
    if (entry.path().filename() != "reports") return true;
  }
  for (const auto& entry : fs::directory_iterator(path_ + "/reports", error)) {
    if (!is_ours(entry.path().filename().string())) return true;
  }
  return false;
}

Folder::Folder(const std::string& path, const std::vector<std::string>& reading, bool force)
    : path_(path), manifest_(manifest_of(reading)) {
  std::error_code error;
  if (force || !fs::exists(path, error)) return;
  const auto manifest = read(std::string(manifest_name));
  const bool foreign = !manifest && holds_foreign_files();
  if (!foreign && (!manifest || *manifest == manifest_)) return;
  throw Error(Trouble::usage,
              clean_text(path) +
                  (foreign ? " holds files that triage did not write"
                           : " was made with other options or another version") +
                  ". Name another folder, or give --force to write there all the same");
}

void Folder::make() const {
  std::error_code error;
  fs::create_directories(fs::path(path_) / "reports", error);
  if (error)
    throw Error(Trouble::cannot_write,
                "cannot make the folder " + clean_text(path_) + ": " + error.message());
  write(std::string(manifest_name), manifest_);
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
    const std::string name = entry.path().filename().string();
    const bool kept = std::ranges::find(keys, name.substr(0, 32)) != keys.end() &&
                      name.find(".tmp.") == std::string::npos;
    if (is_ours(name) && !kept) strays.push_back(entry.path());
  }
  for (const fs::path& stray : strays) fs::remove(stray, error);
}

}  // namespace coldcase::triage
