// Where files are looked for on this machine.
#include "base/text.hpp"
#include "modules/modules.hpp"

namespace coldcase {
namespace {

bool is_number(std::string_view text) {
  return !text.empty() && text.find_first_not_of("0123456789") == std::string_view::npos;
}

// A path as seen from outside a container -> as seen inside of it: "/proc/885/root/usr/bin/x"
// (gcore by pid, systemd-coredump), "/var/lib/docker/overlay2/ID/merged/usr/bin/x", podman's
// ".../overlay/ ID/diff/...", containerd's ".../snapshots/ID/fs/..." and
// ".../task/ns/ID/rootfs/...". Empty when it is none of these.
std::string_view inside_container(std::string_view path) {
  if (path.starts_with("/proc/")) {
    const auto slash = path.find('/', 6);
    if (slash == std::string_view::npos) return {};
    const std::string_view who = path.substr(6, slash - 6);
    const std::string_view rest = path.substr(slash);
    return rest.starts_with("/root/") && (who == "self" || is_number(who)) ? rest.substr(5)
                                                                           : std::string_view{};
  }
  if (path.find("overlay") == std::string_view::npos && path.find("/io.containerd.") == path.npos)
    return {};
  for (const std::string_view layer : {"/merged/", "/diff/", "/fs/", "/rootfs/"}) {
    if (const auto at = path.find(layer); at != path.npos)
      return path.substr(at + layer.size() - 1);
  }
  return {};
}

// What has no file of its name: memory that never had one, devices, pseudo-files.
bool is_nameless(std::string_view path) {
  return starts_with_any(path, {"/memfd:", "/dev/zero", "/SYSV", "/anon_hugepage", "/[aio]"});
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

// What `debuginfod-find` fetched lies in its cache as BUILD-ID/debuginfo and BUILD-ID/executable.
std::string cached_path(std::string_view folder, std::string_view build_id, std::string_view kind) {
  return std::string(folder) + "/" + std::string(build_id) + "/" + std::string(kind);
}

// "./usr/lib/libfoo.so" and "root/usr/lib/libfoo.so" are the file /usr/lib/libfoo.so of a copied
// tree; "libfoo.so" may be.
bool may_be(std::string_view member, std::string_view wanted) {
  return base_name(member) == base_name(wanted);
}

// In a copied tree: the path, then what is left of it without its first folders. gcore records
// where the file is for the machine, /srv/roots/7/usr/bin/x, of a process whose root was
// /srv/roots/7.
void add_in_tree(const std::string& root, std::string_view path, std::vector<std::string>& files) {
  constexpr std::size_t most_folders = 32;
  auto at = path.find('/');
  if (at == path.npos) files.push_back(root + "/" + std::string(path));
  for (std::size_t i = 0; i < most_folders && at != path.npos; ++i) {
    files.push_back(root + std::string(path.substr(at)));
    at = path.find('/', at + 1);
  }
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

std::string_view without_deleted(std::string_view path) {
  constexpr std::string_view mark = " (deleted)";
  if (path.size() > mark.size() && path.ends_with(mark)) path.remove_suffix(mark.size());
  return path;
}

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
  const std::string inner(inside_container(path));
  const bool nameless = is_nameless(path);
  for (const std::string& root : search.sysroots) {
    if (nameless) break;
    if (!inner.empty()) files.push_back(root + inner);
    add_in_tree(root, path, files);
  }
  if (path.starts_with('/') && !nameless) files.push_back(path);
  if (!inner.empty()) files.push_back(inner);
  if (build_id.size() <= 2) return files;
  // Fedora links /usr/lib/.build-id/ to the programs and libraries themselves.
  for (const std::string& root : search.sysroots) {
    files.push_back(build_id_path(root + "/usr/lib", build_id, ""));
    files.push_back(build_id_path(root + "/usr/lib/debug", build_id, ""));
  }
  files.push_back(build_id_path("/usr/lib", build_id, ""));
  files.push_back(build_id_path("/usr/lib/debug", build_id, ""));
  for (const std::string& folder : search.debug_dirs) {
    files.push_back(build_id_path(folder, build_id, ""));
    files.push_back(cached_path(folder, build_id, "executable"));
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
    files.push_back(cached_path(folder, build_id, "debuginfo"));
  }
  files.push_back(build_id_path("/usr/lib/debug", build_id, ".debug"));
  return files;
}

std::vector<std::string> linked_files(std::string_view recorded, std::string_view opened,
                                      std::string_view link, const FileSearch& search) {
  const std::string name(link);
  const std::string_view path = without_deleted(recorded);
  const std::string here(opened.substr(0, opened.size() - base_name(opened).size()));
  const std::string there(path.substr(0, path.size() - base_name(path).size()));
  std::vector<std::string> files;
  add_beside(name, search, files);
  if (here.starts_with('/')) {
    files.push_back(here + name);
    files.push_back(here + ".debug/" + name);
  }
  const std::string in_tree = (there.starts_with('/') ? there : "/" + there) + name;
  const std::string in_debug = "/usr/lib/debug" + in_tree, in_folder = "/" + name;
  for (const std::string& root : search.sysroots) files.push_back(root + in_debug);
  for (const std::string& folder : search.debug_dirs) {
    files.push_back(folder + in_tree);
    files.push_back(folder + in_folder);
  }
  files.push_back(in_debug);
  return files;
}

std::vector<std::string> supplement_files(std::string_view opened, const AltLink& link,
                                          const FileSearch& search) {
  std::vector<std::string> files;
  const std::string here(opened.substr(0, opened.size() - base_name(opened).size()));
  if (link.path.starts_with('/')) {
    for (const std::string& root : search.sysroots) files.push_back(root + link.path);
    files.push_back(link.path);
  } else if (here.starts_with('/')) {
    files.push_back(here + link.path);
  }
  add_beside(link.path, search, files);
  for (std::string& file : debug_files(link.path, link.build_id, search))
    files.push_back(std::move(file));
  return files;
}

std::unique_ptr<ElfFile> open_candidate(const std::string& path, const FileSearch& search) {
  const Companion* inside = search.beside == nullptr ? nullptr : search.beside->find(path);
  return inside != nullptr
             ? ElfFile::from_memory(inside->content.bytes, path, ElfFile::Writable::yes)
             : ElfFile::open(path);
}

}  // namespace coldcase
