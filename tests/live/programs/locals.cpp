// Frames whose arguments and variables are known (tests/live/locals_test.py), one of them a pointer
// to no mapped memory.
#include <stdio.h>
#include <sys/syscall.h>
#include <unistd.h>

enum class Color : int { red = 3, green = 7 };
struct Point {
  int x, y;
};

template <class Value>
static void keep_one(Value& value) {
  asm volatile("" : : "r"(&value) : "memory");
}
template <class... Values>
static void keep(Values&... values) {
  (keep_one(values), ...);
}

__attribute__((noinline)) static int inner(int count, const char* name, Color color, bool flag) {
  double ratio = 2.5;
  char letters[16] = "let\x1b[31mters";
  long big = -9000000000;
  unsigned char small = 200;
  Point point{1, 2};
  const char* wild = reinterpret_cast<const char*>(0x10);
  keep(count, name, color, flag, ratio, letters, big, small, point, wild);
  printf("READY {\"pid\": %d, \"threads\": {\"main\": %d}, \"settles\": {\"main\": \"pause\"}}\n",
         getpid(), getpid());
  fflush(stdout);
  syscall(SYS_pause);
  keep(count, name, color, flag, ratio, letters, big, small, point, wild);
  return count;
}

__attribute__((noinline)) static int outer(int depth) {
  int before = 11;
  keep(depth, before);
  const int result = inner(depth + 1, "a name", Color::green, true) + before;
  keep(depth, before);
  return result;
}

int main() {
  return outer(41);
}
