// absl::Mutex and absl::CondVar (20220623): a waiter sleeps on a word of its own thread's identity,
// the object is found by what points back to that.
#include <algorithm>

#include "base/text.hpp"
#include "lens/glibc/parts.hpp"

namespace coldcase::glibc {
namespace {

// base_internal::PerThreadSynch, 256-aligned: next 0; the futex lies at +0x40 of its identity.
constexpr std::uint64_t word_in_identity = 0x40, identity_mask = 0xff;
constexpr std::size_t most_waiters = 65'536, most_words = 512, most_frames_looked_at = 16;

bool is_absl(const View& view, std::size_t i, std::size_t frame) {
  const CodeName& name = view.threads.name_of(view.threads.walks[i].frames[frame]);
  return name.function.starts_with("absl::") || name.symbol.starts_with("AbslInternal");
}

// The outermost of the run of absl's frames at the inner end; nothing when there is none.
std::optional<std::size_t> absl_frames(const LensContext& context, std::size_t i) {
  const auto& frames = context.view.threads.walks[i].frames;
  std::optional<std::size_t> last;
  for (std::size_t f = 0; f < std::min(frames.size(), most_frames_looked_at); ++f) {
    const bool over = last ? !context.symbol_of(i, f).empty() : f > 2;
    if (is_absl(context.view, i, f))
      last = f;
    else if (over)
      break;
  }
  return last;
}

// The words between the waiter's stack pointer and the end of absl's frames.
std::vector<std::uint64_t> stack_words(const LensContext& context, std::size_t i,
                                       std::size_t outermost) {
  std::vector<std::uint64_t> words;
  const auto& frames = context.view.threads.walks[i].frames;
  const Addr sp = context.view.core.threads[i].registers.at(Registers::rsp);
  const std::size_t around = std::min(outermost + 1, frames.size() - 1);
  const std::uint64_t end = frames[around].cfa;
  for (Addr at = sp; at.value + 8 <= end && words.size() < most_words; at = offset_by(at, 8)) {
    const auto word = context.view.image.read<std::uint64_t>(at);
    if (!word) break;
    words.push_back(*word);
  }
  return words;
}

// Mutex::mu_ and CondVar::cv_: the last waiter's identity, the low bits are flags: of a CondVar 1
// and 2 alone, of a Mutex with waiters 4 as well.
std::optional<WaitKind> refers_to(std::uint64_t state, const AbslRings& rings, std::size_t ring) {
  if (state == 0 || !rings.contains(ring, state & ~identity_mask)) return std::nullopt;
  return (state & identity_mask) < 4 ? WaitKind::condition : WaitKind::mutex;
}

}  // namespace

// What leads into a ring that is known is taken for a part of it. Beyond the most of all rings
// together a waiter's object is not found.
std::size_t AbslRings::of(const MemoryImage& image, std::uint64_t identity) {
  std::vector<std::uint64_t> met;
  std::uint64_t at = identity;
  while (at != 0 && rings_.size() < most_waiters && rings_.try_emplace(at, count_).second) {
    met.push_back(at);
    at = image.read<std::uint64_t>(Addr{at}).value_or(0);
  }
  const auto end = rings_.find(at);
  const std::size_t ring = end == rings_.end() ? count_ : end->second;
  if (ring == count_++) return ring;
  for (const std::uint64_t member : met) rings_[member] = ring;
  return ring;
}

bool AbslRings::contains(std::size_t ring, std::uint64_t identity) const {
  const auto found = rings_.find(identity);
  return found != rings_.end() && found->second == ring;
}

std::optional<Object> find_absl_object(const LensContext& context, std::size_t i,
                                       const FutexWait& futex) {
  const auto outermost = absl_frames(context, i);
  if (!outermost) return std::nullopt;
  const std::uint64_t identity = futex.address.value - word_in_identity;
  if ((identity & identity_mask) != 0) return std::nullopt;
  Object object;
  object.frame = outermost;
  object.kind = WaitKind::mutex;
  object.implementation = "absl::Mutex";
  object.address = futex.address;
  object.basis = Basis::stack_scan;
  const std::string called = callee_of(context.view, i, *outermost + 1);
  const bool condition = called.find("CondVar") != std::string::npos;
  if (condition) object.kind = WaitKind::condition;
  const std::size_t ring = context.absl.of(context.view.image, identity);
  for (const std::uint64_t word : stack_words(context, i, *outermost)) {
    if (word == 0 || word % 8 != 0 || context.absl.contains(ring, word)) continue;
    const auto state = context.view.image.read<std::uint64_t>(Addr{word});
    const auto kind = state ? refers_to(*state, context.absl, ring) : std::nullopt;
    if (!kind) continue;
    object.kind = *kind;
    object.address = Addr{word};
    break;
  }
  if (object.kind == WaitKind::condition) object.implementation = "absl::CondVar";
  object.proxy = object.address == futex.address;
  return object;
}

}  // namespace coldcase::glibc
