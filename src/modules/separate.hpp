// What the sections and notes of an ELF file tell of the other files that belong to it: its debug
// file by name, the file dwz moved common parts to, the symbols packed inside it, its package. Pure
// functions of bytes; whoever opens the files proves that they are the right ones.
#pragma once

#include <optional>
#include <string>
#include <vector>

#include "bytes/view.hpp"

namespace coldcase {

// "0a1f": two digits a byte, as build-ids are written.
std::string hex_digits(Bytes bytes);

// .gnu_debuglink: a file's name, zeros up to the next multiple of four, a CRC-32 of that file.
struct DebugLink {
  std::string name;  // without folders
  std::uint32_t crc = 0;
};
std::optional<DebugLink> parse_debug_link(Bytes section);

// .gnu_debugaltlink: the path of the file that dwz -m made, and the build-id it has to have.
struct AltLink {
  std::string path;
  std::string build_id;
};
std::optional<AltLink> parse_alt_link(Bytes section);

// The CRC of .gnu_debuglink over a whole file.
std::uint32_t debug_link_crc(Bytes file);

// .gnu_debugdata: an ELF file with the symbols of functions, packed with xz (MiniDebugInfo). Empty
// when it is damaged or larger than `most` bytes.
std::vector<std::byte> unpack_debug_data(Bytes section, std::size_t most);

// The package a file was installed from, as its ELF package note tells
// (https://systemd.io/ELF_PACKAGE_METADATA). Only what is harmless on a command line is kept.
struct PackageNote {
  std::string type;           // "deb", "rpm"
  std::string name, version;  // of the source package: dh-package-notes, dpkg, Fedora's macros
  std::string architecture;
};
std::optional<PackageNote> parse_package_note(Bytes notes);

}  // namespace coldcase
