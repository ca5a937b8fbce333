#include "lens/cpython/semlocks.hpp"

#include "base/text.hpp"
#include "lens/cpython/values.hpp"

namespace coldcase::cpython {
namespace {

constexpr std::size_t most_steps = 2000, most_path = 96;
constexpr std::int32_t no_limit = INT32_MAX;  // SEM_VALUE_MAX, also of a queue without maxsize
constexpr int most_depth = 3;                 // a queue's _cond._lock._semlock
constexpr std::string_view own_part = "_semlock";

struct Search {
  const Objects& objects;
  Addr word;
  std::size_t steps = 0;
  std::optional<SemLockPart> found{};

  void look(Addr object, const std::string& path, int depth) {
    objects.each_attribute(object, [&](Addr key, Addr value) {
      if (++steps > most_steps || found) return false;
      const std::string name = objects.read_str(key).value_or("");
      const auto lock = read_semlock(objects, value);
      if (lock && lock->handle == word && name == own_part) found = {*lock, path};
      if (!found && !lock && depth > 1 && name.starts_with('_') &&
          path.size() + name.size() < most_path)
        look(value, path.empty() ? name : path + "." + name, depth - 1);
      return !found;
    });
  }
};

// The value of a semaphore that is in the core: the low half of its first word.
std::optional<std::int64_t> value_of(const Objects& objects, Addr owner, std::string_view name) {
  const auto wrapper = objects.find_attribute(owner, name);
  const auto inner = wrapper ? objects.find_attribute(*wrapper, own_part) : std::nullopt;
  const auto lock = inner ? read_semlock(objects, *inner) : std::nullopt;
  const auto value = lock ? objects.image().read<std::uint32_t>(lock->handle)
                          : Read<std::uint32_t>(tl::unexpect, Fault{});
  return value ? std::optional<std::int64_t>(*value) : std::nullopt;
}

std::string condition_details(const Objects& objects, Addr condition) {
  const auto slept = value_of(objects, condition, "_sleeping_count");
  const auto woken = value_of(objects, condition, "_woken_count");
  if (!slept || !woken || *slept < *woken) return {};
  return counted(static_cast<std::size_t>(*slept - *woken), "waiter");
}

std::string queue_details(const Objects& objects, Addr queue) {
  const auto limit = find_number(objects, queue, "_maxsize");
  const auto room = value_of(objects, queue, "_sem");
  if (!limit || !room || *limit <= 0 || *room > *limit) return {};
  const std::int64_t items = *limit - *room;
  const auto unfinished = value_of(objects, queue, "_unfinished_tasks");  // a JoinableQueue's
  const std::string rest = unfinished && *unfinished > 0
                               ? ", " + std::to_string(*unfinished) + " not done yet"
                               : std::string();
  if (*limit == no_limit) return counted(static_cast<std::uint64_t>(items), "item") + rest;
  const std::string_view word = items == *limit ? "full: " : items == 0 ? "empty: " : "";
  return std::string(word) + std::to_string(items) + " of " + std::to_string(*limit) + " items" +
         rest;
}

}  // namespace

std::optional<SemLockPart> find_semlock_part(const Objects& objects, Addr object, Addr word) {
  Search search{objects, word};
  search.look(object, "", most_depth);
  return search.found;
}

PartUse use_of_part(std::string_view path) {
  const std::string_view last = last_part(path);
  if (path.empty()) return PartUse::whole;
  if (last == "_wait_semaphore") return PartUse::signal;
  if (last == "_lock") return PartUse::lock;
  if (path == "_rlock") return PartUse::reading;
  if (path == "_wlock") return PartUse::writing;
  if (path == "_sem") return PartUse::room;
  return last == "_woken_count" ? PartUse::waking : PartUse::other;
}

std::string_view type_of_semlock(const SemLock& lock) {
  if (lock.recursive) return "multiprocessing.RLock";
  if (lock.maximum == 1) return "multiprocessing.Lock";
  return lock.maximum == no_limit ? "multiprocessing.Semaphore"
                                  : "multiprocessing.BoundedSemaphore";
}

std::string semlock_details(const Objects& objects, std::optional<Addr> object,
                            const SemLockPart& part) {
  if (object && part.path.starts_with("_cond.")) {
    const auto flag = value_of(objects, *object, "_flag");  // an Event's
    const auto parties = find_number(objects, *object, "_parties");
    if (flag) return *flag != 0 ? "set" : "not set";
    if (parties && *parties > 0) return std::to_string(*parties) + " parties";
  }
  if (object && objects.find_attribute(*object, "_maxsize")) return queue_details(objects, *object);
  if (object && objects.find_attribute(*object, "_sleeping_count"))
    return condition_details(objects, *object);
  const auto value = objects.image().read<std::uint32_t>(part.lock.handle);
  if (!value || part.lock.maximum == 1) return {};
  const std::string text = "value " + std::to_string(*value);
  return part.lock.maximum == no_limit ? text : text + " of " + std::to_string(part.lock.maximum);
}

}  // namespace coldcase::cpython
