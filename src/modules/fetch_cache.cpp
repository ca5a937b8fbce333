#include "modules/fetch_cache.hpp"

#include <sys/stat.h>

#include <cstdlib>

namespace coldcase {
namespace {

std::string variable(const char* name) {
  const char* value = std::getenv(name);
  return value == nullptr ? "" : value;
}

bool is_folder(const std::string& path) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0 && S_ISDIR(about.st_mode);
}

}  // namespace

// FOLDER/BUILD-ID/executable, debuginfo and section-.symtab: these names are the library's own
// affair; the first two are those of its first version (0.178), the third 0.188's. Where they
// change nothing is found.
std::string cached_name(const FetchItem& item) {
  if (!item.section.empty()) return "section-" + std::string(item.section);
  return item.of.kind == FetchKind::executable ? "executable" : "debuginfo";
}

namespace {

// An empty file says that no server had it (0.187; before, a file of mode 0 did).
bool holds_bytes(const std::string& path) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0 && S_ISREG(about.st_mode) && about.st_size > 0 &&
         (about.st_mode & 0777) != 0;
}

bool is_hex(std::string_view text) {
  return text.size() > 2 && text.find_first_not_of("0123456789abcdef") == std::string_view::npos;
}

void find_sections(const std::string& build_id, FetchAnswer& answer) {
  const std::string place = section_folder() + "/" + build_id;
  for (std::size_t k = 0; k < section_names.size(); ++k) {
    std::string path = place + "/" + cached_name({{}, section_names[k]});
    if (holds_bytes(path)) answer.sections[k] = std::move(path);
  }
  if (answer.has_sections()) answer.outcome = FetchAnswer::Outcome::too_large;
}

}  // namespace

std::string cache_folder() {
  if (std::string chosen = variable("DEBUGINFOD_CACHE_PATH"); !chosen.empty()) return chosen;
  const std::string home = variable("HOME");
  if (!home.empty() && is_folder(home + "/.debuginfod_client_cache"))
    return home + "/.debuginfod_client_cache";
  if (const std::string base = variable("XDG_CACHE_HOME"); !base.empty())
    return base + "/debuginfod_client";
  return home.empty() ? "" : home + "/.cache/debuginfod_client";
}

// Inside, so that the library's own cleaning comes by.
std::string section_folder() {
  const std::string folder = cache_folder();
  return folder.empty() ? "" : folder + "/coldcase-sections";
}

std::vector<FetchAnswer> find_cached(const std::vector<FetchRequest>& requests) {
  std::vector<FetchAnswer> answers(requests.size());
  const std::string folder = cache_folder();
  if (folder.empty()) return answers;
  for (std::size_t i = 0; i < requests.size(); ++i) {
    const FetchRequest& request = requests[i];
    if (!is_hex(request.build_id)) continue;
    std::string path = folder + "/" + request.build_id + "/" + cached_name({request, {}});
    if (holds_bytes(path)) {
      answers[i].outcome = FetchAnswer::Outcome::found;
      answers[i].path = std::move(path);
    } else if (request.kind != FetchKind::executable) {
      find_sections(request.build_id, answers[i]);
    }
  }
  return answers;
}

}  // namespace coldcase
