#include "lens/mpi/job.hpp"

#include <algorithm>
#include <array>
#include <charconv>

#include "base/digest.hpp"
#include "core/elf_format.hpp"

namespace coldcase::mpi {
namespace {

// The strings below the one AT_EXECFN points at, at the top of the first stack: arguments, then the
// environment. The last is first: `visit` gets each; false ends the walk.
template <class Visit>
void each_start_string(const Core& core, const MemoryImage& image, Visit visit) {
  constexpr std::uint64_t most = 256 * 1024;
  const auto name = core.auxv_value(elf::at_execfn);
  const Extent* extent = name ? image.find(Addr{*name}) : nullptr;
  if (extent == nullptr) return;
  // The kernel's 16 random bytes lie right below the strings.
  const auto random = core.auxv_value(elf::at_random);
  const std::uint64_t below = *name - std::min(*name, most);
  const std::uint64_t lowest =
      random && *random<*name&& * random + 16> below ? *random + 16 : below;
  const std::uint64_t begin = std::min(*name, std::max(extent->range.begin.value, lowest));
  const Bytes strings = image.view(Addr{begin}, *name - begin);
  for (std::size_t at = 0; at < strings.size();) {
    const std::string_view text = text_at(strings, at);
    if (!text.empty() && !visit(text)) return;
    at += text.size();
    while (at < strings.size() && strings[at] == std::byte{0})
      ++at;  // up to 8 KiB of them at first
  }
}

// Best first. PMIX_RANK is the launcher's own and the same number as Open MPI's.
constexpr std::array<std::string_view, 4> rank_names{
    "OMPI_COMM_WORLD_RANK=", "PMIX_RANK=", "PMI_RANK=", "SLURM_PROCID="};
constexpr std::array<std::string_view, 3> size_names{
    "OMPI_COMM_WORLD_SIZE=", "PMI_SIZE=", "SLURM_NTASKS="};
constexpr std::int64_t most_ranks = 100'000'000;

std::optional<std::int64_t> parse_number(std::string_view text) {
  std::int64_t number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc{} || end != text.data() + text.size()) return std::nullopt;
  return number >= 0 && number < most_ranks ? std::optional(number) : std::nullopt;
}

// One variable by several names, the earliest of which wins.
template <std::size_t N>
class Variable {
 public:
  explicit Variable(const std::array<std::string_view, N>& names) : names_(names) {}
  void take(std::string_view text) {
    for (std::size_t i = 0; i < best_; ++i) {
      const std::string_view name = names_[i];
      if (!text.starts_with(name)) continue;
      if (const auto number = parse_number(text.substr(name.size()))) {
        value_ = *number;
        best_ = i;
      }
    }
  }
  std::int64_t value() const { return value_; }  // -1: not there

 private:
  const std::array<std::string_view, N>& names_;
  std::size_t best_ = N;
  std::int64_t value_ = -1;
};

}  // namespace

std::string find_job(const Core& core, const MemoryImage& image) {
  std::string name, slurm;
  each_start_string(core, image, [&](std::string_view text) {
    if (text.starts_with("PMIX_NAMESPACE=")) name = text;
    if (text.starts_with("SLURM_JOB_ID=") || text.starts_with("SLURM_STEP_ID="))
      slurm += std::string(text) + ";";
    return name.empty();
  });
  if (name.empty() && slurm.find("STEP") != std::string::npos) name = slurm;
  return name.empty() ? std::string{} : sha256_hex(name).substr(0, 16);
}

std::optional<MpiFact> find_rank(const Core& core, const MemoryImage& image) {
  Variable rank(rank_names);
  Variable size(size_names);
  each_start_string(core, image, [&](std::string_view text) {
    rank.take(text);
    size.take(text);
    return true;
  });
  if (rank.value() < 0) return std::nullopt;
  MpiFact fact;
  fact.rank = rank.value();
  if (size.value() > fact.rank) fact.size = size.value();
  fact.job = find_job(core, image);
  return fact;
}

}  // namespace coldcase::mpi
