#include "support/archives.hpp"

#include <archive.h>
#include <archive_entry.h>
#include <nettle/base64.h>

#include <cstdlib>
#include <string>

namespace coldcase::test {
namespace {

la_ssize_t take(archive* /*writer*/, void* out, const void* data, std::size_t size) {
  static_cast<std::string*>(out)->append(static_cast<const char*>(data), size);
  return static_cast<la_ssize_t>(size);
}

void demand(int result) {
  if (result < ARCHIVE_WARN) std::abort();
}

void set_format(archive* writer, std::string_view format) {
  if (format == "raw") return demand(::archive_write_set_format_raw(writer));
  if (format == "ustar") return demand(::archive_write_set_format_ustar(writer));
  if (format == "pax") return demand(::archive_write_set_format_pax(writer));
  demand(::archive_write_set_format_zip(writer));
  if (format == "zip:store") demand(::archive_write_set_options(writer, "zip:compression=store"));
}

void add_filter(archive* writer, std::string_view filter) {
  if (filter == "gzip") demand(::archive_write_add_filter_gzip(writer));
  if (filter == "xz") demand(::archive_write_add_filter_xz(writer));
  if (filter == "bzip2") demand(::archive_write_add_filter_bzip2(writer));
  if (filter == "lz4") demand(::archive_write_add_filter_lz4(writer));
  if (filter == "zstd") demand(::archive_write_add_filter_zstd(writer));
}

std::string base64(std::string_view plain) {
  std::string text(BASE64_ENCODE_RAW_LENGTH(plain.size()), '\0');
  ::nettle_base64_encode_raw(text.data(), plain.size(),
                             reinterpret_cast<const std::uint8_t*>(plain.data()));
  return text;
}

}  // namespace

std::string archived(std::string_view format, std::string_view filter,
                     const std::vector<File>& files) {
  std::string out;
  archive* writer = ::archive_write_new();
  set_format(writer, format);
  add_filter(writer, filter);
  demand(::archive_write_set_bytes_in_last_block(writer, 1));
  demand(::archive_write_open(writer, &out, nullptr, take, nullptr));
  for (const File& file : files) {
    archive_entry* entry = ::archive_entry_new();
    ::archive_entry_set_pathname(entry, file.name.c_str());
    ::archive_entry_set_filetype(entry, AE_IFREG);
    ::archive_entry_set_perm(entry, 0644);
    ::archive_entry_set_size(entry, static_cast<la_int64_t>(file.content.size()));
    demand(::archive_write_header(writer, entry));
    if (::archive_write_data(writer, file.content.data(), file.content.size()) < 0) std::abort();
    ::archive_entry_free(entry);
  }
  demand(::archive_write_close(writer));
  ::archive_write_free(writer);
  return out;
}

std::string apport_report(std::string_view core) {
  const std::string packed = archived("raw", "gzip", {{"core", std::string(core)}});
  std::string text = "ProblemType: Crash\nDate: Sat Nov 21 06:55:00 2026\nCoreDump: base64\n";
  for (std::size_t at = 0; at < packed.size(); at += 100)
    text += " " + base64(std::string_view(packed).substr(at, 100)) + "\n";
  return text + "ExecutablePath: /usr/bin/worker\nProcCmdline: worker --secret\n";
}

std::string elf_of(unsigned type, std::string_view rest) {
  std::string text(
      "\x7f"
      "ELF\x02\x01\x01",
      7);
  text.resize(64);
  text[16] = static_cast<char>(type);
  text[18] = 62;  // EM_X86_64
  return text + std::string(rest);
}

}  // namespace coldcase::test
