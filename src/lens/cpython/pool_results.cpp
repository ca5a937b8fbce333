// Results of a multiprocessing.Pool that never come. A worker that dies takes what it had in hand
// with it: the pool starts another in its place and tells nobody (Lib/multiprocessing/pool.py, 3.6
// to 3.15). What shows it afterwards are the workers' numbers, which are given in turn.
#include <algorithm>

#include "base/text.hpp"
#include "lens/cpython/object_waits.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_workers = 1024;

struct Workers {
  std::vector<std::int64_t> numbers;  // in order
  std::uint64_t wanted = 0;           // so many processes the pool keeps
  bool renewed = false;               // it ends its workers itself (maxtasksperchild)
};

// From 3.8 on the result knows its pool; up to 3.7 only the frames that made it do.
std::optional<Addr> find_pool(const Objects& objects, const Sleeper& sleeper, Addr result) {
  const auto is_pool = [&](Addr object) {
    return objects.find_attribute(object, "_taskqueue") &&
           objects.find_attribute(object, "_maxtasksperchild");
  };
  const auto known = objects.find_attribute(result, "_pool");
  if (known && is_pool(*known)) return known;
  std::optional<Addr> found;
  constexpr std::size_t most_frames = 16;
  each_frame(sleeper.state, [&](const PythonFrame& frame, std::size_t index) {
    const auto self = find_self(objects, frame);
    if (self && is_pool(*self)) found = self;
    return !found && index < most_frames;
  });
  return found;
}

// Threads that stand in for processes (ThreadPool) have no process behind them and die with all.
std::optional<Workers> read_workers(const Objects& objects, Addr pool) {
  Workers workers;
  const auto wanted = find_number(objects, pool, "_processes");
  const auto list = objects.find_attribute(pool, "_pool");
  const auto renewed = objects.find_attribute(pool, "_maxtasksperchild");
  if (!wanted || *wanted <= 0 || !list || !renewed) return std::nullopt;
  workers.wanted = static_cast<std::uint64_t>(*wanted);
  workers.renewed = !is_none(objects, *renewed);
  for (const Addr worker : read_items(objects, *list, most_workers)) {
    const auto identity = objects.find_attribute(worker, "_identity");
    const auto numbers = identity ? read_items(objects, *identity, 64) : std::vector<Addr>{};
    const auto number = numbers.empty() ? Read<std::int64_t>(tl::unexpect, Fault{})
                                        : objects.read_int(numbers.back());
    if (!number || !objects.find_attribute(worker, "_popen")) return std::nullopt;
    workers.numbers.push_back(*number);
  }
  std::ranges::sort(workers.numbers);
  return workers;
}

// A pool starts its workers one after the other when it is made: a number that is missing among
// them is that of one that is no more.
std::uint64_t count_replaced(const Workers& workers) {
  if (workers.renewed || workers.numbers.size() < 2) return 0;
  const auto span = static_cast<std::uint64_t>(workers.numbers.back() - workers.numbers.front());
  constexpr std::uint64_t most_between = 1'000'000;  // a program that starts others beside it
  return span > most_between || span < workers.numbers.size() ? 0
                                                              : span + 1 - workers.numbers.size();
}

// Results that are not there yet are in the pool's cache, and what was lost earlier stays in it for
// ever: more of them than workers died, and the one that is waited for may still come.
bool is_lost(const Objects& objects, Addr pool, std::uint64_t died) {
  const auto cache = objects.find_attribute(pool, "_cache");
  std::uint64_t count = 0;
  if (!cache || !objects.has_flag(*cache, flag_dict)) return false;
  objects.each_item(*cache, [&](Addr, Addr) { return ++count <= died; });
  return count > 0 && count <= died;
}

std::string listed(const std::vector<std::int64_t>& numbers) {
  constexpr std::size_t most_listed = 8;
  std::string text;
  for (std::size_t i = 0; i < std::min(numbers.size(), most_listed); ++i) {
    const bool last = i + 1 == std::min(numbers.size(), most_listed);
    text += (i == 0 ? "" : last ? " and " : ", ") + std::to_string(numbers[i]);
  }
  return numbers.size() > most_listed ? text + " ..." : text;
}

struct Loss {
  Workers workers;
  std::uint64_t died = 0;
};

std::optional<Loss> find_loss(const Objects& objects, Addr pool) {
  auto workers = read_workers(objects, pool);
  const std::uint64_t died = workers ? count_replaced(*workers) : 0;
  if (died == 0 || !is_lost(objects, pool, died)) return std::nullopt;
  return Loss{std::move(*workers), died};
}

void tell_loss(LensContext& context, std::size_t thread, Addr pool, const Loss& loss,
               ResourceId id) {
  const bool one = loss.died == 1;
  ResourceFact& fact = context.ledger.resource(id);
  fact.owner_unknown_code = "worker_died";
  fact.owner_unknown_text = std::to_string(loss.died) + " of the pool's workers " +
                            (one ? "has" : "have") + " died, and what " + (one ? "it" : "they") +
                            " had in hand comes from nobody";
  Evidence evidence;
  evidence.claim = "the pool's workers have the numbers " + listed(loss.workers.numbers) +
                   ", which are given in turn: " + counted(loss.died, "worker") +
                   (one ? " was" : " were") +
                   " replaced, and this pool replaces only those that died";
  evidence.basis = Basis::inference;
  evidence.thread = context.view.thread_id(thread);
  evidence.resource = id;
  evidence.address = pool;
  evidence.source =
      "Process._identity in Pool._pool, lib multiprocessing, CPython " + context.runtime().version;
  context.ledger.add_evidence(std::move(evidence));
}

}  // namespace

void tell_pool(LensContext& context, const Sleeper& sleeper, const StdlibCall& call,
               ResourceId result) {
  const Objects& objects = context.objects();
  const auto pool = find_pool(objects, sleeper, call.object);
  const auto workers = pool ? read_workers(objects, *pool) : std::nullopt;
  if (!workers) return;
  ResourceFact& fact = context.ledger.resource(result);
  if (fact.details.find("of a pool") != std::string::npos) return;  // told for another waiter
  fact.details += (fact.details.empty() ? "of a pool of " : ", of a pool of ") +
                  counted(workers->wanted, "worker");
  if (const auto loss = find_loss(objects, *pool))
    tell_loss(context, sleeper.thread, *pool, *loss, result);
}

bool wait_for_pool(LensContext& context, const Sleeper& sleeper, Addr joined) {
  const Objects& objects = context.objects();
  const auto call = std::ranges::find(sleeper.calls, Sort::pool, &StdlibCall::sort);
  if (call == sleeper.calls.end() ||
      objects.find_attribute(call->object, "_worker_handler") != joined)
    return false;
  const auto loss = find_loss(objects, call->object);
  if (!loss) return false;
  const ResourceId pool = sync_resource(context, Sort::pool, call->object);
  if (context.ledger.resource(pool).waiters.empty())
    tell_loss(context, sleeper.thread, call->object, *loss, pool);
  WaitClaim claim{WaitKind::future, {pool}, call->index, call->object, {}};
  claim.text = "it waits until all work of this multiprocessing.Pool is done, its frame's self";
  claim_wait(context, sleeper.thread, claim);
  return true;
}

}  // namespace coldcase::cpython
