#include "holders/native_locals.hpp"

#include <algorithm>
#include <array>
#include <cstdio>
#include <cstring>
#include <map>

#include "base/text.hpp"
#include "modules/dwarf_locals.hpp"
#include "threads/unwind.hpp"

namespace coldcase {
namespace {

using Kind = LocalVariable::Kind;
using Place = LocalVariable::Place;

constexpr std::size_t most_frames = 64;         // of one thread
constexpr std::size_t most_variables = 20'000;  // of one process
constexpr std::size_t longest_text = 80;        // bytes of a string
constexpr std::string_view absent = "not in the core";

// One frame of a thread's walk.
struct At {
  const MemoryImage& image;
  const Context& registers;
  std::uint64_t cfa;
};

std::optional<Addr> place_of(const LocalVariable& variable, const At& at) {
  if (variable.place == Place::frame)
    return at.cfa == 0 ? std::nullopt : std::optional(offset_by(Addr{at.cfa}, variable.offset));
  const auto base = at.registers.get(variable.reg);
  return base ? std::optional(offset_by(Addr{*base}, variable.offset)) : std::nullopt;
}

// The value's first 8 bytes; those beyond its size are 0.
std::optional<std::uint64_t> bits_of(const LocalVariable& variable, const At& at) {
  std::uint64_t bits = 0;
  const std::size_t size = std::min<std::size_t>(variable.size, sizeof bits);
  if (variable.place == Place::register_) {
    const auto value = at.registers.get(variable.reg);
    if (!value) return std::nullopt;
    std::memcpy(&bits, &*value, size);
    return bits;
  }
  std::array<std::byte, sizeof bits> bytes{};
  const auto place = place_of(variable, at);
  if (!place || !at.image.read_into(*place, std::span(bytes).first(size))) return std::nullopt;
  std::memcpy(&bits, bytes.data(), sizeof bits);
  return bits;
}

std::int64_t signed_value(std::uint64_t bits, std::uint64_t size) {
  const auto unused = static_cast<int>(64 - 8 * std::clamp<std::uint64_t>(size, 1, 8));
  return static_cast<std::int64_t>(bits << unused) >> unused;
}

// "abc", cut off where it is longer; nothing when it is not there.
std::string quoted(const At& at, Addr from, std::size_t most) {
  const Bytes bytes = at.image.view(from, std::min(most, longest_text));
  if (bytes.empty()) return {};
  std::string text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  const auto end = text.find('\0');
  const bool cut = end == std::string::npos && text.size() < most;
  text.resize(std::min(end, text.size()));
  return "\"" + clean_text(text, 4 * longest_text) + (cut ? "...\"" : "\"");
}

std::string floating(std::uint64_t bits, std::uint64_t size) {
  double value = 0;
  float single = 0;
  if (size == sizeof value) std::memcpy(&value, &bits, sizeof value);
  if (size == sizeof single) std::memcpy(&single, &bits, sizeof single);
  std::array<char, 40> text{};
  std::snprintf(text.data(), text.size(), "%.9g",
                size == sizeof single ? static_cast<double>(single) : value);
  return text.data();
}

std::string enumerator(const LocalVariable& variable, std::int64_t value) {
  const auto& all = variable.enumerators;
  const auto name = std::ranges::find(all, value, &std::pair<std::int64_t, std::string>::first);
  return name == all.end() ? std::to_string(value) : name->second;
}

// A class, an array: only where it is.
std::string whereabouts(const LocalVariable& variable, const At& at) {
  const auto place = variable.place == Place::register_ ? std::nullopt : place_of(variable, at);
  if (!place) return {};
  if (variable.kind == Kind::letters) return quoted(at, *place, variable.size);
  return (variable.type.empty() ? "" : variable.type + " ") + "at " + hex(place->value);
}

// Empty when nothing is to be told.
std::string value_of(const LocalVariable& variable, const At& at) {
  const bool number = variable.size >= 1 && variable.size <= 8;
  if (variable.kind == Kind::other || variable.kind == Kind::letters || !number)
    return whereabouts(variable, at);
  const auto bits = bits_of(variable, at);
  if (!bits) return std::string(absent);
  switch (variable.kind) {
    case Kind::boolean:
      return *bits == 0 ? "false" : *bits == 1 ? "true" : std::to_string(*bits);
    case Kind::signed_:
      return std::to_string(signed_value(*bits, variable.size));
    case Kind::unsigned_:
      return std::to_string(*bits);
    case Kind::floating:
      return floating(*bits, variable.size);
    case Kind::enumeration:
      return enumerator(variable, signed_value(*bits, variable.size));
    case Kind::pointer:
      return hex(*bits);
    case Kind::text: {
      const std::string text = *bits == 0 ? "" : quoted(at, Addr{*bits}, SIZE_MAX);
      return hex(*bits) + (text.empty() ? "" : " " + text);
    }
    case Kind::other:
    case Kind::letters:
      break;
  }
  return {};
}

class Locals {
 public:
  Locals(const Seen& seen, Ledger& ledger)
      : seen_(seen), ledger_(ledger), rules_(seen.view.threads.rules) {}

  void run() {
    Unwinder unwinder(seen_.view.image, rules_);
    for (std::size_t i = 0; i < seen_.view.core.threads.size() && told_ < most_variables; ++i)
      look_through(i, unwinder);
  }

 private:
  void look_through(std::size_t thread, Unwinder& unwinder) {
    const View& view = seen_.view;
    std::size_t index = 0;
    unwinder.walk(view.core.threads[thread].registers,
                  [&](const WalkFrame& frame, const Context& registers) {
                    // Behind a frame that was guessed the registers are guesses, too.
                    if (frame.trust != Trust::context && frame.trust != Trust::cfi) return false;
                    if (frame.row >= view.threads.names.size() || index >= most_frames)
                      return false;
                    add(thread, index++, frame, {view.image, registers, frame.cfa});
                    return told_ < most_variables;
                  });
  }

  void add(std::size_t thread, std::size_t index, const WalkFrame& frame, const At& at) {
    const Row& row = rules_.row(frame.row);
    const auto merged = seen_.merged(thread, index);
    if (row.module == nullptr || !merged) return;
    const auto [known, fresh] = variables_.try_emplace(frame.row);
    if (fresh) known->second = finder_.find(*row.module, row.module->to_file(row.lookup));
    ThreadFact& fact = ledger_.thread(seen_.view.thread_id(thread));
    for (const LocalVariable& variable : known->second) {
      // Inlined functions stand before the real frame, the outermost of them next to it.
      if (variable.inlined > *merged || told_ >= most_variables) continue;
      std::string value = value_of(variable, at);
      if (value.empty()) continue;
      fact.locals.push_back({*merged - static_cast<std::uint32_t>(variable.inlined), variable.name,
                             variable.type, std::move(value)});
      ++told_;
    }
  }

  const Seen& seen_;
  Ledger& ledger_;
  Rules rules_;  // a copy: walking may add rows to it
  VariableFinder finder_;
  std::map<std::uint32_t, std::vector<LocalVariable>> variables_;  // by row
  std::size_t told_ = 0;
};

}  // namespace

void add_locals(const std::vector<std::unique_ptr<Seen>>& processes, Ledger& ledger) {
  for (const auto& seen : processes) Locals(*seen, ledger).run();
}

}  // namespace coldcase
