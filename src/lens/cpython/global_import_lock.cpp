// The global import lock, which imp.acquire_lock, os.fork and, for moments, every import take
// (Python/import.c). It records its owner.
#include <algorithm>
#include <array>
#include <span>

#include "lens/cpython/object_waits.hpp"
#include "lens/glibc/block_owner.hpp"

namespace coldcase::cpython {
namespace {

struct ImportLock {
  Addr at, owner_field;
};

// To 3.11 three statics of import.c: import_lock (a pointer to a sem_t), import_lock_thread,
// import_lock_level.
std::optional<ImportLock> find_static(const LensContext& context, Addr word) {
  const Module* module = context.runtime().module;
  const auto lock = module != nullptr ? module->find_symbol("import_lock") : std::nullopt;
  const auto thread = lock ? module->find_symbol("import_lock_thread") : std::nullopt;
  if (!thread || context.view.image.read_pointer(*lock).value_or(Addr{}) != word)
    return std::nullopt;
  return ImportLock{*lock, *thread};
}

// Where an instruction `opcode disp32(%rip) [immediate]` at `place` in the code points to.
std::optional<std::uint64_t> relative_operand(Bytes code, std::size_t place,
                                              std::span<const std::uint8_t> opcode,
                                              std::span<const std::uint8_t> immediate,
                                              Addr function) {
  const std::size_t length = opcode.size() + 4 + immediate.size();
  if (place + length > code.size()) return std::nullopt;
  const auto same = [&code](std::size_t at, std::span<const std::uint8_t> wanted) {
    return std::equal(wanted.begin(), wanted.end(), code.begin() + static_cast<std::ptrdiff_t>(at),
                      [](std::uint8_t a, std::byte b) { return std::byte{a} == b; });
  };
  if (!same(place, opcode) || !same(place + opcode.size() + 4, immediate)) return std::nullopt;
  const auto distance = parse_at<std::int32_t>(code, place + opcode.size());
  if (!distance) return std::nullopt;
  return function.value + place + length + static_cast<std::uint64_t>(std::int64_t{*distance});
}

// A stripped interpreter exports _PyImport_ReleaseLock, whose code names the statics: it loads
// import_lock (mov disp32(%rip),%rdi) and stores PYTHREAD_INVALID_THREAD_ID into import_lock_thread
// (movq $-1,disp32(%rip)). x86_64; that the pointer there is the word slept on proves the first.
std::optional<ImportLock> find_by_code(const LensContext& context, Addr word) {
  constexpr std::array<std::uint8_t, 3> load{0x48, 0x8b, 0x3d};
  constexpr std::array<std::uint8_t, 3> store{0x48, 0xc7, 0x05};
  constexpr std::array<std::uint8_t, 4> invalid{0xff, 0xff, 0xff, 0xff};
  constexpr Size most = 160;  // 78 bytes in Debian's 3.11
  const Module* module = context.runtime().module;
  const auto release =
      module != nullptr ? module->find_symbol("_PyImport_ReleaseLock") : std::nullopt;
  if (!release) return std::nullopt;
  const Bytes code = context.view.image.view(*release, most);
  std::optional<Addr> lock, thread;
  for (std::size_t place = 0; place < code.size() && !(lock && thread); ++place) {
    if (const auto at = relative_operand(code, place, load, {}, *release);
        at && context.view.image.read_pointer(Addr{*at}).value_or(Addr{}) == word)
      lock = Addr{*at};
    if (const auto at = relative_operand(code, place, store, invalid, *release)) thread = Addr{*at};
  }
  if (!lock || !thread) return std::nullopt;
  return ImportLock{*lock, *thread};
}

// PyInterpreterState.imports.lock: in 3.12 {PyThread_type_lock; thread; level}, from 3.13 on a
// _PyRecursiveMutex {mutex byte; thread; level}. It stands 48 bytes after imports.modules, 96 in
// 3.15 (reference T2). The address slept on proves it.
std::optional<ImportLock> find_in_interpreter(const LensContext& context, Addr word) {
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    for (const std::int64_t distance : {48, 96}) {
      const Addr at =
          offset_by(interpreter.at, context.objects().layout().interp_modules + distance);
      const bool inside = at == word;
      if (inside || context.view.image.read_pointer(at).value_or(Addr{}) == word)
        return ImportLock{at, offset_by(at, 8)};
    }
  }
  return std::nullopt;
}

ResourceId describe(const LensContext& context, const ImportLock& lock) {
  const ResourceId id = context.ledger.resource_at(context.view.process, lock.at,
                                                   WaitKind::import_lock, "the import lock");
  ResourceFact& fact = context.ledger.resource(id);
  if (!fact.label.empty()) return id;
  fact.label = "the global import lock";
  fact.state = LockState::locked;
  fact.owner_unknown_code = "owner_not_recorded";
  fact.owner_unknown_text = "its owner was not read";
  const auto owner = context.view.image.read_pointer(lock.owner_field);
  if (!owner) return id;
  const auto holder = context.pthreads.find_block(*owner);
  fact.words = {{"thread", Addr{}, owner->value, holder ? context.lwp(*holder) : ""}};
  set_block_owner(context.view, context.pthreads, context.ledger, id,
                  {*owner, lock.owner_field, "the import lock's own owner field is the ident",
                   "import_lock_thread, CPython " + context.runtime().version});
  return id;
}

}  // namespace

bool wait_for_import_lock(LensContext& context, std::size_t thread, Addr word) {
  auto lock = find_in_interpreter(context, word);
  if (!lock) lock = find_static(context, word);
  if (!lock) lock = find_by_code(context, word);
  if (!lock) return false;
  WaitClaim claim{WaitKind::import_lock, {describe(context, *lock)}, 0, lock->at, {}};
  claim.text = "its futex word is that of the interpreter's global import lock";
  claim.basis = Basis::register_;
  claim_wait(context, thread, claim);
  return true;
}

}  // namespace coldcase::cpython
