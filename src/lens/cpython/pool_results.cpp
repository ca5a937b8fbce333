// Results of a multiprocessing.Pool that never come (Lib/multiprocessing/pool.py, 3.6 to 3.15). A
// worker that dies takes what it had in hand with it: the pool starts another in its place and
// tells nobody. What shows it afterwards are the workers' numbers, which are given in turn. And
// results are taken by one thread of the pool's own, which an exception ends.
#include <algorithm>
#include <array>
#include <set>

#include "base/text.hpp"
#include "lens/cpython/object_waits.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_workers = 1024;

struct Worker {
  std::int64_t number = 0;  // of Process._identity, the last
  std::int64_t pid = 0;
};

struct Workers {
  std::vector<Worker> all;   // by number
  std::uint64_t wanted = 0;  // so many processes the pool keeps
  bool renewed = false;      // it ends its workers itself (maxtasksperchild)
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

std::optional<std::int64_t> number_of(const Objects& objects, Addr process) {
  const auto identity = objects.find_attribute(process, "_identity");
  const auto numbers = identity ? read_items(objects, *identity, 64) : std::vector<Addr>{};
  const auto number = numbers.empty() ? Read<std::int64_t>(tl::unexpect, Fault{})
                                      : objects.read_int(numbers.back());
  constexpr std::int64_t most = INT32_MAX;  // far more than processes can be made
  return number && *number > 0 && *number < most ? std::optional(*number) : std::nullopt;
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
    const auto number = number_of(objects, worker);
    const auto popen = objects.find_attribute(worker, "_popen");
    if (!number || !popen) return std::nullopt;
    workers.all.push_back({*number, find_number(objects, *popen, "pid").value_or(0)});
  }
  std::ranges::sort(workers.all, {}, &Worker::number);
  return workers;
}

// Numbers of this process's other children, other pools' workers among them.
std::set<std::int64_t> numbers_in_use(const LensContext& context, const Sleeper& sleeper) {
  const Objects& objects = context.objects();
  std::set<std::int64_t> numbers;
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    const bool own = std::ranges::any_of(
        interpreter.threads, [&](const PyThread& state) { return state.at == sleeper.state.at; });
    const auto children =
        own ? find_global(objects, interpreter.at, "multiprocessing.process", "_children")
            : std::nullopt;
    if (!children) continue;
    std::size_t left = most_workers;
    each_in_set(objects, *children, [&](Addr process) {
      if (const auto number = number_of(objects, process)) numbers.insert(*number);
      return --left > 0;
    });
  }
  return numbers;
}

// At least so many were replaced. A pool starts its workers one after the other when it is made: a
// number that is missing among those is of one that is no more, unless another process that was
// made meanwhile has it. Numbers far apart say nothing of what came between.
std::uint64_t count_replaced(const Workers& workers, const std::set<std::int64_t>& used) {
  if (workers.renewed || workers.all.size() < 2 || workers.all.size() != workers.wanted) return 0;
  const auto wanted = static_cast<std::int64_t>(workers.wanted);
  std::uint64_t most = 0;  // that may be of those it began with
  for (const Worker& first : workers.all) {
    std::int64_t room = wanted;  // numbers that were free for its first workers, from here on
    std::int64_t at = first.number;
    std::uint64_t found = 0;
    for (; room > 0; ++at) {
      const bool own = std::ranges::binary_search(workers.all, at, {}, &Worker::number);
      found += own ? 1 : 0;
      if (own || !used.contains(at)) --room;
    }
    most = std::max(most, found);
  }
  return workers.wanted - most;
}

// What one result of the cache still lacks, in pieces of work; nothing when that is not known.
std::optional<std::uint64_t> missing_of(const Objects& objects, Addr result) {
  const auto as_count = [](std::optional<std::int64_t> number) {
    return number && *number >= 0 ? std::optional(static_cast<std::uint64_t>(*number))
                                  : std::nullopt;
  };
  if (sort_of(objects, result) == Sort::pool_iterator) {
    const auto length = as_count(find_number(objects, result, "_length"));
    const auto index = as_count(find_number(objects, result, "_index"));
    const auto early = objects.find_attribute(result, "_unsorted");
    std::uint64_t count = 0;
    if (!length || !index || !early || !objects.has_flag(*early, flag_dict)) return std::nullopt;
    objects.each_item(*early, [&](Addr, Addr) { return ++count < *length; });
    return *index + count < *length ? std::optional(*length - *index - count) : std::nullopt;
  }
  if (objects.find_attribute(result, "_number_left"))
    return as_count(find_number(objects, result, "_number_left"));
  return 1;
}

// Pieces of work whose results are not there, up to `most`; more, or not known: nothing.
std::optional<std::uint64_t> count_missing(const Objects& objects, Addr pool, std::uint64_t most) {
  const auto cache = objects.find_attribute(pool, "_cache");
  if (!cache || !objects.has_flag(*cache, flag_dict)) return std::nullopt;
  std::optional<std::uint64_t> count = 0;
  objects.each_item(*cache, [&](Addr, Addr result) {
    const auto missing = missing_of(objects, result);
    count = missing && *missing <= most - *count ? std::optional(*count + *missing) : std::nullopt;
    return count.has_value();
  });
  return count;
}

std::string listed(const std::vector<Worker>& workers) {
  constexpr std::size_t most_listed = 8;
  std::string text;
  for (std::size_t i = 0; i < std::min(workers.size(), most_listed); ++i) {
    const bool last = i + 1 == std::min(workers.size(), most_listed);
    text += (i == 0 ? "" : last ? " and " : ", ") + std::to_string(workers[i].number);
  }
  return workers.size() > most_listed ? text + " ..." : text;
}

enum class Handler : std::uint8_t { idle, busy, ended };

struct HandlerPlan {
  std::string_view attribute, function;   // of the pool; of its thread
  std::string_view file;                  // of the frames that sleep
  std::array<std::string_view, 4> calls;  // those frames' functions: no others may be there
};
constexpr HandlerPlan takes_results{"_result_handler",
                                    "_handle_results",
                                    "/connection.py",
                                    {"_recv", "_recv_bytes", "recv_bytes", "recv"}};
// With the queue in C, or in Python (to 3.6).
constexpr HandlerPlan gives_tasks{"_task_handler", "_handle_tasks", "", {}};
constexpr HandlerPlan gives_tasks_36{
    "_task_handler", "_handle_tasks", ".py", {"wait", "get", "get", "get"}};

// Asleep in the calls of the plan and nothing else, right below the thread's own function.
bool rests(const LensContext& context, const PyThread& state, const HandlerPlan& plan) {
  bool own = true, reached = false;
  std::size_t count = 0;
  each_frame(state, [&](const PythonFrame& frame, std::size_t) {
    const std::string_view name = last_part(frame.code->name);
    reached = name == plan.function;
    const bool first = count++ == 0;
    own = own && (reached || (std::ranges::find(plan.calls, name) != plan.calls.end() &&
                              frame.code->file.ends_with(plan.file) && !plan.file.empty() &&
                              (!first || name == plan.calls.front())));
    return own && !reached;
  });
  if (!own || !reached || (count == 1 && !plan.file.empty())) return false;
  const SystemCall& call = context.native.calls[*state.core_thread];
  const auto& wait = context.ledger.thread(context.view.thread_id(*state.core_thread)).wait;
  constexpr std::int64_t read = 0;
  const bool reads = plan.attribute == takes_results.attribute;
  return call.state == CallState::asleep && call.number == (reads ? read : call_futex) &&
         !(wait && wait->kind == WaitKind::gil);
}

// One of the pool's own threads: asleep, at work, or not there at all.
Handler look_at_handler(const LensContext& context, Addr pool, const HandlerPlan& plan) {
  const Objects& objects = context.objects();
  const auto thread = objects.find_attribute(pool, plan.attribute);
  const auto ident = thread ? find_number(objects, *thread, "_ident") : std::nullopt;
  if (!ident) return Handler::busy;
  for (const Interpreter& interpreter : context.runtime().interpreters) {
    for (const PyThread& state : interpreter.threads) {
      if (state.ident == static_cast<std::uint64_t>(*ident) && state.core_thread)
        return rests(context, state, plan) ? Handler::idle : Handler::busy;
    }
  }
  const bool lives =
      context.pthreads.find_block(Addr{static_cast<std::uint64_t>(*ident)}).has_value();
  return lives ? Handler::busy : Handler::ended;
}

bool task_handler_idles(const LensContext& context, Addr pool) {
  return look_at_handler(context, pool, gives_tasks) == Handler::idle ||
         look_at_handler(context, pool, gives_tasks_36) == Handler::idle;
}

// Pool._state: a word from 3.8 on, before a number.
bool was_terminated(const Objects& objects, Addr pool) {
  constexpr std::int64_t terminate = 2;
  return find_text(objects, pool, "_state") == "TERMINATE" ||
         find_number(objects, pool, "_state") == terminate;
}

struct Loss {
  std::string_view code;
  std::string text, claim;
};

Loss loss_of_workers(const Workers& workers, std::uint64_t died) {
  const std::string count = "at least " + counted(died, "worker");
  return {
      "worker_died", "a worker of the pool has died, and what it had in hand comes from nobody",
      "the pool's workers have the numbers " + listed(workers.all) +
          ", which are given in turn: " + count + (died == 1 ? " was" : " were") +
          " replaced, unless other processes were made between them; this pool replaces only those "
          "that died"};
}

Loss loss_of_handler(bool terminated) {
  if (terminated)
    return {"pool_terminated", "the pool was terminated: nobody does its work any more",
            "Pool._state is TERMINATE, and its threads have ended"};
  return {"handler_ended",
          "the pool's own thread that takes results from its workers does not run: nobody hands "
          "them on",
          "Pool._result_handler is no thread of this process"};
}

std::optional<Loss> find_loss(const LensContext& context, const Sleeper& sleeper, Addr pool,
                              const Workers& workers) {
  const Handler results = look_at_handler(context, pool, takes_results);
  if (results == Handler::ended) return loss_of_handler(was_terminated(context.objects(), pool));
  if (results != Handler::idle || !task_handler_idles(context, pool)) return std::nullopt;
  const std::uint64_t died = count_replaced(workers, numbers_in_use(context, sleeper));
  if (died == 0) return std::nullopt;
  const auto missing = count_missing(context.objects(), pool, died);
  return missing && *missing > 0 ? std::optional(loss_of_workers(workers, died)) : std::nullopt;
}

// Only where the pool's own threads idle: then all work is with the workers, and all results that
// they gave have been taken.
std::optional<PoolFact> fact_of(const LensContext& context, Addr pool, const Workers& workers) {
  if (workers.renewed || look_at_handler(context, pool, takes_results) != Handler::idle ||
      !task_handler_idles(context, pool))
    return std::nullopt;
  constexpr std::uint64_t most = 1'000'000'000;
  const auto missing = count_missing(context.objects(), pool, most);
  if (!missing || *missing == 0) return std::nullopt;
  PoolFact fact;
  fact.missing = *missing;
  for (const Worker& worker : workers.all) fact.pids.push_back(worker.pid);
  return fact;
}

void tell_loss(LensContext& context, std::size_t thread, Addr pool, Loss loss, ResourceId id) {
  ResourceFact& fact = context.ledger.resource(id);
  fact.owner_unknown_code = loss.code;
  fact.owner_unknown_text = std::move(loss.text);
  Evidence evidence;
  evidence.claim = std::move(loss.claim);
  evidence.basis = Basis::inference;
  evidence.thread = context.view.thread_id(thread);
  evidence.resource = id;
  evidence.address = pool;
  evidence.source =
      (loss.code == "worker_died" ? "Process._identity in Pool._pool" : "Pool._result_handler") +
      std::string(", lib multiprocessing, CPython ") + context.runtime().version;
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
  fact.pool = fact_of(context, *pool, *workers);
  if (auto loss = find_loss(context, sleeper, *pool, *workers))
    tell_loss(context, sleeper.thread, *pool, std::move(*loss), result);
}

bool wait_for_pool(LensContext& context, const Sleeper& sleeper, Addr joined) {
  const Objects& objects = context.objects();
  const auto call = std::ranges::find(sleeper.calls, Sort::pool, &StdlibCall::sort);
  if (call == sleeper.calls.end() ||
      objects.find_attribute(call->object, "_worker_handler") != joined)
    return false;
  const auto workers = read_workers(objects, call->object);
  if (!workers) return false;
  auto pool_fact = fact_of(context, call->object, *workers);
  auto loss = find_loss(context, sleeper, call->object, *workers);
  if (!loss && !pool_fact) return false;
  const ResourceId pool = sync_resource(context, Sort::pool, call->object);
  if (context.ledger.resource(pool).waiters.empty()) {
    context.ledger.resource(pool).pool = std::move(pool_fact);
    if (loss) tell_loss(context, sleeper.thread, call->object, std::move(*loss), pool);
  }
  WaitClaim claim{WaitKind::future, {pool}, call->index, call->object, {}};
  claim.text = "it waits until all work of this multiprocessing.Pool is done, its frame's self";
  claim_wait(context, sleeper.thread, claim);
  return true;
}

}  // namespace coldcase::cpython
