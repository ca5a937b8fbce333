// Calls that take and release locks, found in bytecode and resolved to the objects they are made
// on. lock_managers.cpp has the managers of with blocks.
#include "lens/cpython/lock_use.hpp"

#include <algorithm>
#include <array>

#include "base/rings.hpp"
#include "base/text.hpp"
#include "lens/cpython/lens_parts.hpp"
#include "lens/cpython/values.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::int64_t semlock_handle = 16;
constexpr std::uint64_t flag_heap_type = 1u << 9;
constexpr int most_depth = 6;  // functions that call each other, managers inside managers
constexpr std::size_t most_touches = 1000;

// Methods of threading.Lock and of what looks like it.
constexpr std::array<std::string_view, 3> takes{"acquire", "acquire_lock", "__enter__"};
constexpr std::array<std::string_view, 3> gives{"release", "release_lock", "__exit__"};
constexpr std::string_view pushes = "enter_context";  // ExitStack

bool among(std::span<const std::string_view> words, std::string_view word) {
  return std::ranges::find(words, word) != words.end();
}

std::string call_text(const CodeText& text, const Call& call) {
  return text_of(text, call.on) + "." + text.name(call.method) + "()";
}

// The local the result of a call is kept in; nothing when it goes elsewhere, or the local has other
// values as well.
std::optional<std::uint32_t> result_local(const Routine& routine, const Call& call) {
  const auto stored = [](const Instruction& one) -> std::optional<std::uint32_t> {
    if (one.op == Op::store_fast) return one.arg;
    if (one.op == Op::store_load_fast) return one.arg >> 4;
    return std::nullopt;
  };
  const auto& code = routine.instructions;
  if (call.at + 1 >= code.size()) return std::nullopt;
  const auto local = stored(code[call.at + 1]);
  if (!local) return std::nullopt;
  for (std::size_t i = 0; i < code.size(); ++i) {
    if (i == call.at + 1) continue;
    if (stored(code[i]) == local) return std::nullopt;
    const bool pair = code[i].op == Op::store_fast_pair;
    if (pair && (code[i].arg >> 4 == *local || (code[i].arg & 15) == *local)) return std::nullopt;
  }
  return local;
}

// Condition._is_owned, which notify() calls, tries to take the lock and gives it back at once: it
// leaves it as it was.
bool leaves_locks_alone(const Code& code) {
  return last_part(code.name) == "_is_owned" && base_name(code.file) == "threading.py" &&
         ring_of_python(code.file) == Ring::runtime;
}

// Held on return whenever each acquire() that may give up succeeds. Otherwise there is a way round.
bool is_asked_for_on_all_ways(const Routine& routine, const Effects& effects) {
  Effects successful = effects;
  for (auto& [at, effect] : successful) {
    if (effect.kind == Effect::Kind::try_acquire) effect.kind = Effect::Kind::acquire;
  }
  const auto state = state_on_return(routine, successful, {});
  return state && state->held == Held::yes;
}

}  // namespace

std::optional<LockKey> LockUse::key_of(Addr object) {
  const Objects& objects = lookup_.objects();
  const std::string& type = objects.type_name(object);
  if (type == "_thread.lock") return LockKey{LockKey::Kind::lock, object, object};
  if (type == "_thread.RLock") return LockKey{LockKey::Kind::recursive, object, object};
  if (type == "_multiprocessing.SemLock") {
    const auto handle = objects.image().read_pointer(offset_by(object, semlock_handle));
    if (!handle || handle->value == 0) return std::nullopt;
    return LockKey{LockKey::Kind::shared, *handle, object};
  }
  if (!objects.has_flag(object, flag_heap_type) || depth_ > most_depth) return std::nullopt;
  std::optional<Addr> inner;
  if (lookup_.has_base(object, "Condition")) {
    inner = objects.find_attribute(object, "_lock");
  } else if (lookup_.has_base(object, "SemLock")) {
    inner = objects.find_attribute(object, "_semlock");
  } else if (lookup_.has_base(object, "Semaphore") && objects.find_attribute(object, "_value")) {
    return LockKey{LockKey::Kind::semaphore, object, object};
  }
  if (!inner) return std::nullopt;
  ++depth_;
  const auto key = key_of(*inner);
  --depth_;
  return key;
}

bool LockUse::mentions_locks(const Code& code) {
  const auto [at, fresh] = mentions_.try_emplace(code.at.value);
  // Of module locks the import's own records tell (import_locks.cpp); what they are made of, a lock
  // that is taken as a signal, would mislead.
  if (fresh && code.file != "<frozen importlib._bootstrap>") {
    const auto names = read_names(lookup_.objects(), code.at);
    at->second = std::ranges::any_of(names, [](const std::string& name) {
      return among(takes, name) || among(gives, name) || name == pushes;
    });
  }
  return at->second;
}

// A plain acquire() has the lock when it returns. One that may give up is asked, or its answer kept
// in a local that still tells.
std::optional<Effect::Kind> LockUse::acquire_kind(const Scope& scope, const Call& call) {
  const auto& code = scope.text->routine.instructions;
  if (call.arguments == 0 || scope.text->name(call.method) == "__enter__")
    return Effect::Kind::acquire;
  const bool ignored = call.at + 1 < code.size() && code[call.at + 1].op == Op::pop_top;
  if (ignored && !call.named_arguments) return Effect::Kind::acquire;  // acquire(True)
  const auto kept = result_local(scope.text->routine, call);
  const auto answer = kept && scope.frame ? lookup_.local(scope, *kept) : std::nullopt;
  if (!answer || lookup_.objects().type_name(*answer) != "bool") return Effect::Kind::try_acquire;
  const auto value = lookup_.objects().read_int(*answer);
  if (!value) return Effect::Kind::try_acquire;
  return *value != 0 ? std::optional(Effect::Kind::acquire) : std::nullopt;
}

// Code that an object's own method runs: it takes or releases what is the object's.
void LockUse::add_helper(const Scope& scope, const Call& call, Addr object,
                         std::vector<Touch>& touches) {
  if (!lookup_.objects().has_flag(object, flag_heap_type) || depth_ >= most_depth) return;
  const bool super = call.on.root == Op::load_super_attr || call.on.root == Op::call;
  const auto method = lookup_.class_attribute(object, scope.text->name(call.method),
                                              super ? scope.text->code->at : Addr{});
  const auto function = method ? lookup_.function(*method) : std::nullopt;
  if (!function || !mentions_locks(*function->code) || leaves_locks_alone(*function->code)) return;
  const auto& code = scope.text->routine.instructions;
  const bool ignored = call.at + 1 < code.size() && code[call.at + 1].op == Op::pop_top;
  for (const Summary& summary : summary_of(*function, object)) {
    Effect effect{summary.kind, call.on.root, call.on.index};
    // Nothing was passed on that would let it give up.
    if (summary.only_if_it_fails && ignored && call.arguments == 0)
      effect.kind = Effect::Kind::acquire;
    touches.push_back({call.at, summary.key, effect, call_text(*scope.text, call)});
  }
}

// `manager.__enter__()` called by hand, or pushed on an ExitStack.
void LockUse::add_manager_touch(const Scope& scope, const Call& call, Addr manager,
                                std::vector<Touch>& touches) {
  for (const Managed& managed : managed_by(manager)) {
    const auto kind = managed.held == Held::yes ? Effect::Kind::acquire : Effect::Kind::try_acquire;
    touches.push_back(
        {call.at, managed.key, {kind, call.on.root, call.on.index}, call_text(*scope.text, call)});
  }
}

void LockUse::add_touch(const Scope& scope, const Call& call, std::vector<Touch>& touches) {
  const std::string& name = scope.text->name(call.method);
  const bool taking = among(takes, name), giving = among(gives, name);
  const auto object = lookup_.value(scope, call.on);
  if (!object || lookup_.objects().type_name(*object) == "NoneType") {
    // What it was called on is not to be found any more: it may have been any lock.
    if (giving) touches.push_back({call.at, {}, {Effect::Kind::maybe_release}, ""});
    return;
  }
  const bool super = call.on.root == Op::load_super_attr || call.on.root == Op::call;
  if (super) return add_helper(scope, call, *object, touches);
  // A bound method that an instance keeps, as Condition does: it is the other object's.
  Addr target = *object;
  const auto own =
      taking || giving ? lookup_.objects().find_attribute(target, name) : std::optional<Addr>();
  if (own && (lookup_.objects().type_name(*own) == "builtin_function_or_method" ||
              lookup_.objects().type_name(*own) == "method")) {
    target = lookup_.objects().image().read_pointer(offset_by(*own, bound_self)).value_or(target);
  }
  const auto key = taking || giving ? key_of(target) : std::nullopt;
  if (!key && (name == pushes || name == "__enter__"))
    return add_manager_touch(scope, call, target, touches);
  if (!key) return add_helper(scope, call, target, touches);
  std::optional<Effect::Kind> kind = Effect::Kind::release;
  if (taking) kind = acquire_kind(scope, call);
  if (kind)
    touches.push_back(
        {call.at, *key, {*kind, call.on.root, call.on.index}, call_text(*scope.text, call)});
}

std::vector<Touch> LockUse::find_touches(const Scope& scope) {
  std::vector<Touch> touches;
  for (const Call& call : scope.text->routine.calls) {
    if (touches.size() >= most_touches) break;
    add_touch(scope, call, touches);
  }
  return touches;
}

const std::vector<LockUse::Summary>& LockUse::summary_of(const Function& function, Addr self) {
  const auto [at, fresh] = summaries_.try_emplace({function.at.value, self.value});
  if (!fresh) return at->second;  // empty while it is being made: a function that calls itself
  ++depth_;
  const Scope scope = lookup_.scope_of(function, self);
  const std::vector<Touch> touches = find_touches(scope);
  std::vector<Summary> summaries;
  std::set<LockKey> done;
  for (const Touch& touch : touches) {
    if (touch.key.at.value == 0 || !done.insert(touch.key).second) continue;
    Effects effects;
    for (const Touch& other : touches) {
      if (other.key == touch.key) effects.emplace(other.at, other.effect);
    }
    const auto from_free = state_on_return(scope.text->routine, effects, {});
    const auto from_held = state_on_return(scope.text->routine, effects, {Held::yes});
    if (!from_free || !from_held) continue;
    if (from_free->held == Held::yes)
      summaries.push_back({touch.key, Effect::Kind::acquire, touch.text});
    else if (from_free->held == Held::maybe)
      summaries.push_back({touch.key, Effect::Kind::try_acquire, touch.text,
                           is_asked_for_on_all_ways(scope.text->routine, effects)});
    else if (from_held->held == Held::no)
      summaries.push_back({touch.key, Effect::Kind::release, touch.text});
    else if (from_held->held == Held::maybe)
      summaries.push_back({touch.key, Effect::Kind::maybe_release, touch.text});
  }
  --depth_;
  return summaries_[{function.at.value, self.value}] = std::move(summaries);
}

void LockUse::read_role(const Scope& scope, FrameUse& use) {
  const Code& code = *use.frame.code;
  const std::string_view name = last_part(code.name);
  const bool leaves = name == "__exit__" || name == "__aexit__";
  const bool waits = name == "wait" && base_name(code.file) == "threading.py" &&
                     ring_of_python(code.file) == Ring::runtime;
  const auto self = leaves || waits ? lookup_.local(scope, 0) : std::nullopt;
  if (self && leaves) use.leaving = managed_by(*self);
  if (self && waits && lookup_.has_base(*self, "Condition")) use.waiting = key_of(*self);
}

FrameUse LockUse::read(const PythonFrame& frame) {
  FrameUse use;
  use.frame = frame;
  const Scope scope = lookup_.scope_of(frame);
  use.text = scope.text;
  use.touches = find_touches(scope);
  for (const WithMarker& marker : find_with_markers(lookup_.objects(), frame)) {
    use.withs.push_back(
        {find_with_entry(scope.text->routine, marker.handler), managed_by(marker.self)});
  }
  read_role(scope, use);
  return use;
}

}  // namespace coldcase::cpython
