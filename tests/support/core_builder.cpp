#include "support/core_builder.hpp"

#include <algorithm>
#include <utility>

namespace coldcase::test {
namespace {

constexpr std::uint32_t type_load = 1, type_note = 4;
constexpr std::uint16_t many_headers = 0xffff;

void pad_to(Blob& blob, std::uint64_t alignment) {
  while (blob.size() % alignment != 0) blob.push_back(std::byte{0});
}

void append_text(Blob& blob, std::string_view text, std::size_t width) {
  for (std::size_t i = 0; i < width; ++i) {
    blob.push_back(i < text.size() ? static_cast<std::byte>(text[i]) : std::byte{0});
  }
}

void append_blob(Blob& blob, const Blob& more) {
  blob.insert(blob.end(), more.begin(), more.end());
}

void write_elf_header(Blob& file, std::uint16_t count, std::uint64_t section_at) {
  Blob head;
  append_text(head,
              "\x7f"
              "ELF\x02\x01\x01",
              16);
  append<std::uint16_t>(head, 4);   // ET_CORE
  append<std::uint16_t>(head, 62);  // x86_64
  append<std::uint32_t>(head, 1);   // version
  append<std::uint64_t>(head, 0);   // entry
  append<std::uint64_t>(head, offsets::header_size);
  append<std::uint64_t>(head, section_at);
  append<std::uint32_t>(head, 0);  // flags
  append<std::uint16_t>(head, offsets::header_size);
  append<std::uint16_t>(head, offsets::ph_size);
  append<std::uint16_t>(head, count);
  append<std::uint16_t>(head, section_at == 0 ? 0 : 64);
  append<std::uint16_t>(head, section_at == 0 ? 0 : 1);
  append<std::uint16_t>(head, 0);  // names
  std::ranges::copy(head, file.begin());
}

struct Entry {
  std::uint32_t type;
  std::uint32_t flags;
  std::uint64_t offset;
  std::uint64_t address;
  std::uint64_t in_file;
  std::uint64_t in_memory;
};

void write_entry(Blob& file, std::size_t index, const Entry& entry, std::uint64_t alignment) {
  Blob raw;
  append(raw, entry.type);
  append(raw, entry.flags);
  append(raw, entry.offset);
  append(raw, entry.address);
  append<std::uint64_t>(raw, 0);
  append(raw, entry.in_file);
  append(raw, entry.in_memory);
  append(raw, alignment);
  const auto at = static_cast<std::ptrdiff_t>(Built::header_at(index));
  std::ranges::copy(raw, file.begin() + at);
}

}  // namespace

Blob text_blob(std::string_view text) {
  Blob blob;
  append_text(blob, text, text.size());
  return blob;
}

CoreBuilder::CoreBuilder(Style style) : style_(style) {}

CoreBuilder& CoreBuilder::segment(SegmentPlan plan) {
  segments_.push_back(std::move(plan));
  return *this;
}

CoreBuilder& CoreBuilder::note(std::string_view name, std::uint32_t type, const Blob& content) {
  notes_.push_back({std::string(name), type, content});
  return *this;
}

CoreBuilder& CoreBuilder::thread(const ThreadPlan& plan) {
  Blob raw;
  append<std::int32_t>(raw, plan.signal);
  append<std::int64_t>(raw, 0);  // code, errno
  append(raw, plan.signal);
  append<std::int16_t>(raw, 0);
  append<std::uint64_t>(raw, 0);  // pending
  append<std::uint64_t>(raw, 0);  // held
  append(raw, plan.tid);
  append(raw, plan.ppid);
  append<std::int64_t>(raw, 0);  // group, session
  for (const std::uint64_t part : plan.user_time) append(raw, part);
  for (const std::uint64_t part : plan.system_time) append(raw, part);
  for (int i = 0; i < 4; ++i) append<std::uint64_t>(raw, 0x7777);  // the children's times
  for (const std::uint64_t word : plan.registers) append(raw, word);
  append<std::int64_t>(raw, 1);  // pr_fpvalid and padding
  return note("CORE", 1, raw);
}

CoreBuilder& CoreBuilder::process(const ProcessPlan& plan) {
  Blob raw;
  append_text(raw, std::string_view("\0S\0\0", 4), 8);
  append<std::uint64_t>(raw, 0x400000);  // flags
  append(raw, plan.uid);
  append<std::uint32_t>(raw, 0x6666);  // gid
  append(raw, plan.pid);
  append(raw, plan.ppid);
  append<std::int64_t>(raw, 0);  // group, session
  append_text(raw, std::string_view(plan.name).substr(0, 15), 16);
  append_text(raw, plan.name + " --some arguments", 80);
  return note("CORE", 3, raw);
}

CoreBuilder& CoreBuilder::signal(const SignalPlan& plan) {
  Blob raw;
  append(raw, plan.number);
  append<std::int32_t>(raw, 0x5555);  // errno
  append(raw, plan.code);
  append<std::int32_t>(raw, 0);
  append(raw, plan.payload);
  raw.resize(128);
  return note("CORE", 0x53494749, raw);
}

CoreBuilder& CoreBuilder::auxv(const std::vector<std::array<std::uint64_t, 2>>& entries) {
  Blob raw;
  for (const auto& [type, value] : entries) {
    append(raw, type);
    append(raw, value);
  }
  raw.resize(raw.size() + 16);
  return note("CORE", 6, raw);
}

CoreBuilder& CoreBuilder::files(const std::vector<FilePlan>& mappings) {
  const std::uint64_t unit = style_ == Style::kernel ? 4096 : 1;
  Blob raw;
  append<std::uint64_t>(raw, mappings.size());
  append(raw, unit);
  for (const FilePlan& file : mappings) {
    append(raw, file.begin);
    append(raw, file.end);
    append(raw, file.offset / unit);
  }
  for (const FilePlan& file : mappings) append_text(raw, file.path, file.path.size() + 1);
  return note("CORE", 0x46494c45, raw);
}

CoreBuilder& CoreBuilder::gdb_target() {
  return note("GDB", 0xff000000, text_blob("<?xml version=\"1.0\"?><target/>"));
}

CoreBuilder& CoreBuilder::align(std::uint64_t bytes) {
  align_ = bytes;
  return *this;
}

CoreBuilder& CoreBuilder::extended_count() {
  extended_ = true;
  return *this;
}

bool CoreBuilder::extended() const {
  return extended_ || segments_.size() + 1 >= many_headers;
}

// More than 65,534 headers: e_phnum is 0xffff and the count is in sh_info of section header 0,
// which stands at the end of the file (Linux fs/binfmt_elf.c, fill_extnum_info).
Built CoreBuilder::build() const {
  Built built;
  built.bytes.resize(Built::header_at(segments_.size() + 1));
  if (style_ == Style::kernel) place_notes(built);
  place_segments(built);
  if (style_ == Style::gcore) place_notes(built);
  if (extended()) place_section(built);
  fill_headers(built);
  return built;
}

void CoreBuilder::place_notes(Built& built) const {
  Blob& file = built.bytes;
  pad_to(file, 4);
  built.notes_at = file.size();
  for (const NotePlan& plan : notes_) {
    built.note_at.push_back(file.size());
    append(file, static_cast<std::uint32_t>(plan.name.size() + 1));
    append(file, static_cast<std::uint32_t>(plan.content.size()));
    append(file, plan.type);
    append_text(file, plan.name, plan.name.size() + 1);
    pad_to(file, 4);
    append_blob(file, plan.content);
    pad_to(file, 4);
  }
  built.notes_size = file.size() - built.notes_at;
}

void CoreBuilder::place_segments(Built& built) const {
  pad_to(built.bytes, align_);
  for (const SegmentPlan& plan : segments_) {
    if (!plan.saved.empty()) pad_to(built.bytes, align_);
    built.segment_at.push_back(built.bytes.size());
    append_blob(built.bytes, plan.saved);
  }
}

void CoreBuilder::place_section(Built& built) const {
  pad_to(built.bytes, 8);
  built.section_at = built.bytes.size();
  built.bytes.resize(built.bytes.size() + 64);
  patch(built.bytes, built.section_at + offsets::section_info,
        static_cast<std::uint32_t>(segments_.size() + 1));
}

void CoreBuilder::fill_headers(Built& built) const {
  const auto count = extended() ? many_headers : static_cast<std::uint16_t>(segments_.size() + 1);
  write_elf_header(built.bytes, count, built.section_at);
  write_entry(built.bytes, 0, {type_note, 0, built.notes_at, 0, built.notes_size, 0}, 4);
  for (std::size_t i = 0; i < segments_.size(); ++i) {
    const SegmentPlan& plan = segments_[i];
    write_entry(
        built.bytes, i + 1,
        {type_load, plan.flags, built.segment_at[i], plan.begin, plan.saved.size(), plan.size},
        align_);
  }
}

Built small_core(Style style) {
  const bool kernel = style == Style::kernel;
  CoreBuilder core(style);
  core.align(64);
  const std::int16_t signal = kernel ? 11 : 0;
  ThreadPlan first{.tid = 101, .signal = signal, .ppid = kernel ? 7 : 0};
  for (std::size_t i = 0; i < first.registers.size(); ++i) first.registers[i] = 0x1000 + i;
  core.thread(first);
  core.process({.pid = 101, .ppid = 7, .uid = 1000, .name = "worker"});
  core.signal({.number = kernel ? 11 : 19, .code = kernel ? 1 : 128, .payload = kernel ? 24u : 0u});
  core.auxv({{3, 0x400040}, {9, 0x401000}, {33, 0x7fff0000}});
  core.files({{0x400000, 0x402000, 0, "/usr/bin/worker"},
              {0x7f0000001000, 0x7f0000003000, 0x2000, "/usr/lib/libc.so.6"}});
  core.note("LINUX", 0x202, text_blob("xstate"));
  core.thread({.tid = 102, .signal = signal});
  if (!kernel) core.signal({.number = 19, .code = 128}).gdb_target();
  core.segment({.begin = 0x400000,
                .size = 0x2000,
                .saved = text_blob("\x7f"
                                   "ELF head"),
                .flags = 5});
  core.segment({.begin = 0x7f0000001000, .size = 0x2000, .saved = {}, .flags = 4});
  core.segment({.begin = 0x7ffd00000000, .size = 0x1000, .saved = Blob(96, std::byte{0x5a})});
  return core.build();
}

}  // namespace coldcase::test
