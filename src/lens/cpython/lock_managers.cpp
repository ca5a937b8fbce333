// Which locks the manager of an open with block stands for.
#include <algorithm>

#include "base/text.hpp"
#include "lens/cpython/lens_parts.hpp"
#include "lens/cpython/lock_chain.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::int64_t bound_function = 16, bound_self = 24;
constexpr int most_depth = 6;
constexpr std::size_t most_managed = 256, most_callbacks = 1024;

std::string_view class_name(const Objects& objects, Addr object) {
  return last_part(objects.type_name(object));
}

std::string with_article(std::string_view name) {
  const bool vowel = !name.empty() && std::string_view("AEIOUaeiou").find(name[0]) < 10;
  return (vowel ? "an " : "a ") + clean_text(name, 128);
}

std::string behind(const std::string& way) {
  return way.empty() ? std::string() : ": " + way;
}

}  // namespace

const std::vector<Managed>& LockUse::managed_by(Addr manager) {
  static const std::vector<Managed> none;
  if (depth_ >= most_depth) return none;
  const auto [at, fresh] = managed_.try_emplace(manager.value);
  if (!fresh) return at->second;  // empty while it is being found: managers may hold each other
  ++depth_;
  auto found = find_managed(manager);
  --depth_;
  if (found.size() > most_managed) found.resize(most_managed);
  return managed_[manager.value] = std::move(found);
}

std::vector<Managed> LockUse::find_managed(Addr manager) {
  const Objects& objects = lookup_.objects();
  if (const auto key = key_of(manager)) {
    const bool itself = key->at == manager || key->object == manager;
    return {
        {*key, Held::yes, true,
         itself ? std::string() : with_article(class_name(objects, manager)) + " that uses it"}};
  }
  const bool generated = lookup_.has_base(manager, "_GeneratorContextManager") ||
                         lookup_.has_base(manager, "_AsyncGeneratorContextManager");
  const bool closing =
      lookup_.has_base(manager, "closing") || lookup_.has_base(manager, "aclosing");
  if (generated || closing) {
    const auto generator = objects.find_attribute(manager, generated ? "gen" : "thing");
    return generator ? held_in(*generator) : std::vector<Managed>{};
  }
  if (const auto callbacks = objects.find_attribute(manager, "_exit_callbacks");
      callbacks && objects.type_name(*callbacks) == "collections.deque")
    return held_by_stack(manager);
  return managed_by_class(manager);
}

// The generator's own frame is read as a thread's would be.
std::vector<Managed> LockUse::held_in(Addr generator) {
  std::vector<FrameUse> chain;
  for (const PythonFrame& frame : read_delegation(lookup_.python(), generator))
    chain.push_back(read(frame));
  std::ranges::reverse(chain);
  std::vector<Managed> managed;
  for (const Holding& holding : follow_chain(lookup_.objects().layout(), chain).holdings) {
    if (holding.held == Held::no) continue;
    const PythonFrame& frame = chain[holding.frame].frame;
    std::string way = "the generator " + clean_text(frame.code->name, 256) + " (" +
                      clean_text(base_name(frame.code->file), 128) + ":" +
                      std::to_string(holding.line.value_or(frame.line)) + "), ";
    way += holding.how == Holding::How::with_block
               ? "suspended inside a with block" +
                     (holding.way.empty() ? " of it" : " of " + holding.way)
               : "suspended after " + holding.way;
    managed.push_back({holding.key, holding.held, holding.recorded, std::move(way)});
  }
  return managed;
}

// ExitStack._exit_callbacks, from the bottom: tuples (is_sync, callback), the callback alone in
// 3.6. What it holds is a bound __exit__ from 3.8 on, a closure before, and for callback() always.
std::vector<Managed> LockUse::held_by_stack(Addr stack) {
  const Objects& objects = lookup_.objects();
  std::vector<Managed> managed;
  const auto callbacks = objects.find_attribute(stack, "_exit_callbacks");
  if (!callbacks) return managed;
  for (const Addr entry : read_deque(*callbacks)) {
    if (managed.size() > most_managed) break;
    const auto pair = objects.read_tuple(entry);
    if (pair && pair->size() != 2) continue;
    add_callback(pair ? pair->back() : entry, managed, 0);
  }
  const std::string name = with_article(class_name(objects, stack));
  for (Managed& one : managed) one.way = name + " that releases it at its end" + behind(one.way);
  return managed;
}

void LockUse::add_callback(Addr callback, std::vector<Managed>& managed, int depth) {
  const Objects& objects = lookup_.objects();
  const std::string& type = objects.type_name(callback);
  const auto take = [&](const std::vector<Managed>& more) {
    managed.insert(managed.end(), more.begin(), more.end());
  };
  if (type == "function") {
    if (depth < 2) add_closure(callback, managed, depth + 1);
    return;
  }
  const bool builtin = type == "builtin_function_or_method";
  if (!builtin && type != "method") return;
  const auto self = objects.image().read_pointer(offset_by(callback, bound_self));
  if (!self) return;
  // A lock's bound method among exit callbacks is its release or __exit__.
  if (builtin) {
    if (const auto key = key_of(*self)) managed.push_back({*key, Held::yes, true, ""});
    return;
  }
  const auto inside = objects.image().read_pointer(offset_by(callback, bound_function));
  const auto function = inside ? lookup_.function(*inside) : std::nullopt;
  if (!function || last_part(function->code->name).starts_with("__"))
    return take(managed_by(*self));
  for (const Summary& summary : summary_of(*function, *self)) {
    if (summary.kind == Effect::Kind::release)
      managed.push_back({summary.key, Held::yes, false, "its callback " + summary.text});
  }
}

// contextlib's own wrappers: the manager and its __exit__, or the callback, are free variables.
void LockUse::add_closure(Addr callable, std::vector<Managed>& managed, int depth) {
  const Objects& objects = lookup_.objects();
  const auto function = lookup_.function(callable);
  if (!function || function->closure.value == 0) return;
  const auto cells = objects.read_tuple(function->closure);
  if (!cells || cells->size() > 8) return;
  const auto& names = lookup_.text_of(*function->code).local_names;
  for (std::size_t i = 0; i < cells->size() && cells->size() <= names.size(); ++i) {
    const auto value = objects.image().read_pointer(offset_by((*cells)[i], 16));
    if (!value || value->value == 0) continue;
    if (names[names.size() - cells->size() + i] == "cm") {
      const auto& more = managed_by(*value);
      managed.insert(managed.end(), more.begin(), more.end());
    } else {
      add_callback(*value, managed, depth);
    }
  }
}

// dequeobject (Modules/_collectionsmodule.c): blocks of 64 between two links, 3.6 to 3.15.
std::vector<Addr> LockUse::read_deque(Addr deque) {
  const Objects& objects = lookup_.objects();
  const MemoryImage& image = objects.image();
  std::vector<Addr> items;
  if (objects.type_name(deque) != "collections.deque") return items;
  const auto size = image.read<std::int64_t>(offset_by(deque, 16));
  auto block = image.read_pointer(offset_by(deque, 24));
  auto index = image.read<std::int64_t>(offset_by(deque, 40));
  if (!size || !block || !index || *size < 0 || *index < 0 || *index >= 64) return items;
  const auto count = std::min<std::int64_t>(*size, most_callbacks);
  for (std::int64_t at = *index; block && static_cast<std::int64_t>(items.size()) < count; ++at) {
    if (at == 64) {
      block = image.read_pointer(offset_by(*block, 65 * 8));
      at = 0;
      if (!block) break;
    }
    const auto item = image.read_pointer(offset_by(*block, 8 + at * 8));
    if (!item) break;
    items.push_back(*item);
  }
  return items;
}

// What the class's own __enter__ has taken when it returns.
std::vector<Managed> LockUse::managed_by_class(Addr manager) {
  std::vector<Managed> managed;
  for (const std::string_view name : {"__enter__", "__aenter__"}) {
    const auto method = lookup_.class_attribute(manager, name);
    const auto function = method ? lookup_.function(*method) : std::nullopt;
    if (!function || !mentions_locks(*function->code)) continue;
    const std::string type = with_article(class_name(lookup_.objects(), manager));
    for (const Summary& summary : summary_of(*function, manager)) {
      if (summary.kind != Effect::Kind::acquire && summary.kind != Effect::Kind::try_acquire)
        continue;
      const Held held = summary.kind == Effect::Kind::acquire ? Held::yes : Held::maybe;
      managed.push_back({summary.key, held, true,
                         type + ", whose " + std::string(name) + " calls " + summary.text});
    }
  }
  return managed;
}

}  // namespace coldcase::cpython
