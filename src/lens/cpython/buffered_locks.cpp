// Python's buffered files (Modules/_io/bufferedio.c): each has a lock of its own, with an owner.
#include <array>

#include "base/text.hpp"
#include "lens/cpython/lens_parts.hpp"
#include "lens/glibc/block_owner.hpp"

namespace coldcase::cpython {
namespace {

// struct buffered, the same in 3.6 to 3.15: raw 16, lock (a PyThread_type_lock) 104, owner 112. Of
// struct fileio: fd 16.
constexpr std::int64_t offset_raw = 16, offset_lock = 104, offset_owner = 112, offset_fd = 16;
constexpr std::int64_t most_stack = 4096;
constexpr std::array<Registers::Index, 6> saved{Registers::rbx, Registers::rbp, Registers::r12,
                                                Registers::r13, Registers::r14, Registers::r15};

bool is_buffered(const Objects& objects, Addr at, Addr word) {
  if (at.value == 0 || at.value % 8 != 0) return false;
  const auto lock = objects.image().read_pointer(offset_by(at, offset_lock));
  return lock && *lock == word && objects.type_name(at).starts_with("_io.Buffered");
}

// _enter_buffered_busy keeps the object across its wait: in a register, or where a callee saved it.
// Whatever is found there is proved by its lock's address, that of the thread's futex.
std::optional<Addr> find_buffered(const LensContext& context, std::size_t thread, Addr word) {
  const Objects& objects = context.objects();
  const Registers& registers = context.view.core.threads[thread].registers;
  for (const Registers::Index index : saved) {
    if (is_buffered(objects, registers.at(index), word)) return registers.at(index);
  }
  const Addr sp = registers.at(Registers::rsp);
  for (std::int64_t offset = 0; offset < most_stack; offset += 8) {
    const auto at = context.view.image.read_pointer(offset_by(sp, offset));
    if (!at) return std::nullopt;
    if (is_buffered(objects, *at, word)) return *at;
  }
  return std::nullopt;
}

std::string label_of(const LensContext& context, Addr at) {
  const Objects& objects = context.objects();
  const std::string type = clean_text(objects.type_name(at).substr(1), 64);  // io.BufferedWriter
  const auto raw = objects.image().read_pointer(offset_by(at, offset_raw));
  const bool file = raw && objects.type_name(*raw) == "_io.FileIO";
  const auto number = file ? objects.image().read<std::int32_t>(offset_by(*raw, offset_fd))
                           : Read<std::int32_t>(-1);
  if (number && *number >= 0)
    return "the lock of the " + type + " of descriptor " + std::to_string(*number);
  return "the lock of the " + type + " at " + hex(at.value);
}

ResourceId describe(const LensContext& context, Addr at) {
  const std::string type = clean_text(context.objects().type_name(at), 64);
  const ResourceId id =
      context.ledger.resource_at(context.view.process, at, WaitKind::python_lock, type);
  ResourceFact& fact = context.ledger.resource(id);
  if (!fact.label.empty()) return id;
  fact.label = label_of(context, at);
  fact.state = LockState::locked;
  fact.owner_unknown_code = "owner_not_recorded";
  fact.owner_unknown_text = "its owner field is 0: it is being handed over";
  const auto owner = context.view.image.read_pointer(offset_by(at, offset_owner));
  if (!owner) return id;
  const auto holder = context.pthreads.find_block(*owner);
  fact.words = {{"owner", Addr{}, owner->value, holder ? context.lwp(*holder) : ""}};
  set_block_owner(context.view, context.pthreads, context.ledger, id,
                  {*owner, offset_by(at, offset_owner), "the file's own owner field is the ident",
                   "buffered.owner, CPython " + context.runtime().version});
  return id;
}

}  // namespace

bool wait_for_buffered(LensContext& context, std::size_t thread, Addr word) {
  const ThreadId id = context.view.thread_id(thread);
  Wait wait = *context.ledger.thread(id).wait;
  if (wait.kind != WaitKind::semaphore) return false;  // a PyThread_type_lock is a sem_t
  const auto at = find_buffered(context, thread, word);
  if (!at) return false;
  const ResourceId resource = describe(context, *at);
  wait.kind = WaitKind::python_lock;
  wait.on = {resource};
  if (const auto frame = context.python_frame(thread, 0)) wait.frame = frame;
  Evidence evidence;
  evidence.claim = "its futex word is that of this file's lock";
  evidence.basis = Basis::register_;
  evidence.thread = id;
  evidence.frame = wait.frame;
  evidence.resource = resource;
  evidence.address = *at;
  wait.evidence.push_back(context.ledger.add_evidence(std::move(evidence)));
  if (wait.at.known()) context.ledger.resource(wait.at).part_of = resource;
  context.ledger.thread(id).state = coldcase::ThreadState::blocked;
  context.ledger.set_wait(id, std::move(wait));
  return true;
}

}  // namespace coldcase::cpython
