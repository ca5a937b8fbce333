#include "bytes/collectors.hpp"

#include <nettle/base64.h>
#include <sys/stat.h>
#include <sys/xattr.h>

#include <algorithm>
#include <array>
#include <charconv>
#include <cstring>

#include "base/text.hpp"

namespace coldcase {
namespace {

constexpr std::int64_t million = 1'000'000;

std::optional<std::int64_t> number(std::string_view text) {
  std::int64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size() || value < 0) return std::nullopt;
  return value;
}

// Takes what follows the last dot off the text.
std::string_view take_last(std::string_view& text) {
  const auto dot = text.rfind('.');
  if (dot == std::string_view::npos) return {};
  const std::string_view part = text.substr(dot + 1);
  text = text.substr(0, dot);
  return part;
}

std::string attribute(int fd, const char* name) {
  std::array<char, 4096> value{};
  const ssize_t size = ::fgetxattr(fd, name, value.data(), value.size());
  return size <= 0 ? std::string() : std::string(value.data(), static_cast<std::size_t>(size));
}

std::string_view next_line(std::string_view& text) {
  const auto end = text.find('\n');
  const std::string_view line = text.substr(0, end);
  text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
  return line;
}

// The lines of a field's value: each begins with a space.
class Base64 {
 public:
  Base64() { ::nettle_base64_decode_init(&state_); }
  // False when the line is no base64. Each of Apport's lines is padded by itself.
  bool decode(std::string_view line, Spool& into) {
    constexpr std::size_t at_once = std::size_t{1} << 16;
    ::nettle_base64_decode_init(&state_);
    for (std::size_t at = 0; at < line.size(); at += at_once) {
      const std::string_view part = line.substr(at, at_once);
      std::array<std::uint8_t, BASE64_DECODE_LENGTH(at_once)> plain{};
      std::size_t size = plain.size();
      if (::nettle_base64_decode_update(&state_, &size, plain.data(), part.size(), part.data()) !=
          1)
        return false;
      into.append(std::as_bytes(std::span(plain.data(), size)));
    }
    return ::nettle_base64_decode_final(&state_) == 1;
  }

 private:
  base64_decode_ctx state_{};
};

}  // namespace

std::optional<std::int64_t> time_in_name(std::string_view name) {
  for (const std::string_view suffix : {".zst", ".lz4", ".xz"}) {
    if (name.ends_with(suffix)) name.remove_suffix(suffix.size());
  }
  if (!name.starts_with("core.")) return std::nullopt;
  const auto time = number(take_last(name));
  const auto pid = number(take_last(name));
  const std::string_view boot = take_last(name);
  const auto uid = number(take_last(name));
  const bool id =
      boot.size() == 32 && boot.find_first_not_of("0123456789abcdef") == std::string_view::npos;
  if (!time || !pid || !uid || !id || *time < million * million) return std::nullopt;
  return *time / million;
}

Attributes read_attributes(int fd) {
  Attributes attributes;
  // Seconds in some versions, microseconds in others.
  if (const auto time = number(attribute(fd, "user.coredump.timestamp")); time && *time > 0)
    attributes.taken_at = *time > 100 * million * million ? *time / million : *time;
  attributes.executable = attribute(fd, "user.coredump.exe");
  return attributes;
}

std::string core_in_folder(const std::string& folder) {
  for (const char* name : {"coredump", "coredump.zst", "coredump.lz4", "coredump.xz"}) {
    std::string path = folder + "/" + name;
    struct stat about {};
    if (::stat(path.c_str(), &about) == 0 && S_ISREG(about.st_mode)) return path;
  }
  return {};
}

bool is_apport(Bytes head) {
  return text_at(head, 0).starts_with("ProblemType:");
}

ApportReport read_apport(Bytes text, Spool& core) {
  ApportReport report;
  std::string_view rest(reinterpret_cast<const char*>(text.data()), text.size());
  bool inside = false;
  Base64 base64;
  constexpr std::string_view executable = "ExecutablePath: ";
  while (!rest.empty() && report.problem.empty()) {
    const std::string_view line = next_line(rest);
    if (inside && line.starts_with(' ')) {
      if (!base64.decode(line.substr(1), core)) report.problem = "its CoreDump field is damaged";
      continue;
    }
    inside = line == "CoreDump: base64";
    report.has_core = report.has_core || inside;
    if (line.starts_with(executable) && line.size() < 4096)
      report.executable = std::string(line.substr(executable.size()));
  }
  return report;
}

}  // namespace coldcase
