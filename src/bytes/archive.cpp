#include "bytes/archive.hpp"

#include <sys/stat.h>

#include <coldcase/result.hpp>

#include "bytes/archive_handle.hpp"
#include "bytes/packing.hpp"

namespace coldcase {
namespace {

constexpr std::uint64_t most_entries = std::uint64_t{1} << 17;
constexpr std::size_t longest_name = 4096;  // PATH_MAX

struct Block {
  Bytes bytes;
  std::uint64_t offset = 0;
};

// False at the entry's end or when it cannot be read: `problem` tells which.
bool next_block(archive* reader, Block& block, std::string& problem) {
  const void* data = nullptr;
  std::size_t size = 0;
  la_int64_t offset = 0;
  const int got = ::archive_read_data_block(reader, &data, &size, &offset);
  if (got != ARCHIVE_OK && got != ARCHIVE_WARN) {
    if (got != ARCHIVE_EOF) problem = error_of(reader);
    return false;
  }
  block = {{static_cast<const std::byte*>(data), size}, static_cast<std::uint64_t>(offset)};
  return true;
}

// Writes a block where it belongs; false when that is not possible.
bool put(const Block& block, std::uint64_t begin, Spool& spool, std::string& problem) {
  if (block.offset > most_unpacked || block.bytes.size() > most_unpacked - block.offset ||
      begin + block.offset < spool.size()) {
    problem = "more comes out of it than anything could need, or its pieces overlap";
    return false;
  }
  spool.extend(begin + block.offset);  // a hole of a sparse file
  spool.append(block.bytes);
  return true;
}

std::string copy_rest(archive* reader, Block block, Spool& spool) {
  std::string problem;
  const std::uint64_t begin = spool.size();
  do {
    if (!put(block, begin, spool, problem)) break;
  } while (next_block(reader, block, problem));
  return problem;
}

bool inside(Bytes whole, Bytes part) {
  const std::less_equal<const std::byte*> before;
  return !part.empty() && before(whole.data(), part.data()) &&
         before(part.data() + part.size(), whole.data() + whole.size());
}

class Reader {
 public:
  explicit Reader(const Stored& whole) : whole_(whole), reader_(new_archive_reader()) {
    archive* reader = reader_.get();
    const bool ready =
        ::archive_read_support_format_tar(reader) == ARCHIVE_OK &&
        ::archive_read_support_format_zip(reader) == ARCHIVE_OK &&
        ::archive_read_open_memory(reader, whole.bytes.data(), whole.bytes.size()) == ARCHIVE_OK;
    if (!ready) end_.problem = error_of(reader);
  }

  ArchiveEnd run(const Wanted& wanted, const Keep& keep) {
    archive_entry* entry = nullptr;
    for (std::uint64_t i = 0; end_.problem.empty(); ++i) {
      const int got = ::archive_read_next_header(reader_.get(), &entry);
      if (got == ARCHIVE_EOF) break;
      if (got != ARCHIVE_OK && got != ARCHIVE_WARN && got != ARCHIVE_RETRY)
        end_.problem = error_of(reader_.get());
      else if (i == most_entries)
        end_.problem = "it has more than " + std::to_string(most_entries) + " entries";
      else
        look(entry, wanted, keep);
    }
    return end_;
  }

 private:
  void look(archive_entry* entry, const Wanted& wanted, const Keep& keep) {
    // A name in UTF-8 is none in the C locale.
    const char* text = ::archive_entry_pathname(entry);
    if (text == nullptr) text = ::archive_entry_pathname_utf8(entry);
    const std::string name = text == nullptr ? "" : text;
    if (::archive_entry_filetype(entry) != S_IFREG || name.empty() || name.size() > longest_name)
      return;
    ++end_.files;
    Member member;
    member.name = name;
    Block first;
    if (!next_block(reader_.get(), first, member.cut_short)) {
      // One file that cannot be read (encrypted, damaged) is not the end of the others.
      if (!member.cut_short.empty() && wanted(name, {})) keep(std::move(member));
      return;
    }
    if (!wanted(name, first.offset == 0 ? first.bytes : Bytes{})) return;
    take(entry, first, member);
    keep(std::move(member));
  }

  void take(archive_entry* entry, const Block& first, Member& member) {
    const bool sized = ::archive_entry_size_is_set(entry) != 0;
    const auto size = static_cast<std::uint64_t>(sized ? ::archive_entry_size(entry) : 0);
    if (sized && first.offset == 0 && ::archive_entry_sparse_count(entry) == 0 &&
        inside(whole_.bytes, first.bytes)) {
      const auto at = static_cast<std::uint64_t>(first.bytes.data() - whole_.bytes.data());
      member.content = Stored(whole_.file, slice(whole_.bytes, at, size));
      if (member.content.bytes.size() < size) member.cut_short = "the archive ends early";
      return;
    }
    if (unpacked_ > most_unpacked) {
      member.cut_short = "more comes out of the archive than anything could need";
      return;
    }
    Spool spool;
    member.cut_short = copy_rest(reader_.get(), first, spool);
    if (member.cut_short.empty() && size > spool.size() && size <= most_unpacked)
      spool.extend(size);  // a hole at a sparse file's end
    unpacked_ += spool.size();
    member.content = Stored(spool.map());
  }

  const Stored& whole_;
  ArchiveHandle reader_;
  ArchiveEnd end_;
  std::uint64_t unpacked_ = 0;
};

}  // namespace

ArchiveHandle new_archive_reader() {
  ArchiveHandle reader(::archive_read_new());
  if (!reader) throw Error(Trouble::internal, "out of memory");
  return reader;
}

std::string error_of(archive* reader) {
  const char* text = ::archive_error_string(reader);
  return text == nullptr ? "it is damaged" : text;
}

std::string copy_data(archive* reader, Spool& spool) {
  std::string problem;
  Block first;
  return next_block(reader, first, problem) ? copy_rest(reader, first, spool) : problem;
}

bool is_archive(Bytes head) {
  const auto magic = parse_at<std::uint32_t>(head, 0);
  if (magic && (*magic == 0x04034b50 || *magic == 0x06054b50)) return true;  // PKWARE 4.3.7, 4.3.16
  return text_at(slice(head, 257, 5), 0) == "ustar";  // also GNU's, "ustar  "
}

ArchiveEnd read_archive(const Stored& archive, const Wanted& wanted, const Keep& keep) {
  return Reader(archive).run(wanted, keep);
}

}  // namespace coldcase
