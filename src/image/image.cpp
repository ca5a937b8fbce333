#include "image/image.hpp"

#include <algorithm>
#include <map>

namespace coldcase {
namespace {

// The part of `extent` inside `part`, which lies within its range.
Extent cut(const Extent& extent, Range part) {
  Extent piece = extent;
  piece.range = part;
  piece.bytes = extent.bytes.part(part.begin.value - extent.range.begin.value, part.size());
  return piece;
}

// Adds of `extent` what `placed` (by address, disjoint) does not cover.
void fill_gaps(const Extent& extent, const std::vector<Extent>& placed,
               std::vector<Extent>& added) {
  Addr at = extent.range.begin;
  auto next = std::ranges::upper_bound(placed, at, {}, [](const Extent& e) { return e.range.end; });
  while (at < extent.range.end) {
    const Addr stop =
        next == placed.end() ? extent.range.end : std::min(next->range.begin, extent.range.end);
    if (at < stop) added.push_back(cut(extent, {at, stop}));
    if (next == placed.end()) break;
    at = std::max(at, next->range.end);
    ++next;
  }
}

void sort_by_address(std::vector<Extent>& extents) {
  std::ranges::stable_sort(extents, {}, [](const Extent& e) { return e.range.begin; });
}

bool overlapping(const std::vector<Extent>& sorted) {
  for (std::size_t i = 1; i < sorted.size(); ++i) {
    if (sorted[i].range.begin < sorted[i - 1].range.end) return true;
  }
  return false;
}

}  // namespace

MemoryImage::MemoryImage(std::vector<Extent> extents) {
  std::erase_if(extents, [](const Extent& e) { return e.range.begin >= e.range.end; });
  std::vector<Extent> sorted = extents;
  sort_by_address(sorted);
  if (!overlapping(sorted)) {
    extents_ = std::move(sorted);
    return;
  }
  // Overlaps occur in hostile cores alone: each extent fills the gaps the earlier ones left.
  std::map<Addr, Extent> placed;
  for (const Extent& extent : extents) {
    Addr at = extent.range.begin;
    auto next = placed.upper_bound(at);
    if (next != placed.begin()) at = std::max(at, std::prev(next)->second.range.end);
    while (at < extent.range.end) {
      const Addr stop =
          next == placed.end() ? extent.range.end : std::min(next->first, extent.range.end);
      if (at < stop) placed.emplace_hint(next, at, cut(extent, {at, stop}));
      if (next == placed.end()) break;
      at = std::max(stop, next->second.range.end);
      ++next;
    }
  }
  for (auto& [begin, extent] : placed) extents_.push_back(extent);
}

const Extent* MemoryImage::find(Addr at) const {
  if (recent_ < extents_.size() && extents_[recent_].range.contains(at)) return &extents_[recent_];
  auto above =
      std::ranges::upper_bound(extents_, at, {}, [](const Extent& e) { return e.range.begin; });
  if (above == extents_.begin()) return nullptr;
  --above;
  if (!above->range.contains(at)) return nullptr;
  recent_ = static_cast<std::size_t>(above - extents_.begin());
  return &*above;
}

std::optional<Absence> MemoryImage::why_absent(Addr at) const {
  const Extent* extent = find(at);
  if (extent == nullptr) return Absence::not_mapped;
  if (at.value - extent->range.begin.value < extent->bytes.size()) return std::nullopt;
  return extent->rest;
}

Bytes MemoryImage::view(Addr at, Size size) const {
  const Extent* extent = find(at);
  if (extent == nullptr) return {};
  return extent->bytes.bytes(at.value - extent->range.begin.value, size);
}

Read<std::monostate> MemoryImage::read_into(Addr at, std::span<std::byte> into) const {
  while (!into.empty()) {
    const Bytes part = view(at, into.size());
    if (part.empty())
      return tl::make_unexpected(Fault{at, why_absent(at).value_or(Absence::not_mapped)});
    std::memcpy(into.data(), part.data(), part.size());
    into = into.subspan(part.size());
    const auto next = checked_add(at, part.size());
    if (!next && !into.empty()) return tl::make_unexpected(Fault{at, Absence::overflow});
    if (next) at = *next;
  }
  return std::monostate{};
}

Read<std::string> MemoryImage::read_text(Addr at, std::size_t limit) const {
  std::string text;
  while (text.size() < limit) {
    const Bytes part = view(at, limit - text.size());
    if (part.empty())
      return tl::make_unexpected(Fault{at, why_absent(at).value_or(Absence::not_mapped)});
    const std::string_view piece = text_at(part, 0);
    text += piece;
    if (piece.size() < part.size()) return text;
    const auto next = checked_add(at, part.size());
    if (!next) break;
    at = *next;
  }
  return text;
}

MemoryImage MemoryImage::with_files(std::vector<Extent> files) const {
  // What the core saved stands; of every extent only the absent rest gives way to a file.
  std::vector<Extent> saved;
  std::vector<Extent> rests;
  for (const Extent& extent : extents_) {
    const auto boundary = checked_add(extent.range.begin, extent.bytes.size());
    const Addr end_of_saved = std::min(boundary.value_or(extent.range.end), extent.range.end);
    if (extent.range.begin < end_of_saved)
      saved.push_back(cut(extent, {extent.range.begin, end_of_saved}));
    if (end_of_saved < extent.range.end)
      rests.push_back(cut(extent, {end_of_saved, extent.range.end}));
  }
  sort_by_address(files);
  std::vector<Extent> filled;
  for (const Extent& file : files) fill_gaps(file, saved, filled);
  std::vector<Extent> placed = saved;
  placed.insert(placed.end(), filled.begin(), filled.end());
  MemoryImage with(std::move(placed));
  std::vector<Extent> left;
  for (const Extent& rest : rests) fill_gaps(rest, with.extents_, left);
  with.extents_.insert(with.extents_.end(), left.begin(), left.end());
  sort_by_address(with.extents_);
  return with;
}

MemoryImage core_image(const Core& core) {
  std::vector<Extent> extents;
  extents.reserve(core.segments.size());
  for (const Segment& segment : core.segments) {
    const bool cut_off = segment.bytes.size() < segment.saved;
    extents.push_back({segment.range, segment.bytes, Source::core,
                       cut_off ? Absence::truncated : Absence::not_saved});
  }
  MemoryImage saved(std::move(extents));
  std::vector<Extent> unsaved;
  for (const FileMapping& file : core.files) {
    fill_gaps({file.range, {}, Source::core, Absence::not_saved}, saved.extents(), unsaved);
  }
  if (unsaved.empty()) return saved;
  std::vector<Extent> all = saved.extents();
  all.insert(all.end(), unsaved.begin(), unsaved.end());
  return MemoryImage(std::move(all));
}

}  // namespace coldcase
