#include "core/core.hpp"

#include <algorithm>

#include "core/elf_format.hpp"
#include "core/messages.hpp"
#include "core/notes.hpp"

namespace coldcase {
namespace {

using Kind = CoreProblem::Kind;

bool is_elf(const FileSpan& file) {
  return parse_at<std::uint32_t>(file, 0) == std::uint32_t{0x464c457f};
}

elf::Header check_header(const FileSpan& file, std::string_view name) {
  if (!is_elf(file)) throw messages::not_elf(name, file.bytes(0, 256));
  const auto wide = parse_at<std::uint8_t>(file, 4);
  if (wide && *wide != 2) throw messages::not_64_bit(name);
  const auto order = parse_at<std::uint8_t>(file, 5);
  if (order && *order != 1) throw messages::not_little_endian(name);
  const auto header = parse_at<elf::Header>(file, 0);
  if (!header) throw messages::nothing_left(name, file.size());
  if (header->type != elf::type_core) throw messages::not_a_core(name, header->type);
  if (header->machine != elf::machine_x86_64)
    throw messages::foreign_machine(name, header->machine);
  return *header;
}

// How many program headers there are. More than 65,534 (PN_XNUM): the count is in section header 0,
// which the kernel puts at the end of the file; a cut core has lost it, and the entries are walked
// up to the first segment's bytes instead.
std::uint64_t count_headers(const elf::Header& header, const FileSpan& file) {
  if (header.phnum != elf::phnum_in_section_zero) return header.phnum;
  if (const auto section = parse_at<elf::SectionHeader>(file, header.shoff);
      section && header.shoff != 0) {
    return section->info;
  }
  std::uint64_t first_bytes = file.size();
  std::uint64_t count = 0;
  for (std::uint64_t at = header.phoff; at + sizeof(elf::ProgramHeader) <= first_bytes; ++count) {
    const auto entry = parse_at<elf::ProgramHeader>(file, at);
    if (!entry) break;
    if (entry->offset != 0) first_bytes = std::min(first_bytes, entry->offset);
    at += sizeof(elf::ProgramHeader);
  }
  return count;
}

void add_segment(const elf::ProgramHeader& header, Core& core) {
  const auto end = checked_add(Addr{header.vaddr}, header.memsz);
  std::uint64_t file_end = 0;
  if (!end || header.memsz == 0 || header.filesz > header.memsz ||
      __builtin_add_overflow(header.offset, header.filesz, &file_end)) {
    if (header.memsz != 0) core.problems.push_back({Kind::segment_overflow, header.vaddr});
    return;
  }
  core.declared_bytes = std::max(core.declared_bytes, file_end);
  Segment segment;
  segment.range = {Addr{header.vaddr}, *end};
  segment.saved = header.filesz;
  segment.bytes = core.file.part(header.offset, header.filesz);
  segment.readable = (header.flags & elf::flag_r) != 0;
  segment.writable = (header.flags & elf::flag_w) != 0;
  segment.executable = (header.flags & elf::flag_x) != 0;
  core.segments.push_back(segment);
}

// Both writers make one PT_NOTE. Others are read when they follow it: headers over the same bytes,
// each read anew, would cost the product of both counts.
void add_notes(const elf::ProgramHeader& header, std::uint64_t& read_to, Core& core) {
  std::uint64_t end = 0;
  if (__builtin_add_overflow(header.offset, header.filesz, &end)) return;
  core.declared_bytes = std::max(core.declared_bytes, end);
  const FileSpan part = core.file.part(header.offset, header.filesz);
  if (header.offset < read_to) {
    core.problems.push_back({Kind::notes_cut, part.size()});
    return;
  }
  read_to = end;
  parse_notes(part.bytes(), part.size() < header.filesz, core);
}

}  // namespace

std::optional<std::uint64_t> Core::auxv_value(std::uint64_t type) const {
  for (const auto& [key, value] : auxv) {
    if (key == type) return value;
  }
  return std::nullopt;
}

Core parse_core(const FileSpan& file, std::string_view name) {
  const elf::Header header = check_header(file, name);
  Core core;
  core.file = file;
  core.identity.push_back(file.bytes(0, sizeof(elf::Header)));
  const std::uint64_t wanted = count_headers(header, file);
  std::uint64_t count = 0;
  std::uint64_t notes_read_to = 0;
  for (; count < wanted; ++count) {
    const auto entry =
        parse_at<elf::ProgramHeader>(file, header.phoff + count * sizeof(elf::ProgramHeader));
    if (!entry) break;
    if (entry->type == elf::pt_load) add_segment(*entry, core);
    if (entry->type == elf::pt_note) add_notes(*entry, notes_read_to, core);
  }
  if (count < wanted) core.problems.push_back({Kind::headers_cut, count});
  core.identity.push_back(file.bytes(header.phoff, count * sizeof(elf::ProgramHeader)));
  // The kernel's core_sort_vma = 1 writes the smallest mappings first: never rely on the file's
  // order.
  std::ranges::sort(core.segments, {}, [](const Segment& s) { return s.range.begin; });
  const bool memory =
      std::ranges::any_of(core.segments, [](const Segment& s) { return !s.bytes.empty(); });
  if (core.threads.empty() && !memory) throw messages::nothing_left(name, file.size());
  if (core.threads.empty()) core.problems.push_back({Kind::no_threads, 0});
  if (core.writer == Writer::other && !core.threads.empty() && core.signal)
    core.writer = Writer::kernel;
  settle_times(core);
  return core;
}

FileKind kind_of_file(const FileSpan& file) {
  const auto header = parse_at<elf::Header>(file, 0);
  if (!is_elf(file) || !header) return FileKind::other;
  if (header->type == elf::type_core) return FileKind::core;
  return header->type == elf::type_executable || header->type == elf::type_shared
             ? FileKind::program
             : FileKind::other;
}

}  // namespace coldcase
