// A TBB worker with nothing to do.

#include "wait_truth.h"

#include <dirent.h>
#include <tbb/parallel_for.h>

int main() {
  tbb::parallel_for(0, 64, [](int) { nap(); });
  for (int i = 0; i < 100; ++i) nap();
  DIR* tasks = opendir("/proc/self/task");
  int count = 0;
  while (tasks != nullptr) {
    const dirent* task = readdir(tasks);
    if (task == nullptr) break;
    const long tid = strtol(task->d_name, nullptr, 10);
    if (tid <= 0 || tid == getpid() || count > 0) continue;
    Line* line = goes(says("TBB idle worker", "futex semaphore condition", nullptr, 0));
    line->tid = tid;
    line->elsewhere = 1;
    ++count;
  }
  if (count == 0) wait_skip("TBB idle worker", "TBB started no worker");
  wait_ready(count);
  pause_forever();
}
