// References between the objects of an Analysis: an index into one of its arrays, typed. In a
// report they are the opaque ids of the contract ("t3", "r1"); their meaning never depends on the
// spelling.
#pragma once

#include <compare>
#include <cstdint>

namespace coldcase {

enum class RefKind : std::uint8_t {
  none,
  input,
  process,
  runtime,
  interpreter,
  finding,
  thread,
  stack,
  resource,
  evidence,
  module,
  task
};

inline constexpr std::uint32_t no_index = 0xffffffff;

template <RefKind K>
struct Id {
  std::uint32_t index = no_index;
  bool known() const { return index != no_index; }
  friend auto operator<=>(Id, Id) = default;
};

using InputId = Id<RefKind::input>;
using ProcessId = Id<RefKind::process>;
using RuntimeId = Id<RefKind::runtime>;          // counted over all processes
using InterpreterId = Id<RefKind::interpreter>;  // counted over all processes
using FindingId = Id<RefKind::finding>;
using ThreadId = Id<RefKind::thread>;
using StackId = Id<RefKind::stack>;
using ResourceId = Id<RefKind::resource>;
using EvidenceId = Id<RefKind::evidence>;
using ModuleId = Id<RefKind::module>;
using TaskId = Id<RefKind::task>;

// A reference to any of them.
struct Ref {
  RefKind kind = RefKind::none;
  std::uint32_t index = no_index;
  Ref() = default;
  template <RefKind K>
  Ref(Id<K> id) : kind(K), index(id.index) {}  // NOLINT: meant to be implicit
  bool known() const { return kind != RefKind::none && index != no_index; }
  template <RefKind K>
  Id<K> as() const {
    return kind == K ? Id<K>{index} : Id<K>{};
  }
  friend auto operator<=>(Ref, Ref) = default;
};

}  // namespace coldcase
