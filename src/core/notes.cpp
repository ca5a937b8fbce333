#include "core/notes.hpp"

#include <algorithm>

#include "core/elf_format.hpp"

namespace coldcase {
namespace {

using Kind = CoreProblem::Kind;

// struct elf_prstatus, x86_64: offsets into the note's 336 bytes.
constexpr std::uint64_t prstatus_size = 336, prstatus_cursig = 12, prstatus_pid = 32,
                        prstatus_ppid = 36, prstatus_utime = 48, prstatus_stime = 64,
                        prstatus_registers = 112;
// struct elf_prpsinfo, x86_64.
constexpr std::uint64_t prpsinfo_uid = 16, prpsinfo_pid = 24, prpsinfo_ppid = 28,
                        prpsinfo_fname = 40, prpsinfo_size = 136, fname_size = 16;

template <Plain T>
T field(Bytes note, std::uint64_t offset) {
  return parse_at<T>(note, offset).value_or(T{});
}

// A struct timeval; nothing when it holds no time that a machine can have run.
std::optional<std::uint64_t> microseconds(Bytes note, std::uint64_t offset) {
  constexpr std::uint64_t most_seconds = std::uint64_t{1} << 40, second = 1'000'000;
  const auto seconds = field<std::uint64_t>(note, offset);
  const auto rest = field<std::uint64_t>(note, offset + 8);
  if (seconds > most_seconds || rest >= second) return std::nullopt;
  return seconds * second + rest;
}

std::optional<CpuTime> cpu_time(Bytes note) {
  const auto user = microseconds(note, prstatus_utime);
  const auto system = microseconds(note, prstatus_stime);
  if (!user || !system) return std::nullopt;
  return CpuTime{*user, *system, false};
}

void parse_prstatus(Bytes note, Core& core) {
  if (note.size() < prstatus_size) {
    core.problems.push_back({Kind::unknown_note_size, elf::nt_prstatus});
    return;
  }
  CoreThread thread;
  thread.tid = field<std::int32_t>(note, prstatus_pid);
  thread.ppid = field<std::int32_t>(note, prstatus_ppid);
  thread.signal = field<std::int16_t>(note, prstatus_cursig);
  thread.cpu = cpu_time(note);
  for (std::size_t i = 0; i < thread.registers.words.size(); ++i) {
    thread.registers.words[i] = field<std::uint64_t>(note, prstatus_registers + 8 * i);
  }
  core.threads.push_back(thread);
}

void parse_prpsinfo(Bytes note, Core& core) {
  if (note.size() < prpsinfo_size) {
    core.problems.push_back({Kind::unknown_note_size, elf::nt_prpsinfo});
    return;
  }
  ProcessInfo info;
  info.pid = field<std::int32_t>(note, prpsinfo_pid);
  info.ppid = field<std::int32_t>(note, prpsinfo_ppid);
  info.uid = field<std::uint32_t>(note, prpsinfo_uid);
  info.name = text_at(slice(note, prpsinfo_fname, fname_size), 0);
  core.process = info;
}

void parse_siginfo(Bytes note, Core& core) {
  // The kernel writes one; gcore one per thread, all the SIGSTOP of its own ptrace: the first
  // stands.
  if (core.signal || note.size() < 24) return;
  core.signal = SignalInfo{field<std::int32_t>(note, 0), field<std::int32_t>(note, 8),
                           Addr{field<std::uint64_t>(note, 16)}, field<std::int32_t>(note, 16)};
}

void parse_auxv(Bytes note, Core& core) {
  for (std::uint64_t at = 0; at + 16 <= note.size(); at += 16) {
    const auto type = field<std::uint64_t>(note, at);
    if (type == 0) break;
    core.auxv.emplace_back(type, field<std::uint64_t>(note, at + 8));
  }
}

// count, page_size, {start, end, offset} * count, names. The trap: the kernel writes page_size 4096
// and offsets in pages, gdb writes page_size 1 and offsets in bytes. Always multiply by the note's
// field.
void parse_files(Bytes note, Core& core) {
  const auto count = field<std::uint64_t>(note, 0);
  const auto unit = field<std::uint64_t>(note, 8);
  if (note.size() < 16 || count > (note.size() - 16) / 24) {
    core.problems.push_back({Kind::bad_file_note, count});
    return;
  }
  std::uint64_t name_at = 16 + count * 24;
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t row = 16 + i * 24;
    FileMapping file;
    file.range = {Addr{field<std::uint64_t>(note, row)}, Addr{field<std::uint64_t>(note, row + 8)}};
    file.path = text_at(note, name_at);
    name_at += file.path.size() + 1;
    const bool sane =
        file.range.begin < file.range.end && !file.path.empty() &&
        !__builtin_mul_overflow(field<std::uint64_t>(note, row + 16), unit, &file.offset);
    if (sane) core.files.push_back(file);
    if (!sane) core.problems.push_back({Kind::bad_file_note, i});
    if (name_at >= note.size() && i + 1 < count) {
      core.problems.push_back({Kind::bad_file_note, i});
      break;
    }
  }
}

void parse_note(std::string_view name, std::uint32_t type, Bytes content, Core& core) {
  if (name == "GDB" && type == elf::nt_gdb_tdesc) core.writer = Writer::gcore;
  if (name != "CORE") return;  // LINUX: extended registers; others: not ours. Unknown is no error.
  switch (type) {
    case elf::nt_prstatus:
      return parse_prstatus(content, core);
    case elf::nt_prpsinfo:
      return parse_prpsinfo(content, core);
    case elf::nt_siginfo:
      return parse_siginfo(content, core);
    case elf::nt_auxv:
      return parse_auxv(content, core);
    case elf::nt_file: {
      // gdb before 14 writes no target description for some machines; its unit of 1 gives it away.
      if (field<std::uint64_t>(content, 8) == 1) core.writer = Writer::gcore;
      return parse_files(content, core);
    }
    default:
      return;
  }
}

constexpr std::uint64_t padded(std::uint32_t size) {
  return (std::uint64_t{size} + 3) & ~std::uint64_t{3};
}

}  // namespace

void parse_notes(Bytes part, bool cut, Core& core) {
  while (const auto header = parse_at<elf::NoteHeader>(part, 0)) {
    const std::uint64_t content_at = sizeof(elf::NoteHeader) + padded(header->namesz);
    if (content_at > part.size() || header->descsz > part.size() - content_at) {
      cut = true;
      break;
    }
    const std::string_view name = text_at(slice(part, sizeof(elf::NoteHeader), header->namesz), 0);
    parse_note(name, header->type, slice(part, content_at, header->descsz), core);
    const std::uint64_t whole = content_at + padded(header->descsz);
    // The extended registers are most of a core's notes (2.5 KB a thread) and tell cores apart no
    // better.
    if (!(name == "LINUX" && header->type == elf::nt_x86_xstate))
      core.identity.push_back(slice(part, 0, whole));
    part = slice(part, whole, part.size());
  }
  if (!part.empty()) core.identity.push_back(part);
  if (cut) core.problems.push_back({Kind::notes_cut, part.size()});
  std::ranges::sort(core.files, {}, [](const FileMapping& file) { return file.range.begin; });
}

}  // namespace coldcase
