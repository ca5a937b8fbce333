#include <algorithm>

#include "holders/machine.hpp"

namespace coldcase {
namespace {

constexpr std::size_t most_instructions = 4'000;  // of one cleanup, over all of its paths
constexpr std::size_t most_paths = 64;
constexpr std::size_t deepest_call = 6;
constexpr std::size_t most_rounds = 4;  // of one place on one path

// One way through a cleanup.
struct Path {
  explicit Path(MachineState start) : state(std::move(start)) {}
  MachineState state;
  std::uint64_t at = 0;
  std::vector<std::uint64_t> returns;
  std::vector<Release> releases;
  std::vector<WordStore> stores;
  std::vector<std::uint64_t> taken;  // locks this path took itself, and has not released yet
  bool lost = false;                 // it took one whose address is not known
  std::map<std::uint64_t, std::size_t> rounds;
};

enum class PathEnd : std::uint8_t { resumed, elsewhere, gave_up };

class Runner {
 public:
  Runner(Code& code, const MemoryImage& image) : code_(code), image_(image) {}

  CleanupRun run(std::uint64_t pad, const Context& frame);
  CleanupRun run_ahead(std::uint64_t at, const Context& frame, const std::vector<Watched>& watched);

 private:
  std::optional<PathEnd> step(Path& path);
  std::optional<PathEnd> jump_if(Path& path, const Instruction& instruction);
  std::optional<PathEnd> call(Path& path, const Instruction& instruction);
  void touch_word(Path& path, const Instruction& instruction);
  void note_stores(Path& path, const Instruction& instruction) const;
  CleanupRun run_all();
  PathEnd end_of_function() const { return ahead_ ? PathEnd::resumed : PathEnd::elsewhere; }
  static void add_release(Path& path, LockClass lock, std::uint64_t address, std::uint64_t at);
  CleanupRun summary(bool complete) const;

  Code& code_;
  const MemoryImage& image_;
  std::size_t instructions_ = 0;
  bool touches_ = false;
  bool ahead_ = false;
  std::vector<Watched> watched_;
  std::vector<Path> waiting_;
  std::vector<Path> resumed_;
  std::vector<Path> gave_up_;
};

void Runner::add_release(Path& path, LockClass lock, std::uint64_t address, std::uint64_t at) {
  if (const auto own = std::ranges::find(path.taken, address); own != path.taken.end()) {
    path.taken.erase(own);
    return;
  }
  if (!path.lost) path.releases.push_back({lock, address, at, false});
}

// A lock that is a plain word is released by storing 0 to it, or by an atomic change of it.
void Runner::touch_word(Path& path, const Instruction& instruction) {
  const bool exchange = instruction.opcode == Opcode::exchange;
  const std::size_t place = exchange && instruction.second().kind == Operand::Kind::memory ? 1 : 0;
  const Operand& memory = instruction.operands[place];
  if (memory.kind != Operand::Kind::memory) return;
  const bool stores = instruction.opcode == Opcode::move;
  if (!stores && !instruction.locked) return;
  touches_ = true;
  const auto address = path.state.address_of(memory);
  if (!address) return;
  if (stores || exchange) {
    const Value value = path.state.read(instruction.operands[1 - place]);
    if (!value.known()) return;
    if (value.bits != 0) {
      if (exchange) path.taken.push_back(*address);
      return;
    }
  }
  add_release(path, LockClass::word, *address, instruction.address);
}

// Whatever changes memory has it as its first operand, but for an exchange.
bool writes_to(const Instruction& instruction, const Operand& operand) {
  if (operand.kind != Operand::Kind::memory) return false;
  if (instruction.opcode == Opcode::exchange) return true;
  switch (instruction.opcode) {
    case Opcode::compare:
    case Opcode::test:
    case Opcode::push:
    case Opcode::idle:
    case Opcode::call:
    case Opcode::jump:
      return false;
    default:
      return &operand == &instruction.first();
  }
}

void Runner::note_stores(Path& path, const Instruction& instruction) const {
  for (std::size_t i = 0; i < instruction.operands.size(); ++i) {
    const Operand& operand = instruction.operands[i];
    if (!writes_to(instruction, operand)) continue;
    const auto address = path.state.address_of(operand);
    if (!address) continue;
    const bool plain = instruction.opcode == Opcode::move || instruction.opcode == Opcode::exchange;
    const Value value = plain ? path.state.read(instruction.operands[1 - i]) : Value{};
    for (const Watched& word : watched_) {
      const bool meets =
          *address < word.address + word.size && word.address < *address + operand.size;
      const bool same = value.known() && *address == word.address && value.bits == word.value;
      const bool noted =
          std::ranges::find(path.stores, word.address, &WordStore::address) != path.stores.end();
      if (meets && !same && !noted)
        path.stores.push_back({word.address, instruction.address, false});
    }
  }
}

std::optional<PathEnd> Runner::jump_if(Path& path, const Instruction& instruction) {
  const auto target = instruction.target();
  const Value condition = path.state.holds(instruction.condition);
  if (!target) return PathEnd::gave_up;
  if (condition.known()) {
    path.at = condition.bits != 0 ? *target : instruction.next();
    return std::nullopt;
  }
  if (waiting_.size() + resumed_.size() + gave_up_.size() >= most_paths) return PathEnd::gave_up;
  code_.work().add(instructions_);  // what a path has noted is copied with it
  Path other = path;
  other.at = *target;
  waiting_.push_back(std::move(other));
  path.at = instruction.next();
  return std::nullopt;
}

std::optional<PathEnd> Runner::call(Path& path, const Instruction& instruction) {
  const Callee callee = code_.callee(instruction);
  const Value argument = path.state.reg(dw_rdi);
  const bool tail = instruction.opcode == Opcode::jump;
  switch (callee.role.act) {
    case Role::Act::resumes:
      return PathEnd::resumed;
    case Role::Act::ends:
      return PathEnd::elsewhere;
    case Role::Act::acquire:
      if (argument.known())
        path.taken.push_back(argument.bits);
      else
        path.lost = true;
      break;
    case Role::Act::release:
      touches_ = true;
      if (argument.known()) add_release(path, callee.role.lock, argument.bits, instruction.address);
      break;
    case Role::Act::none:
      if (callee.inside == 0 || path.returns.size() >= deepest_call) break;
      if (!tail) {
        path.state.push({});
        path.returns.push_back(instruction.next());
      }
      path.at = callee.inside;
      return std::nullopt;
  }
  path.state.call_clobbers();
  path.at = instruction.next();
  if (!tail) return std::nullopt;
  // A call in the last place returns to whoever called this function.
  if (path.returns.empty()) return end_of_function();
  path.state.pop();
  path.at = path.returns.back();
  path.returns.pop_back();
  return std::nullopt;
}

// Nothing while the path goes on.
std::optional<PathEnd> Runner::step(Path& path) {
  if (++instructions_ > most_instructions || code_.work().spent() ||
      ++path.rounds[path.at] > most_rounds)
    return PathEnd::gave_up;
  const auto instruction = code_.decode(path.at);
  if (!instruction) return PathEnd::gave_up;
  switch (instruction->opcode) {
    case Opcode::trap:
      return PathEnd::elsewhere;
    case Opcode::jump_if:
      return jump_if(path, *instruction);
    case Opcode::call:
      return call(path, *instruction);
    case Opcode::jump: {
      const auto target = instruction->target();
      const Callee callee = code_.callee(*instruction);
      const bool goes_on = target && callee.role.act == Role::Act::none && callee.inside == *target;
      if (!goes_on) return call(path, *instruction);
      path.at = *target;
      return std::nullopt;
    }
    case Opcode::ret:
      if (path.returns.empty()) return end_of_function();
      path.state.pop();
      path.at = path.returns.back();
      path.returns.pop_back();
      return std::nullopt;
    default:
      touch_word(path, *instruction);
      if (!watched_.empty()) note_stores(path, *instruction);
      path.state.execute(*instruction);
      path.at = instruction->next();
      return std::nullopt;
  }
}

CleanupRun Runner::summary(bool complete) const {
  CleanupRun run;
  run.complete = complete;
  run.touches = touches_;
  run.steps = instructions_;
  const auto has = [](const Path& path, const Release& release) {
    return std::ranges::any_of(path.releases, [&](const Release& other) {
      return other.address == release.address && other.lock == release.lock;
    });
  };
  const auto add = [&](const Path& path) {
    for (Release release : path.releases) {
      const bool listed = std::ranges::any_of(run.releases, [&](const Release& other) {
        return other.address == release.address && other.lock == release.lock;
      });
      if (listed) continue;
      const auto releases_it = [&](const Path& other) { return has(other, release); };
      release.always = !resumed_.empty() && std::ranges::all_of(resumed_, releases_it) &&
                       std::ranges::all_of(gave_up_, releases_it);
      run.releases.push_back(release);
    }
  };
  const auto stores_to = [](const Path& path, std::uint64_t address) {
    return std::ranges::find(path.stores, address, &WordStore::address) != path.stores.end();
  };
  const auto add_stores = [&](const Path& path) {
    for (WordStore store : path.stores) {
      if (std::ranges::find(run.stores, store.address, &WordStore::address) != run.stores.end())
        continue;
      const auto stores_it = [&](const Path& other) { return stores_to(other, store.address); };
      store.always = !resumed_.empty() && std::ranges::all_of(resumed_, stores_it) &&
                     std::ranges::all_of(gave_up_, stores_it);
      run.stores.push_back(store);
    }
  };
  for (const auto* paths : {&resumed_, &gave_up_}) {
    std::ranges::for_each(*paths, add);
    std::ranges::for_each(*paths, add_stores);
  }
  return run;
}

CleanupRun Runner::run(std::uint64_t pad, const Context& frame) {
  Path first{MachineState(image_, frame)};
  first.at = pad;
  waiting_.push_back(std::move(first));
  return run_all();
}

CleanupRun Runner::run_ahead(std::uint64_t at, const Context& frame,
                             const std::vector<Watched>& watched) {
  ahead_ = true;
  watched_ = watched;
  Path first{MachineState(image_, frame)};
  for (std::size_t i = dw_rax; i <= dw_r15; ++i) {
    const auto value = frame.get(i);
    first.state.reg(i) = value ? Value{Value::Kind::known, *value} : Value{};
  }
  first.at = at;
  waiting_.push_back(std::move(first));
  return run_all();
}

CleanupRun Runner::run_all() {
  while (!waiting_.empty()) {
    Path path = std::move(waiting_.back());
    waiting_.pop_back();
    std::optional<PathEnd> end;
    while (!end) end = step(path);
    if (*end == PathEnd::elsewhere) continue;
    (*end == PathEnd::resumed ? resumed_ : gave_up_).push_back(std::move(path));
  }
  return summary(gave_up_.empty());
}

}  // namespace

CleanupRun run_cleanup(Code& code, const MemoryImage& image, std::uint64_t pad,
                       const Context& frame) {
  return Runner(code, image).run(pad, frame);
}

CleanupRun run_ahead(Code& code, const MemoryImage& image, std::uint64_t at, const Context& frame,
                     const std::vector<Watched>& watched) {
  return Runner(code, image).run_ahead(at, frame, watched);
}

}  // namespace coldcase
