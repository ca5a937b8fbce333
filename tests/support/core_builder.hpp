// Synthetic ELF64 cores for tests, built in memory from this file's own idea of the format, so that
// a wrong layout in the product cannot hide behind the same mistake here. Nothing is checked: what
// is asked for is written, sense or not.
//
//   CoreBuilder core(Style::kernel);
//   core.thread({.tid = 7}).segment({.begin = 0x1000, .size = 0x2000, .saved =
//   text_blob("hello")}); const Built built = core.build();    // built.bytes, and where things lie
//   in them
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>
#include <string_view>
#include <vector>

namespace coldcase::test {

using Blob = std::vector<std::byte>;

// Little-endian, as the machine that the cores are of; so is every machine that runs these tests.
template <class T>
void append(Blob& blob, T value) {
  std::array<std::byte, sizeof(T)> raw{};
  std::memcpy(raw.data(), &value, sizeof(T));
  blob.insert(blob.end(), raw.begin(), raw.end());
}

template <class T>
void patch(Blob& blob, std::uint64_t offset, T value) {
  std::memcpy(&blob.at(offset + sizeof(T) - 1) - (sizeof(T) - 1), &value, sizeof(T));
}

Blob text_blob(std::string_view text);

// Offsets for patching a built file (ELF-64 Object File Format, figures 3 and 6).
namespace offsets {
inline constexpr std::uint64_t elf_class = 4, byte_order = 5, type = 16, machine = 18, phoff = 32,
                               shoff = 40, phnum = 56, header_size = 64;
inline constexpr std::uint64_t ph_type = 0, ph_offset = 8, ph_vaddr = 16, ph_filesz = 32,
                               ph_memsz = 40, ph_size = 56;
inline constexpr std::uint64_t section_info = 44;
inline constexpr std::uint64_t note_namesz = 0, note_descsz = 4, note_type = 8, note_header = 12;
}  // namespace offsets

// How the two known writers lay a core out. The kernel: notes before memory, NT_FILE in pages.
// gdb's gcore: notes at the end of the file, NT_FILE in bytes.
enum class Style : std::uint8_t { kernel, gcore };

struct SegmentPlan {
  std::uint64_t begin = 0;
  std::uint64_t size = 0;
  Blob saved{};             // shorter than size: mapped, not saved
  std::uint32_t flags = 6;  // rw-
};

struct ThreadPlan {
  std::int32_t tid = 1;
  std::int16_t signal = 0;
  std::int32_t ppid = 0;
  std::array<std::uint64_t, 2> user_time{};    // seconds, microseconds
  std::array<std::uint64_t, 2> system_time{};  // seconds, microseconds
  std::array<std::uint64_t, 27> registers{};   // in the kernel's order, r15 first
};

struct ProcessPlan {
  std::int32_t pid = 1;
  std::int32_t ppid = 0;
  std::uint32_t uid = 0;
  std::string name{};  // cut to 15 bytes, as the kernel does
};

struct SignalPlan {
  std::int32_t number = 0;
  std::int32_t code = 0;
  std::uint64_t payload = 0;  // a fault's address; a sent signal's pid in the low half
};

struct FilePlan {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  std::uint64_t offset = 0;  // in bytes; written in the unit of the style
  std::string path{};
};

// A finished core and where its parts lie. Program header 0 is the PT_NOTE; segment i is header i
// + 1.
struct Built {
  Blob bytes;
  std::uint64_t notes_at = 0;
  std::uint64_t notes_size = 0;
  std::vector<std::uint64_t> note_at;     // of each note's header
  std::vector<std::uint64_t> segment_at;  // of each segment's saved bytes
  std::uint64_t section_at = 0;           // of section header 0; 0 when there is none

  static std::uint64_t header_at(std::size_t index) {
    return offsets::header_size + index * offsets::ph_size;
  }
};

class CoreBuilder {
 public:
  explicit CoreBuilder(Style style);
  CoreBuilder& segment(SegmentPlan plan);
  CoreBuilder& thread(const ThreadPlan& plan);
  CoreBuilder& process(const ProcessPlan& plan);
  CoreBuilder& signal(const SignalPlan& plan);
  CoreBuilder& auxv(const std::vector<std::array<std::uint64_t, 2>>& entries);  // AT_NULL is added
  CoreBuilder& files(const std::vector<FilePlan>& mappings);
  CoreBuilder& gdb_target();  // NT_GDB_TDESC
  CoreBuilder& note(std::string_view name, std::uint32_t type, const Blob& content);
  CoreBuilder& align(std::uint64_t bytes);  // of segments in the file; 4096 at first
  CoreBuilder& extended_count();            // PN_XNUM even for few segments; see build()
  Built build() const;

 private:
  struct NotePlan {
    std::string name;
    std::uint32_t type;
    Blob content;
  };
  void place_notes(Built& built) const;
  void place_segments(Built& built) const;
  void place_section(Built& built) const;
  void fill_headers(Built& built) const;
  bool extended() const;

  Style style_;
  std::uint64_t align_ = 4096;
  bool extended_ = false;
  std::vector<NotePlan> notes_;
  std::vector<SegmentPlan> segments_;
};

// Two threads, three segments (one not saved, one partly) and every known note; under 4 KiB.
Built small_core(Style style);

}  // namespace coldcase::test
