// The output folder: every file whole or not at all, results found again by key, options
// remembered.
#pragma once

#include <coldcase/triage.hpp>
#include <optional>

namespace coldcase::triage {

class Folder {
 public:
  // Makes the folder, or checks that it is ours and made with the same options. Throws Error.
  Folder(const std::string& path, const std::vector<std::string>& reading, bool force);

  // Relative names inside the folder.
  static std::string report_name(const std::string& key) { return "reports/" + key + ".json"; }
  std::optional<std::string> read(const std::string& name) const;
  void write(const std::string& name, const std::string& content) const;
  void remove_strays(const std::vector<std::string>& keys) const;

 private:
  std::string path_;
};

}  // namespace coldcase::triage
