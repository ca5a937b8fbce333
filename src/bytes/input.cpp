#include "bytes/input.hpp"

#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <utility>

#include "base/text.hpp"
#include "bytes/archive.hpp"
#include "bytes/collectors.hpp"
#include "bytes/handles.hpp"
#include "bytes/messages.hpp"
#include "bytes/spool.hpp"

namespace coldcase {
namespace {

constexpr std::size_t head_size = 512;  // holds every magic number, tar's at 257 too
constexpr std::size_t most_cores = 1024, most_companions = 4096;
constexpr std::string_view side_car_suffix = ".side-car.json";

// What the first bytes of an archive's member are.
enum class Part : std::uint8_t { other, core, file, packed };

Part part_of(const std::string& name, Bytes head) {
  if (parse_at<std::uint32_t>(head, 0) == 0x464c457fu)  // ELF; e_type at 16, ET_CORE
    return parse_at<std::uint16_t>(head, 16) == std::uint16_t{4} ? Part::core : Part::file;
  if (name.ends_with(side_car_suffix)) return Part::file;
  return compression_of(head) == Compression::none ? Part::other : Part::packed;
}

// A packed member is a core when its content begins like one: logs are packed as well.
bool holds_core(Bytes packed) {
  const std::vector<std::byte> head = peek(packed, head_size);
  return part_of("", head) == Part::core;
}

struct Opened {
  Input input;  // without content
  Stored stored;
  Unpack unpack = Unpack::as_read;
};

Input fill(Opened opened) {
  Input& input = opened.input;
  input.compression = compression_of(opened.stored.bytes);
  if (input.compression == Compression::none) {
    input.stored = std::move(opened.stored);
    return std::move(input);
  }
  if (input.compression == Compression::zstd && opened.unpack == Unpack::as_read) {
    input.frames = open_frames(opened.stored);
    if (input.frames) return std::move(input);
  }
  Spool spool;
  std::string problem = unpack_stream(opened.stored.bytes, input.compression, spool);
  if (spool.size() == 0)
    throw messages::cannot_unpack(input.path, problem.empty() ? "nothing inside" : problem,
                                  word(input.compression));
  if (input.cut_short.empty()) input.cut_short = std::move(problem);
  input.stored = Stored(spool.map());
  return std::move(input);
}

// The files of an archive, sorted.
class Unpacker {
 public:
  Unpacker(Input whole, Unpack unpack, std::string member)
      : whole_(std::move(whole)), unpack_(unpack), member_(std::move(member)) {}

  std::vector<Input> run() {
    const auto wanted = [&](const std::string& name, Bytes head) { return wants(name, head); };
    const ArchiveEnd end =
        read_archive(whole_.stored, wanted, [&](Member member) { keep(std::move(member)); });
    if (cores_.empty())
      throw member_.empty() ? messages::no_core_in(whole_.path, end.files, end.problem)
                            : messages::no_such_member(whole_.path, member_);
    const auto beside = std::make_shared<const Companions>(std::move(companions_));
    std::vector<Input> inputs;
    for (Member& core : cores_) inputs.push_back(open(std::move(core), beside));
    return inputs;
  }

 private:
  bool wants(const std::string& name, Bytes head) const {
    switch (part_of(name, head)) {
      case Part::file:
        return companions_.files.size() < most_companions;
      case Part::core:
        return is_meant(name);
      case Part::packed:
        return is_meant(name) && holds_core(head);
      case Part::other:
        return false;
    }
    return false;
  }

  bool is_meant(const std::string& name) const {
    return cores_.size() < most_cores && (member_.empty() || member_ == name);
  }

  void keep(Member member) {
    const Part part = part_of(member.name, member.content.bytes);
    if (part == Part::core || part == Part::packed) {
      cores_.push_back(std::move(member));
    } else if (member.cut_short.empty() && allow_writes(member.content.bytes)) {
      std::string shown = whole_.path + ":" + member.name;
      companions_.files.push_back(
          {std::move(member.name), std::move(shown), std::move(member.content)});
    }
  }

  Input open(Member core, const std::shared_ptr<const Companions>& beside) {
    Opened opened{{}, std::move(core.content), unpack_};
    opened.input.path = whole_.path + ":" + core.name;
    opened.input.file_bytes = opened.stored.bytes.size();
    opened.input.taken = whole_.taken;
    if (const auto time = time_in_name(base_name(core.name))) opened.input.taken = {*time, "name"};
    opened.input.beside = beside;
    opened.input.cut_short = core.cut_short.empty() ? whole_.cut_short : std::move(core.cut_short);
    Input input = fill(std::move(opened));
    if (input.compression == Compression::none) input.compression = whole_.compression;
    return input;
  }

  Input whole_;
  Unpack unpack_;
  std::string member_;
  std::vector<Member> cores_;
  Companions companions_;
};

std::vector<Input> read_all(Opened opened, std::string member) {
  const Unpack unpack = opened.unpack;
  const Stored packed = opened.stored;
  Input whole = fill(std::move(opened));
  std::vector<Input> inputs;
  // Of frames nothing is unpacked before it is asked for.
  const bool archive = whole.frames ? is_archive(peek(packed.bytes, head_size))
                                    : is_archive(slice(whole.stored.bytes, 0, head_size));
  if (archive && whole.frames) {
    whole.frames.reset();
    whole = fill({std::move(whole), packed, Unpack::first});
  }
  if (archive) return Unpacker(std::move(whole), unpack, std::move(member)).run();
  if (!member.empty()) throw messages::no_such_member(whole.path, member);
  inputs.push_back(std::move(whole));
  return inputs;
}

Opened unpack_apport(Opened report) {
  Spool spool;
  ApportReport found = read_apport(report.stored.bytes, spool);
  if (!found.has_core || spool.size() == 0) throw messages::no_core_in_report(report.input.path);
  report.input.executable = std::move(found.executable);
  report.input.cut_short = std::move(found.problem);
  report.stored = Stored(spool.map());
  return report;
}

FileHandle open_readable(const std::string& path) {
  // O_NONBLOCK: opening a FIFO would wait for its writer; a regular file does not notice.
  FileHandle file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  if (!file.valid()) throw messages::cannot_open(path, errno);
  return file;
}

struct stat status_of(const FileHandle& file, const std::string& path) {
  struct stat about {};
  if (::fstat(file.get(), &about) != 0) throw messages::cannot_open(path, errno);
  return about;
}

std::string folder_of(const std::string& path) {
  const auto slash = path.rfind('/');
  if (slash == std::string::npos) return ".";
  return slash == 0 ? "/" : path.substr(0, slash);
}

Opened open_file(const std::string& given, Unpack unpack) {
  std::string path = given;
  FileHandle file = open_readable(path);
  struct stat about = status_of(file, path);
  if (S_ISDIR(about.st_mode)) {
    path = core_in_folder(given);
    if (path.empty()) throw messages::is_directory(given);
    file = open_readable(path);
    about = status_of(file, path);
  }
  if (!S_ISREG(about.st_mode)) throw messages::not_a_file(path);
  if (about.st_size == 0) throw messages::is_empty(path);
  Opened opened;
  opened.unpack = unpack;
  Input& input = opened.input;
  input.path = path;
  input.file_bytes = static_cast<std::uint64_t>(about.st_size);
  input.taken = {about.st_mtim.tv_sec, "mtime"};
  if (const auto time = time_in_name(base_name(path))) input.taken = {*time, "name"};
  Attributes attributes = read_attributes(file.get());
  if (attributes.taken_at) input.taken = {*attributes.taken_at, "xattr"};
  input.executable = std::move(attributes.executable);
  Companions beside;
  beside.folder = folder_of(path);
  input.beside = std::make_shared<const Companions>(std::move(beside));
  opened.stored = Stored(Mapping(file.get(), input.file_bytes));
  return opened;
}

Opened open_standard_input(Unpack unpack) {
  Opened opened;
  opened.unpack = unpack;
  opened.input.path = "(standard input)";
  Spool spool;
  copy_stream(STDIN_FILENO, opened.input.path, spool);
  if (spool.size() == 0) throw messages::is_empty(opened.input.path);
  opened.input.file_bytes = spool.size();
  opened.stored = Stored(spool.map());
  return opened;
}

bool exists(const std::string& path) {
  struct stat about {};
  return ::stat(path.c_str(), &about) == 0;
}

// ARCHIVE:MEMBER, where no file has the whole name: both, or the path alone.
std::pair<std::string, std::string> split_member(const std::string& path) {
  if (exists(path)) return {path, ""};
  for (auto colon = path.rfind(':'); colon != std::string::npos && colon > 0;
       colon = path.rfind(':', colon - 1)) {
    if (exists(path.substr(0, colon))) return {path.substr(0, colon), path.substr(colon + 1)};
  }
  return {path, ""};
}

}  // namespace

const Companion* Companions::find(std::string_view name) const {
  const auto found = std::ranges::find(files, name, &Companion::shown);
  return found == files.end() ? nullptr : &*found;
}

std::vector<Input> open_inputs(const std::string& path, Unpack unpack) {
  auto [file, member] = split_member(path);
  Opened opened = path == "-" ? open_standard_input(unpack) : open_file(file, unpack);
  if (is_apport(slice(opened.stored.bytes, 0, head_size)))
    opened = unpack_apport(std::move(opened));
  return read_all(std::move(opened), std::move(member));
}

Input open_input(const std::string& path, Unpack unpack) {
  std::vector<Input> inputs = open_inputs(path, unpack);
  if (inputs.size() > 1) {
    std::vector<std::string> names;
    names.reserve(inputs.size());
    for (const Input& input : inputs) names.push_back(input.path);
    throw messages::several_cores(path, names);
  }
  return std::move(inputs.front());
}

bool is_packed(const std::string& path) {
  const FileHandle file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  std::array<std::byte, head_size> head{};
  const ssize_t got = file.valid() ? ::pread(file.get(), head.data(), head.size(), 0) : 0;
  const Bytes start{head.data(), static_cast<std::size_t>(std::max<ssize_t>(got, 0))};
  return compression_of(start) != Compression::none || is_archive(start) || is_apport(start);
}

bool may_hold_core(const std::string& path) {
  const FileHandle file{::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)};
  struct stat about {};
  if (!file.valid() || ::fstat(file.get(), &about) != 0 || !S_ISREG(about.st_mode)) return true;
  const Mapping mapping(file.get(), static_cast<std::uint64_t>(about.st_size));
  const std::vector<std::byte> head = peek(mapping.bytes(), head_size);
  return head.size() < 64 || part_of("", head) == Part::core || is_archive(head);
}

}  // namespace coldcase
