// What those who collect cores lay beside them or around them: systemd-coredump, ABRT, Apport.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bytes/spool.hpp"
#include "bytes/view.hpp"

namespace coldcase {

// systemd-coredump's name of a core, core.COMM.UID.BOOT.PID.MICROSECONDS[.zst]: seconds since 1970.
std::optional<std::int64_t> time_in_name(std::string_view name);

// The extended attributes it gives the file: user.coredump.timestamp, user.coredump.exe.
struct Attributes {
  std::optional<std::int64_t> taken_at;  // seconds since 1970
  std::string executable;
};
Attributes read_attributes(int fd);

// The core in a folder of ABRT's (its item "coredump", packed or not); empty when there is none.
std::string core_in_folder(const std::string& folder);

// A problem report of Apport's: fields as in a Debian control file, "CoreDump: base64" among them.
bool is_apport(Bytes head);
struct ApportReport {
  std::string executable;
  bool has_core = false;  // what follows is written to the spool: a gzip stream
  std::string problem;    // why the core ends early
};
ApportReport read_apport(Bytes text, Spool& core);

}  // namespace coldcase
