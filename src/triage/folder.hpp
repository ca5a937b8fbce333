// The output folder: every file whole or not at all, results found again by key, options
// remembered.
#pragma once

#include <coldcase/triage.hpp>
#include <optional>

namespace coldcase::triage {

class Folder {
 public:
  // Checks that an existing folder is ours and made with the same options; throws Error when not.
  Folder(const std::string& path, const std::vector<std::string>& reading, bool force);

  // Makes it. Nothing is written before.
  void make() const;

  // Relative names inside the folder.
  static std::string report_name(const std::string& key) { return "reports/" + key + ".json"; }
  std::optional<std::string> read(const std::string& name) const;
  void write(const std::string& name, const std::string& content) const;
  void remove_strays(const std::vector<std::string>& keys) const;

 private:
  static bool is_ours(const std::string& name);
  bool holds_foreign_files() const;

  std::string path_;
  std::string manifest_;
};

}  // namespace coldcase::triage
