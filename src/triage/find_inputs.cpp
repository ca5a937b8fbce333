#include "triage/find_inputs.hpp"

#include <glob.h>

#include <algorithm>
#include <array>
#include <coldcase/result.hpp>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "base/text.hpp"

namespace coldcase::triage {
namespace {

namespace fs = std::filesystem;

enum class Look : std::uint8_t { other, core, packed };

// The magic numbers of what may have a core in it (bytes/packing.hpp, bytes/archive.hpp): a zstd
// frame or skippable frame, xz, gzip, bzip2, LZ4, zip.
constexpr std::array<std::string_view, 8> packings{"\x28\xb5\x2f\xfd",
                                                   "\xfd"
                                                   "7zXZ",
                                                   "\x1f\x8b\x08",
                                                   "BZh",
                                                   "\x04\x22\x4d\x18",
                                                   "\x02\x21\x4c\x18",
                                                   "PK\x03\x04",
                                                   "ProblemType:"};

// An ELF file of type core (e_type 4 at offset 16), or what the worker has to look into.
Look look_at(const fs::path& path) {
  std::array<char, 512> bytes{};
  std::ifstream file(path, std::ios::binary);
  file.read(bytes.data(), bytes.size());
  const std::string_view head(bytes.data(), static_cast<std::size_t>(file.gcount()));
  const auto begins = [&](std::string_view magic) { return head.starts_with(magic); };
  const bool skippable = head.size() >= 4 && head.substr(1, 3) == "\x2a\x4d\x18";
  if (std::ranges::any_of(packings, begins) || skippable || head.substr(0, 262).ends_with("ustar"))
    return Look::packed;
  constexpr std::string_view elf(
      "\x7f"
      "ELF",
      4);
  const bool core = head.size() >= 18 && begins(elf) && head[16] == 4 && head[17] == 0;
  return core ? Look::core : Look::other;
}

void walk(const fs::path& root, const fs::path& output, std::vector<Candidate>& found) {
  std::error_code error;
  const auto options = fs::directory_options::skip_permission_denied;
  for (auto at = fs::recursive_directory_iterator(root, options, error);
       !error && at != fs::recursive_directory_iterator(); at.increment(error)) {
    std::error_code ignored;
    if (at->is_directory(ignored) && fs::equivalent(at->path(), output, ignored)) {
      at.disable_recursion_pending();
      continue;
    }
    if (at->is_symlink(ignored) || !at->is_regular_file(ignored)) continue;
    const Look look = look_at(at->path());
    if (look == Look::other) continue;
    const fs::path shown = at->path().lexically_relative(root);
    found.push_back(
        {at->path().string(), shown.string(), shown.parent_path().string(), look == Look::core});
  }
}

std::vector<std::string> expand(const std::string& pattern) {
  if (fs::exists(pattern)) return {pattern};
  glob_t matches{};
  std::vector<std::string> paths;
  if (::glob(pattern.c_str(), 0, nullptr, &matches) == 0) {
    for (std::size_t i = 0; i < matches.gl_pathc; ++i) paths.emplace_back(matches.gl_pathv[i]);
  }
  ::globfree(&matches);
  if (paths.empty())
    throw Error(Trouble::no_such_file, clean_text(pattern) + ": no such file or folder");
  return paths;
}

}  // namespace

std::vector<Candidate> find_inputs(const std::vector<std::string>& paths,
                                   const std::string& output) {
  std::vector<Candidate> found;
  for (const std::string& pattern : paths) {
    for (const std::string& path : expand(pattern)) {
      if (fs::is_directory(path)) {
        walk(path, output, found);
      } else {
        found.push_back({path, fs::path(path).filename().string(),
                         fs::path(path).parent_path().string(), true});
      }
    }
  }
  const auto order = [](const Candidate& a, const Candidate& b) {
    return a.shown != b.shown ? a.shown < b.shown : a.path < b.path;
  };
  std::ranges::sort(found, order);
  const auto same = [](const Candidate& a, const Candidate& b) { return a.path == b.path; };
  found.erase(std::unique(found.begin(), found.end(), same), found.end());
  return found;
}

}  // namespace coldcase::triage
