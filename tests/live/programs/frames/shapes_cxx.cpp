// Stacks that C++ makes: destructors while an exception is under way, its handlers, what ends the
// program, coroutines, virtual calls and thunks, templates, lambdas. Each thread ends in pause().
#include <algorithm>
#include <coroutine>
#include <exception>
#include <functional>
#include <map>
#include <memory>
#include <stdexcept>
#include <string>
#include <thread>
#include <vector>

#include "../truth.h"

#define KEPT __attribute__((noinline, noclone))
#define AFTER __asm__ volatile("" ::: "memory")

namespace shapes {

thread_local const char* own_name;

KEPT void rest() {
  truth_site(own_name, __func__, 0, "pause");
  for (;;) pause();
}

struct Guard {
  explicit Guard(int value) : value(value) {}
  KEPT ~Guard() {
    if (value == 0) rest();
    AFTER;
  }
  int value;
};

KEPT void throws(int depth) {
  if (depth == 0) throw std::runtime_error("far away");
  const Guard guard(depth);
  throws(depth - 1);
  AFTER;
}
KEPT void in_destructor() {
  try {
    const Guard guard(0);
    throws(3);
  } catch (const std::exception&) {
  }
}
KEPT void in_handler() {
  try {
    throws(4);
  } catch (const std::exception& error) {
    rest();
    AFTER;
  }
}
KEPT void no_way_out() noexcept {
  throws(2);
}
KEPT void in_terminate() {
  std::set_terminate([] {
    rest();
    std::abort();
  });
  no_way_out();
}

struct Task {
  struct promise_type {
    Task get_return_object() { return {std::coroutine_handle<promise_type>::from_promise(*this)}; }
    std::suspend_always initial_suspend() noexcept { return {}; }
    std::suspend_always final_suspend() noexcept { return {}; }
    void return_void() {}
    void unhandled_exception() { std::terminate(); }
  };
  std::coroutine_handle<promise_type> handle;
};
Task inner_task(int value) {
  co_await std::suspend_always{};
  if (value > 0) rest();
  AFTER;
}
Task outer_task(int value) {
  Task inner = inner_task(value);
  inner.handle.resume();
  co_await std::suspend_always{};
  inner.handle.resume();
  AFTER;
}
KEPT void in_coroutine() {
  const Task task = outer_task(7);
  task.handle.resume();
  task.handle.resume();
  AFTER;
}

struct First {
  virtual ~First() = default;
  long pad = 1;
};
struct Second {
  virtual ~Second() = default;
  virtual int work(const std::string& text) = 0;
};
struct Both final : First, Second {
  KEPT int work(const std::string& text) override {
    rest();
    AFTER;
    return static_cast<int>(text.size());
  }
};
KEPT int through(Second& second) {
  const int result = second.work("some text that is not short");
  AFTER;
  return result;
}
KEPT void in_thunk() {
  const auto both = std::make_unique<Both>();
  through(*both);
  AFTER;
}

template <class Key, class Work>
KEPT int for_each_of(const std::map<Key, std::vector<std::string>>& map, Work work) {
  int sum = 0;
  for (const auto& [key, texts] : map) {
    sum += static_cast<int>(std::count_if(texts.begin(), texts.end(), work));
  }
  AFTER;
  return sum;
}
KEPT void in_templates() {
  const std::map<int, std::vector<std::string>> map{{1, {"a", "b"}}, {2, {"c"}}};
  const std::function<bool(const std::string&)> asks = [](const std::string& text) {
    rest();
    AFTER;
    return text.empty();
  };
  for_each_of(map, [&asks](const std::string& text) {
    const bool found = asks(text);
    AFTER;
    return found;
  });
  AFTER;
}

KEPT void in_sort() {
  std::vector<int> numbers{5, 4, 3, 2, 1};
  std::sort(numbers.begin(), numbers.end(), [](int a, int b) {
    rest();
    AFTER;
    return a < b;
  });
  AFTER;
}

struct Shape {
  const char* name;
  void (*work)();
};
constexpr Shape all[] = {{"destructor", in_destructor},
                         {"handler", in_handler},
                         {"terminate", in_terminate},
                         {"coroutine", in_coroutine},
                         {"thunk", in_thunk},
                         {"templates", in_templates},
                         {"sort", in_sort}};

}  // namespace shapes

int main() {
  int count = 0;
  for (const shapes::Shape& shape : shapes::all) {
    std::thread([&shape] {
      shapes::own_name = shape.name;
      shape.work();
    }).detach();
    truth_wait_for(++count);
  }
  truth_ready("shapes_cxx.cpp", "none", "none");
  for (;;) pause();
}
