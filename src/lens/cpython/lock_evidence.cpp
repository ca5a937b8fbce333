#include "lens/cpython/lock_evidence.hpp"

#include <algorithm>
#include <array>

#include "base/text.hpp"
#include "lens/cpython/awaited.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_referenced = 4096, most_attributes = 256;

}  // namespace

LockEvidence::LockEvidence(LensContext& context, std::map<LockKey, std::vector<std::size_t>> waited)
    : context_(context), lookup_(*context.facts.python), use_(lookup_), waited_(std::move(waited)) {
  read_chains();
  find_marked();
  for (const auto& [key, threads] : waited_) keys_.insert(key);
  for (const LockKey& key : keys_) key_addresses_.insert({key.at, key.object});
  if (!keys_.empty()) follow_chains();
}

void LockEvidence::read_chains() {
  for (const Interpreter& interpreter : context_.runtime().interpreters) {
    for (const PyThread& state : interpreter.threads) {
      if (!state.core_thread) continue;
      Chain chain;
      chain.thread = *state.core_thread;
      chain.first = state.inner_frames;
      for (const auto& run : state.runs)
        chain.frames.insert(chain.frames.end(), run.begin(), run.end());
      chains_.push_back(std::move(chain));
    }
  }
}

void LockEvidence::find_marked() {
  for (Chain& chain : chains_) {
    for (const PythonFrame& frame : chain.frames) {
      const auto markers = find_with_markers(context_.objects(), frame);
      chain.marked.push_back(!markers.empty());
      for (const WithMarker& marker : markers) {
        for (const Managed& one : use_.managed_by(marker.self)) keys_.insert(one.key);
      }
    }
  }
}

void LockEvidence::follow_chains() {
  for (Chain& chain : chains_) {
    std::vector<FrameUse> uses;
    bool any = false;
    for (std::size_t i = 0; i < chain.frames.size(); ++i) {
      const bool read = chain.marked[i] || is_relevant(chain.frames[i]);
      uses.push_back(read ? use_.read(chain.frames[i]) : FrameUse{});
      any = any || uses.back().touches_any();
    }
    if (any) chain.use = follow_chain(context_.objects().layout(), uses, use_.flows());
    index_chain(static_cast<std::size_t>(&chain - chains_.data()));
    // A waiter's futex tells of a shared semaphore alone, not of the object that has it.
    for (const Holding& holding : chain.use.holdings) {
      const auto known = keys_.find(holding.key);
      if (known == keys_.end() || known->object.value != 0) continue;
      keys_.erase(known);
      keys_.insert(holding.key);
    }
  }
}

void LockEvidence::index_chain(std::size_t c) {
  const Chain& chain = chains_[c];
  for (const Holding& holding : chain.use.holdings) {
    Claim claim;
    claim.thread = chain.thread;
    claim.chain = c;
    claim.holding = holding;
    seen_[holding.key].claims.push_back(std::move(claim));
  }
  for (const LockKey& key : chain.use.unpaired) seen_[key].doubts.unpaired.push_back(chain.thread);
  for (const LockKey& key : chain.use.releasing)
    seen_[key].doubts.releasing.push_back(chain.thread);
}

// Its code may take or release one of the locks.
bool LockEvidence::is_relevant(const PythonFrame& frame) {
  const std::string_view name = last_part(frame.code->name);
  return use_.mentions_locks(*frame.code) || name == "__exit__" || name == "__aexit__" ||
         self_has_key(frame);
}

std::optional<Addr> LockEvidence::self_of(const PythonFrame& frame) {
  const auto [at, fresh] = methods_.try_emplace(frame.code->at);
  if (fresh) {
    const auto names = read_local_names(context_.objects(), frame.code->at);
    at->second = !names.empty() && (names[0] == "self" || names[0] == "cls");
  }
  if (!at->second) return std::nullopt;
  return find_self(context_.objects(), frame);
}

bool LockEvidence::self_has_key(const PythonFrame& frame) {
  const auto self = self_of(frame);
  if (!self) return false;
  if (const auto known = selves_.find(*self); known != selves_.end()) return known->second;
  bool has = false;
  std::size_t looked = 0;
  context_.objects().each_attribute(*self, [&](Addr, Addr value) {
    has = has || key_addresses_.contains(value);
    return !has && ++looked < most_attributes;
  });
  selves_[*self] = has;
  return has;
}

// ---- objects that hold locks and are no thread's

const std::vector<Managed>& LockEvidence::held_by(Addr object) {
  const auto [at, fresh] = held_.try_emplace(object);
  if (!fresh) return at->second;
  if (is_generator(context_.objects(), object))
    at->second = use_.held_in(object);
  else if (lookup_.has_base(object, "_GeneratorContextManager") ||
           lookup_.has_base(object, "_BaseExitStack") || lookup_.has_base(object, "ExitStack"))
    at->second = use_.managed_by(object);
  return at->second;
}

void LockEvidence::add_reference(Addr object, const Reference& reference) {
  if (references_.size() >= most_referenced || held_by(object).empty()) return;
  references_[object].push_back(reference);
}

void LockEvidence::find_references() {
  if (std::exchange(referenced_, true)) return;
  for (std::size_t c = 0; c < chains_.size(); ++c) {
    for (std::size_t f = 0; f < chains_[c].frames.size(); ++f) {
      add_iterations(c, f);
      add_references(c, f);
    }
  }
}

void LockEvidence::add_references(std::size_t c, std::size_t f) {
  const PythonFrame& frame = chains_[c].frames[f];
  const Objects& objects = context_.objects();
  const Reference reference{c, f, Claim::By::reference};
  const auto slots = std::min<std::int32_t>(frame.code->locals, 1024);
  for (std::int32_t i = 0; i < slots; ++i) {
    std::optional<Addr> value =
        objects.read_slot(offset_by(frame.at, objects.layout().frame_locals + std::int64_t{i} * 8));
    if (!value) continue;
    if (objects.type_name(*value) == "cell")
      value = objects.image().read_pointer(offset_by(*value, 16)).value_or(Addr{});
    if (value && value->value != 0) add_reference(*value, reference);
  }
  const auto self = self_of(frame);
  if (!self || !searched_.insert(*self).second) return;
  std::size_t looked = 0;
  objects.each_attribute(*self, [&](Addr, Addr value) {
    add_reference(value, reference);
    return ++looked < most_attributes;
  });
}

// The iterators of the for loops that the frame is in lie on its value stack, one for each, with
// the exits of open with blocks between them.
void LockEvidence::add_iterations(std::size_t c, std::size_t f) {
  const PythonFrame& frame = chains_[c].frames[f];
  for (const Addr iterator : read_iterators(lookup_, frame))
    add_reference(iterator, {c, f, Claim::By::iteration});
}

void LockEvidence::add_referenced(const LockKey& key, std::vector<Claim>& claims) {
  find_references();
  for (const auto& [object, references] : references_) {
    const auto& held = held_by(object);
    const auto one = std::ranges::find(held, key, &Managed::key);
    if (one == held.end()) continue;
    for (const Reference& reference : references) {
      Claim claim;
      claim.thread = chains_[reference.chain].thread;
      claim.chain = reference.chain;
      claim.by = reference.by;
      claim.holding.key = one->key;
      claim.holding.frame = reference.frame;
      claim.holding.held = one->held;
      claim.holding.how = Holding::How::with_block;
      claim.holding.recorded = one->recorded;
      claim.holding.way = one->way;
      claims.push_back(std::move(claim));
    }
  }
}

std::vector<Claim> LockEvidence::claims_on(const LockKey& key) {
  const auto seen = seen_.find(key);
  std::vector<Claim> claims;
  Doubts doubts;
  if (seen != seen_.end()) {
    claims = seen->second.claims;
    doubts = seen->second.doubts;
  }
  doubts.alone = context_.view.core.threads.size() == 1;
  const auto waiters = waited_.find(key);
  const auto waits = [&](std::size_t thread) {
    return waiters != waited_.end() &&
           std::ranges::find(waiters->second, thread) != waiters->second.end();
  };
  const bool open = std::ranges::any_of(claims, [](const Claim& claim) {
    return claim.basis() == Basis::value_stack && claim.holding.held == Held::yes;
  });
  if (!open && waiters != waited_.end()) add_referenced(key, claims);
  for (Claim& claim : claims) claim.waits = waits(claim.thread);
  if (key.kind == LockKey::Kind::semaphore)
    weigh_permits(claims, permits_of(key));
  else
    weigh_claims(claims, doubts);
  std::set<std::size_t> told;
  std::erase_if(claims, [&](const Claim& claim) { return !told.insert(claim.thread).second; });
  return claims;
}

std::vector<Claim> LockEvidence::arrivals_on(const LockKey& key) {
  static constexpr std::array takes{Op::call, Op::call_keywords, Op::call_unpacked, Op::before_with,
                                    Op::setup_with};
  std::vector<Claim> claims;
  for (std::size_t c = 0; c < chains_.size() && waited(key); ++c) {
    const Chain& chain = chains_[c];
    const auto& wait = context_.ledger.thread(context_.view.thread_id(chain.thread)).wait;
    if (chain.frames.empty() || (wait && wait->kind != WaitKind::gil)) continue;
    const PythonFrame& frame = chain.frames.front();
    const Routine& routine = lookup_.text_of(*frame.code).routine;
    const auto at = routine.find(frame.lasti);
    if (!at || std::ranges::find(takes, routine.instructions[*at].op) == takes.end() ||
        !refers_to(context_.objects(), frame, key.object))
      continue;
    Claim claim;
    claim.thread = chain.thread;
    claim.chain = c;
    claim.by = Claim::By::arrival;
    claim.holding.key = key;
    claims.push_back(std::move(claim));
  }
  return claims;
}

// ---- what no thread refers to

void LockEvidence::add_stray(Addr object, const std::string& where) {
  if (strays_->size() < most_referenced && !held_by(object).empty())
    strays_->emplace_back(object, where);
}

// Globals of the modules that the frames are of, and what lies in lists and dicts there.
void LockEvidence::look_through_globals() {
  if (strays_) return;
  strays_.emplace();
  const Objects& objects = context_.objects();
  std::set<Addr> done;
  for (const Chain& chain : chains_) {
    for (const PythonFrame& frame : chain.frames) {
      const auto globals =
          objects.image().read_pointer(offset_by(frame.at, objects.layout().frame_globals));
      if (!globals || done.size() > 64 || !done.insert(*globals).second) continue;
      std::size_t looked = 0;
      objects.each_item(*globals, [&](Addr key, Addr value) {
        if (!held_by(value).empty())
          add_stray(value, "global " + clean_text(objects.read_str(key).value_or("?"), 128));
        return ++looked < 10'000;
      });
    }
  }
}

std::vector<Stray> LockEvidence::strays_of(const LockKey& key) {
  std::vector<Stray> found;
  if (!waited(key)) return found;
  look_through_globals();
  for (const auto& [object, where] : *strays_) {
    const auto& held = held_by(object);
    const auto one = std::ranges::find(held, key, &Managed::key);
    if (one != held.end()) found.push_back({key, one->way + ", which is the " + where});
  }
  return found;
}

const PythonFrame& LockEvidence::frame_of(const Claim& claim) const {
  return chains_[claim.chain].frames[claim.holding.frame];
}

std::optional<std::uint32_t> LockEvidence::merged_frame_of(const Claim& claim) const {
  const Chain& chain = chains_[claim.chain];
  return context_.python_frame(chain.thread, chain.first + claim.holding.frame);
}

// BoundedSemaphore remembers how many it began with.
std::size_t LockEvidence::permits_of(const LockKey& semaphore) const {
  const Objects& objects = context_.objects();
  const auto initial = objects.find_attribute(semaphore.object, "_initial_value");
  const auto value = initial ? objects.read_int(*initial) : Read<std::int64_t>(0);
  return value && *value > 0 && *value < 10'000 ? static_cast<std::size_t>(*value) : 0;
}

}  // namespace coldcase::cpython
