#include "holders/flow.hpp"

#include <algorithm>

namespace coldcase {
namespace {

constexpr std::size_t most_nodes = 20'000;
constexpr int deepest_resolve = 24;
constexpr std::size_t making_node = 16;  // steps of Work

constexpr bool kept_by_calls(int reg) {
  return reg == dw_rbx || reg == dw_rbp || reg == dw_rsp || (reg >= dw_r12 && reg <= dw_r15);
}

bool ends(const FlowNode& node) {
  const Opcode opcode = node.instruction.opcode;
  return opcode == Opcode::ret || opcode == Opcode::trap || node.role.act == Role::Act::ends ||
         node.role.act == Role::Act::resumes;
}

}  // namespace

// What one node does to the lock that is asked about.
struct Flow::Event {
  enum class What : std::uint8_t { none, take, take_unknown, release, release_unknown, other };
  What what = What::none;

  // A call with this role; `same`: of the very lock that is asked about.
  static What of(const Role& role, bool same) {
    if (role.act == Role::Act::release) return same ? What::release : What::release_unknown;
    // Readers hold it: nobody took it for writing here and stayed.
    if (role.lock == LockClass::rwlock && !role.read) return same ? What::other : What::none;
    return same ? What::take : What::take_unknown;
  }
};

std::int32_t Flow::add(Code& code, std::uint64_t at) {
  if (const auto known = at_.find(at); known != at_.end()) return known->second;
  code.work().add(making_node);
  const bool room = nodes_.size() < most_nodes && !code.work().spent();
  const auto instruction = room ? code.decode(at) : std::nullopt;
  if (!instruction) {
    whole_ = false;
    return -1;
  }
  FlowNode node;
  node.instruction = *instruction;
  const bool leaves = instruction->opcode == Opcode::call || instruction->opcode == Opcode::jump;
  if (leaves) node.role = code.callee(*instruction).role;
  locks_ |= node.role.act == Role::Act::acquire;
  const auto index = static_cast<std::int32_t>(nodes_.size());
  at_.emplace(at, index);
  nodes_.push_back(node);
  return index;
}

void Flow::add_jump(Code& code, std::int32_t index, std::vector<std::int32_t>& work) {
  const Instruction instruction = nodes_[static_cast<std::size_t>(index)].instruction;
  const auto target = instruction.target();
  const auto link = [&](std::size_t slot, std::uint64_t at) {
    const std::size_t before = nodes_.size();
    const std::int32_t to = add(code, at);
    nodes_[static_cast<std::size_t>(index)].next[slot] = to;
    if (to >= 0 && nodes_.size() > before) work.push_back(to);
  };
  if (instruction.opcode == Opcode::jump_if) {
    link(0, instruction.next());
    if (target) link(1, *target);
    return;
  }
  if (!target) {
    nodes_[static_cast<std::size_t>(index)].scatters = true;
    return;
  }
  // A jump to where another function begins is a call in the last place, unless that is a part of
  // this one which the compiler moved away (.cold): those are reached by conditional jumps.
  const auto other = code.function(*target);
  if (other && other->begin == *target && !at_.contains(*target)) return;
  link(0, *target);
}

void Flow::grow(Code& code, std::vector<std::int32_t> work) {
  while (whole_ && !work.empty()) {
    const std::int32_t index = work.back();
    work.pop_back();
    const FlowNode& node = nodes_[static_cast<std::size_t>(index)];
    if (ends(node)) continue;
    const Opcode opcode = node.instruction.opcode;
    if (opcode == Opcode::jump && node.role.act != Role::Act::none) continue;
    if (opcode == Opcode::jump || opcode == Opcode::jump_if) {
      add_jump(code, index, work);
      continue;
    }
    const std::size_t before = nodes_.size();
    const std::int32_t to = add(code, node.instruction.next());
    nodes_[static_cast<std::size_t>(index)].next[0] = to;
    if (to >= 0 && nodes_.size() > before) work.push_back(to);
  }
}

// A switch jumps through a table: it may lead to any code that nothing else leads to. What it does
// not lead to makes the answer more careful, never bolder. The range is the file's word: what
// bounds this is that each round has a node, a new one or the next known one.
void Flow::join_scattered(Code& code, const CodeRange& range) {
  std::uint64_t at = range.begin;
  while (whole_ && at < range.end) {
    if (const auto known = at_.find(at); known != at_.end()) {
      at = nodes_[static_cast<std::size_t>(known->second)].instruction.next();
      continue;
    }
    const std::int32_t node = add(code, at);
    if (node < 0) return;
    nodes_[static_cast<std::size_t>(node)].jumped_to = true;
    at = nodes_[static_cast<std::size_t>(node)].instruction.next();
    grow(code, {node});
  }
}

void Flow::find_predecessors() {
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    for (const std::int32_t to : nodes_[i].next) {
      if (to < 0) continue;
      nodes_[static_cast<std::size_t>(to)].before.push_back(static_cast<std::int32_t>(i));
      const FlowNode& from = nodes_[i];
      if (from.instruction.target() &&
          *from.instruction.target() == nodes_[static_cast<std::size_t>(to)].instruction.address) {
        nodes_[static_cast<std::size_t>(to)].jumped_to = true;
      }
    }
  }
}

Flow::Flow(Code& code, const CodeRange& range) {
  const std::int32_t entry = add(code, range.begin);
  if (entry < 0) return;
  grow(code, {entry});
  if (std::ranges::any_of(nodes_, &FlowNode::scatters)) join_scattered(code, range);
  find_predecessors();
}

Flow::Definitions Flow::definitions_of(std::int32_t node, int reg, Work& steps) const {
  Definitions found;
  std::vector<bool> seen(nodes_.size());
  std::vector<std::int32_t> work{node};
  while (!work.empty()) {
    const std::int32_t index = work.back();
    work.pop_back();
    if (index == 0) found.unwritten = true;
    steps.add(1 + nodes_[static_cast<std::size_t>(index)].before.size());
    for (const std::int32_t before : nodes_[static_cast<std::size_t>(index)].before) {
      const auto at = static_cast<std::size_t>(before);
      if (seen[at]) continue;
      seen[at] = true;
      const Instruction& instruction = nodes_[at].instruction;
      const bool lost = instruction.opcode == Opcode::call && !kept_by_calls(reg);
      if (lost || (instruction.written >> static_cast<unsigned>(reg) & 1) != 0)
        found.nodes.push_back(before);
      else
        work.push_back(before);
    }
  }
  return found;
}

// The value `reg` has after `node` wrote it.
Flow::Resolved Flow::resolve_write(std::int32_t index, int reg, const Asked& asked,
                                   int depth) const {
  const Instruction& instruction = nodes_[static_cast<std::size_t>(index)].instruction;
  const Operand& from = instruction.second();
  const bool whole = instruction.first().kind == Operand::Kind::register_ &&
                     instruction.first().reg == reg && instruction.first().size >= 4;
  // mov %rsp,%rbp: the stack pointer was another one then.
  if (!whole || (reg == dw_rbp && from.kind == Operand::Kind::register_)) return {};
  const auto address = [&]() -> Resolved {
    if (from.segment || from.index >= 0) return {};
    if (from.base < 0) return {from.number, 0};
    Resolved base = resolve(index, from.base, asked, depth + 1);
    if (base.value) *base.value += from.number;
    return base;
  };
  if (instruction.opcode == Opcode::address) return address();
  if (instruction.opcode == Opcode::add && from.kind == Operand::Kind::number) {
    Resolved before = resolve(index, reg, asked, depth + 1);
    if (before.value) *before.value += from.number;
    return before;
  }
  if (instruction.opcode != Opcode::move) return {};
  if (from.kind == Operand::Kind::number) return {from.number, 0};
  if (from.kind == Operand::Kind::register_ && from.size == 8)
    return resolve(index, from.reg, asked, depth + 1);
  if (from.kind != Operand::Kind::memory || from.size != 8) return {};
  Resolved place = address();
  if (place.value) place.value = asked.memory(*place.value);
  return place;
}

// The value `reg` had before `node`: by the one place that set it, else by what the frame still
// has. A register that calls keep is taken for unchanged since then, which the caller checks.
Flow::Resolved Flow::resolve(std::int32_t index, int reg, const Asked& asked, int depth) const {
  if (reg < 0 || depth > deepest_resolve) return {};
  const auto number = static_cast<unsigned>(reg);
  if (reg == dw_rsp) return {asked.frame.get(number), 0};
  const Definitions definitions = definitions_of(index, reg, asked.work);
  if (!definitions.unwritten && definitions.nodes.size() == 1) {
    const Resolved set = resolve_write(definitions.nodes.front(), reg, asked, depth);
    if (set.value) return set;
  }
  if (kept_by_calls(reg)) return {asked.frame.get(number), 1u << number};
  for (int steps = 0; steps < deepest_resolve; ++steps) {
    const FlowNode& node = nodes_[static_cast<std::size_t>(index)];
    if (node.before.size() != 1) return {};
    index = node.before.front();
    const Instruction& instruction = nodes_[static_cast<std::size_t>(index)].instruction;
    if (instruction.opcode == Opcode::call || (instruction.written >> number & 1) != 0) return {};
    // mov %rdi,%rbx: the register that is still there has the same value.
    const Operand& copy = instruction.first();
    const Operand& from = instruction.second();
    if (instruction.opcode == Opcode::move && copy.kind == Operand::Kind::register_ &&
        from.kind == Operand::Kind::register_ && from.reg == reg && from.size == 8 &&
        kept_by_calls(copy.reg)) {
      const auto kept = static_cast<unsigned>(copy.reg);
      return {asked.frame.get(kept), 1u << kept};
    }
  }
  return {};
}

std::vector<bool> Flow::reach(std::int32_t from, bool backward, Work& steps) const {
  std::vector<bool> seen(nodes_.size());
  std::vector<std::int32_t> work{from};
  while (!work.empty()) {
    const FlowNode& node = nodes_[static_cast<std::size_t>(work.back())];
    work.pop_back();
    steps.add(1);
    const auto visit = [&](std::int32_t to) {
      if (to < 0 || seen[static_cast<std::size_t>(to)]) return;
      seen[static_cast<std::size_t>(to)] = true;
      work.push_back(to);
    };
    if (backward)
      std::ranges::for_each(node.before, visit);
    else
      std::ranges::for_each(node.next, visit);
  }
  return seen;
}

// Whether one of the registers may have been set anew between the node and the site.
bool Flow::outdated(std::int32_t node, std::uint32_t rests_on,
                    const std::vector<bool>& leads_to_site, Work& work) const {
  if (rests_on == 0) return false;
  const std::vector<bool> after = reach(node, false, work);
  work.add(nodes_.size());
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (after[i] && leads_to_site[i] && (nodes_[i].instruction.written & rests_on) != 0)
      return true;
  }
  return false;
}

std::vector<Flow::Event> Flow::events_of(const Asked& asked, std::int32_t site,
                                         std::uint32_t& registers) const {
  std::vector<Event> events(nodes_.size());
  const std::vector<bool> leads_to_site = reach(site, true, asked.work);
  for (std::size_t i = 0; i < nodes_.size() && !asked.work.spent(); ++i) {
    const Role& role = nodes_[i].role;
    const bool takes = role.act == Role::Act::acquire && role.lock == asked.lock;
    const bool releases = role.act == Role::Act::release && fits(role.lock, asked.lock);
    if (!takes && !releases) continue;
    const auto node = static_cast<std::int32_t>(i);
    const Resolved argument = resolve(node, dw_rdi, asked, 0);
    const bool same = argument.value && *argument.value == asked.address;
    if (argument.value && !same && !outdated(node, argument.registers, leads_to_site, asked.work))
      continue;
    if (same && takes) registers |= argument.registers;
    events[i].what = Event::of(role, same);
  }
  return events;
}

bool Flow::release_ahead(std::int32_t from, const std::vector<Event>& events) const {
  std::vector<bool> seen(nodes_.size());
  std::vector<std::int32_t> work{from};
  while (!work.empty()) {
    const auto index = static_cast<std::size_t>(work.back());
    work.pop_back();
    if (seen[index]) continue;
    seen[index] = true;
    if (events[index].what == Event::What::release) return true;
    if (events[index].what == Event::What::take && static_cast<std::int32_t>(index) != from)
      continue;
    for (const std::int32_t to : nodes_[index].next) {
      if (to >= 0) work.push_back(to);
    }
  }
  return false;
}

std::int32_t Flow::find_site(const Asked& asked) const {
  std::int32_t site = -1;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    const Instruction& instruction = nodes_[i].instruction;
    const bool here = asked.after_call
                          ? instruction.opcode == Opcode::call && instruction.next() == asked.pc
                          : instruction.address == asked.pc;
    if (here) site = static_cast<std::int32_t>(i);
  }
  return site;
}

namespace {

constexpr unsigned state_free = 1, state_held = 2, state_unknown = 4;

}  // namespace

// The state before each node, over all ways from the entry: the bits above.
std::vector<unsigned> Flow::states_before(const std::vector<Event>& events,
                                          std::uint32_t registers) const {
  using What = Event::What;
  const auto after = [&](std::size_t i, unsigned in) -> unsigned {
    switch (events[i].what) {
      case What::take:
        return state_held;
      case What::release:
      case What::other:
        return state_free;
      case What::take_unknown:
        return in | state_unknown;
      case What::release_unknown:
        return in | state_free;
      case What::none:
        break;
    }
    // The register that told which lock was taken is set anew.
    const bool forgets = (nodes_[i].instruction.written & registers) != 0 && (in & state_held) != 0;
    return forgets ? (in & ~state_held) | state_unknown : in;
  };
  std::vector<unsigned> before(nodes_.size());
  std::vector<std::size_t> work{0};
  before[0] = state_free;
  const auto flow_to = [&](std::size_t to, unsigned state) {
    if ((before[to] | state) == before[to]) return;
    before[to] |= state;
    work.push_back(to);
  };
  unsigned hub = 0;  // between the jumps through tables and every place that a jump may lead to
  std::vector<std::size_t> scattered;
  for (std::size_t i = 0; i < nodes_.size(); ++i) {
    if (nodes_[i].jumped_to) scattered.push_back(i);
  }
  while (!work.empty()) {
    const std::size_t index = work.back();
    work.pop_back();
    const unsigned out = after(index, before[index]);
    for (const std::int32_t to : nodes_[index].next) {
      if (to >= 0) flow_to(static_cast<std::size_t>(to), out);
    }
    if (nodes_[index].scatters && (hub | out) != hub) {
      hub |= out;
      for (const std::size_t to : scattered) flow_to(to, hub);
    }
  }
  return before;
}

FlowState Flow::state_at(const Asked& asked) const {
  FlowState found;
  asked.work.add(nodes_.size());
  const std::int32_t site = find_site(asked);
  if (site < 0 || !whole_) return found;
  std::uint32_t registers = 0;
  const auto events = events_of(asked, site, registers);
  if (asked.work.spent()) return found;  // what was not looked at could say otherwise
  using What = Event::What;
  // On its way out of the lock.
  if (events[static_cast<std::size_t>(site)].what == What::release) return found;
  const unsigned here = states_before(events, registers)[static_cast<std::size_t>(site)];
  found.reached = here != 0;
  found.free = (here & state_free) != 0;
  found.held = (here & state_held) != 0;
  found.held_unknown = (here & state_unknown) != 0;
  found.handles = std::ranges::any_of(events, [](const Event& event) {
    return event.what == What::take || event.what == What::release;
  });
  found.released_after = release_ahead(site, events);
  return found;
}

const Flow* Flows::of(std::uint64_t inside) {
  const auto range = code_.function(inside);
  if (!range) return nullptr;
  const auto [at, fresh] = flows_.try_emplace(range->begin);
  if (fresh && !code_.work().spent() && code_.may_acquire(*range))
    at->second.emplace(code_, *range);
  return at->second && at->second->locks() ? &*at->second : nullptr;
}

}  // namespace coldcase
