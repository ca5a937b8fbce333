"""A program with a few hundred MB of debug information, and 50 threads that are 25 calls deep in it.

SOURCES sources are compiled, each with types of its own over the standard library's largest templates;
COPIES objects are made of each by renaming its one external function: a linker, and every reader of DWARF,
sees SOURCES x COPIES units, for the price of SOURCES compilations (about five minutes on two processors, once)."""
from __future__ import annotations

import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from typing import List

import makecore

SOURCES, COPIES = 40, 6
UNITS = SOURCES * COPIES

UNIT = r"""
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <numeric>
#include <regex>
#include <set>
#include <sstream>
#include <string>
#include <tuple>
#include <unordered_map>
#include <variant>
#include <vector>
using Next = std::function<int(int, int)>;
namespace unit@ {
struct Key { int a; long b; bool operator<(const Key& o) const { return std::tie(a, b) < std::tie(o.a, o.b); }
             bool operator==(const Key&) const = default; };
struct Hash { std::size_t operator()(const Key& k) const { return std::hash<long>()(k.a * 31 + k.b); } };
template <int N> struct Shape { Key key{N, N + 1}; std::string name = std::to_string(N); std::vector<Key> keys; };
using Any = std::variant<int, std::string, Key, Shape<1>, Shape<2>, std::vector<Shape<3>>>;
template <class T> inline T twice(T value) { return value + value; }
inline int weigh(const std::map<Key, Any>& all) {
  int sum = 0;
  for (const auto& [key, any] : all)
    sum += std::visit([&](const auto& one) { return static_cast<int>(sizeof(one)) + key.a; }, any);
  return sum;
}
template <int N> int descend(int depth, int at, const Next& next, const std::unordered_map<Key, Any, Hash>& known) {
  std::map<Key, Any> all(known.begin(), known.end());
  all[Key{N, depth}] = Any(Shape<2>{});
  if constexpr (N > 0) return twice(descend<N - 1>(depth, at, next, known)) + weigh(all);
  return next(depth, at) + weigh(all);
}
static int look(const std::string& text) {
  static const std::regex wanted("([a-z]+)#([0-9]*)(x|y|z)?");
  std::smatch found;
  return std::regex_search(text, found, wanted) ? static_cast<int>(found.size()) : 0;
}
}  // namespace unit@
extern "C" int work_@(int depth, int at, const Next& next) {
  using namespace unit@;
  std::unordered_map<Key, Any, Hash> known{{Key{@, depth}, std::string("x")}, {Key{at, 2}, Shape<1>{}}};
  std::set<Key> order{{1, 2}, {at, depth}};
  auto later = std::async(std::launch::deferred, [&] { return look(std::to_string(depth)); });
  std::ostringstream out;
  for (const Key& key : order) out << key.a << ' ' << key.b;
  const int inner = descend<2>(depth, at, next, known);
  return inner + later.get() + static_cast<int>(out.str().size());
}
"""

MAIN = r"""
#include <unistd.h>
#include <atomic>
#include <cstdio>
#include <cstdlib>
#include <functional>
#include <mutex>
#include <thread>
#include <vector>
using Next = std::function<int(int, int)>;
extern "C" {
@DECLARATIONS@
}
using Work = int (*)(int, int, const Next&);
static const Work table[] = {@TABLE@};
static std::mutex held;
static std::vector<int> tids;
static std::atomic<int> arrived;
static int wait_here() {
  ++arrived;
  std::lock_guard<std::mutex> guard(held);
  return 1;
}
static int go_on(int depth, int at) {
  if (depth == 0) return wait_here();
  return table[at % (sizeof table / sizeof *table)](depth - 1, at + 1, go_on);
}
static void tell() {
  std::printf("READY {\"pid\": %d, \"threads\": {\"main\": %d", getpid(), gettid());
  for (unsigned at = 0; at < tids.size(); ++at) std::printf(", \"t%u\": %d", at, tids[at]);
  std::printf("}, \"settles\": {\"main\": \"futex\"");
  for (unsigned at = 0; at < tids.size(); ++at) std::printf(", \"t%u\": \"futex\"", at);
  std::printf("}}\n");
  std::fflush(stdout);
}
int main(int argc, char** argv) {
  const int count = argc > 1 ? std::atoi(argv[1]) : 50;
  const int depth = argc > 2 ? std::atoi(argv[2]) : 25;
  held.lock();
  tids.resize(count);
  std::vector<std::thread> all;
  for (int i = 0; i < count; ++i)
    all.emplace_back([=] { tids[i] = gettid(); go_on(depth, i * 37); });
  while (arrived < count) usleep(1000);
  tell();
  for (std::thread& one : all) one.join();
}
"""


def compile_unit(folder: str, number: int, options: List[str]) -> List[str]:
    source = os.path.join(folder, "unit%d.cpp" % number)
    with open(source, "w", encoding="utf-8") as file:
        file.write(UNIT.replace("@", str(number)))
    first = os.path.join(folder, "unit%d.o" % number)
    makecore.run(["g++", "-std=c++20", *options, "-c", "-o", first, source])
    objects = [first]
    for copy in range(1, COPIES):
        objects.append(os.path.join(folder, "unit%d.o" % (number + copy * SOURCES)))
        subprocess.run(["objcopy", "--redefine-sym", "work_%d=work_%d" % (number, number + copy * SOURCES),
                        first, objects[-1]], check=True)
    return objects


def build(program: str, options: List[str]) -> None:
    """The program; the sources stay beside it for the debuggers that look at them, the objects do not."""
    place = program + ".d"
    os.makedirs(place, exist_ok=True)
    source = os.path.join(place, "main.cpp")
    with open(source, "w", encoding="utf-8") as file:
        file.write(MAIN.replace("@DECLARATIONS@", "\n".join(
            "int work_%d(int, int, const Next&);" % at for at in range(UNITS))).replace(
                "@TABLE@", ", ".join("work_%d" % at for at in range(UNITS))))
    with ThreadPoolExecutor(os.cpu_count() or 1) as pool:
        objects = [one for some in pool.map(lambda at: compile_unit(place, at, options), range(SOURCES))
                   for one in some]
    makecore.run(["g++", "-std=c++20", *options, "-Wl,--build-id", "-o", program, source, *objects, "-lpthread"])
    for one in objects:
        os.unlink(one)
