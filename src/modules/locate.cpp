// Where files are looked for on this machine.
#include "base/text.hpp"
#include "modules/modules.hpp"

namespace coldcase {
namespace {

std::string_view without_deleted(std::string_view path) {
  constexpr std::string_view mark = " (deleted)";
  if (path.size() > mark.size() && path.ends_with(mark)) path.remove_suffix(mark.size());
  return path;
}

std::string build_id_path(std::string_view folder, std::string_view build_id,
                          std::string_view suffix) {
  std::string path(folder);
  path += "/.build-id/";
  path += build_id.substr(0, 2);
  path += '/';
  path += build_id.substr(2);
  path += suffix;
  return path;
}

// "./usr/lib/libfoo.so" and "root/usr/lib/libfoo.so" are the file /usr/lib/libfoo.so of a copied
// tree; "libfoo.so" may be.
bool may_be(std::string_view member, std::string_view wanted) {
  return base_name(member) == base_name(wanted);
}

void add_beside(std::string_view path, const FileSearch& search, std::vector<std::string>& files) {
  if (search.beside == nullptr) return;
  for (const Companion& companion : search.beside->files) {
    if (may_be(companion.name, path)) files.push_back(companion.shown);
  }
  const std::string& folder = search.beside->folder;
  if (folder.empty()) return;
  files.push_back(folder + "/" + std::string(base_name(path)));
  if (path.starts_with('/') && folder != "/") files.push_back(folder + std::string(path));
}

}  // namespace

std::vector<std::string> candidate_files(std::string_view recorded, std::string_view build_id,
                                         bool is_executable, const FileSearch& search) {
  const std::string path(without_deleted(recorded));
  std::vector<std::string> files;
  for (const std::string& given : search.executables) {
    const auto equals = given.find('=');
    if (equals == std::string::npos) {
      if (is_executable || base_name(given) == base_name(path)) files.push_back(given);
    } else if (given.substr(0, equals) == base_name(path)) {
      files.push_back(given.substr(equals + 1));
    }
  }
  add_beside(path, search, files);
  for (const std::string& root : search.sysroots) {
    files.push_back(root + path);
    files.push_back(root + "/" + std::string(base_name(path)));
  }
  if (path.starts_with('/')) files.push_back(path);
  if (build_id.size() > 2) {
    for (const std::string& folder : search.debug_dirs) {
      files.push_back(build_id_path(folder, build_id, ""));
    }
  }
  return files;
}

std::vector<std::string> debug_files(std::string_view recorded, std::string_view build_id,
                                     const FileSearch& search) {
  std::vector<std::string> files;
  if (build_id.size() <= 2) return files;
  add_beside(std::string(base_name(without_deleted(recorded))) + ".debug", search, files);
  add_beside(base_name(build_id_path("", build_id, ".debug")), search, files);
  for (const std::string& root : search.sysroots) {
    files.push_back(build_id_path(root + "/usr/lib/debug", build_id, ".debug"));
  }
  for (const std::string& folder : search.debug_dirs) {
    files.push_back(build_id_path(folder, build_id, ".debug"));
  }
  files.push_back(build_id_path("/usr/lib/debug", build_id, ".debug"));
  return files;
}

std::unique_ptr<ElfFile> open_candidate(const std::string& path, const FileSearch& search) {
  const Companion* inside = search.beside == nullptr ? nullptr : search.beside->find(path);
  return inside != nullptr
             ? ElfFile::from_memory(inside->content.bytes, path, ElfFile::Writable::yes)
             : ElfFile::open(path);
}

}  // namespace coldcase
