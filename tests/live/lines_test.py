#!/usr/bin/env python3
"""Holds the reader of DWARF against libdw at every address of programs by gcc and clang: with and without
optimizing, DWARF 3 to 5, plain and compressed, with type units, sections for every function, LTO and split
DWARF (whose files beside the program neither reads).

    lines_test.py --oracle build/dev/tests/lines_oracle --work build/dev/live/lines

Exit status: 0 all equal, 1 not, 77 nothing could be tried.
"""
from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
from typing import List

HEADER = """
template <class T> struct Box { T value; template <class F> auto run(F f) { return f(value); } };
static inline __attribute__((always_inline)) int add(int a) { volatile int b = a; return b + 1; }
"""
SOURCE = """
#include <algorithm>
#include <cstdio>
#include <map>
#include <stdexcept>
#include <string>
#include <vector>
#include "box.hpp"
namespace space {
int go(int x) {
  std::vector<int> all(x + 3);
  std::sort(all.begin(), all.end());
  Box<int> box{x};
  return box.run([&](int y) {
    struct Local { static int three(int z) { return z * 3; } };
    return y + Local::three(add(x)) + all[0];
  });
}
}
__attribute__((noinline, cold)) void bad() { throw std::runtime_error("x"); }
int main(int count, char** words) {
  std::map<std::string, int> known;
  for (int i = 0; i < count; ++i) known[words[i]] = space::go(i);
  if (count > 5) bad();
  std::printf("%d\\n", static_cast<int>(known.size()));
}
"""
VARIANTS = [["-O%d" % level, "-gdwarf-%d" % version, "-gz=" + packed]
            for level in (0, 2) for version in (3, 4, 5) for packed in ("none", "zlib")]
MORE = [["-O2", "-g", "-fdebug-types-section"], ["-O2", "-g", "-ffunction-sections", "-Wl,--gc-sections"],
        ["-O2", "-g", "-shared", "-fPIC"], ["-O2", "-g", "-gsplit-dwarf"]]
LTO = {"g++": ["-O2", "-g", "-flto"], "clang++": []}


def build(compiler: str, options: List[str], folder: str, name: str) -> str:
    program = os.path.join(folder, name)
    # The source is named from the folder: relative folders in the table of files are tried, too.
    done = subprocess.run([compiler, "-std=c++20", *options, "-o", program, "sub/main.cpp"], cwd=folder,
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    if done.returncode == 0:
        return program
    print("%s %s: not built, left out" % (compiler, " ".join(options)))
    return ""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--oracle", required=True)
    parser.add_argument("--work", required=True)
    options = parser.parse_args()
    options.work = os.path.abspath(options.work)
    shutil.rmtree(options.work, ignore_errors=True)
    os.makedirs(os.path.join(options.work, "sub"))
    for name, text in (("box.hpp", HEADER), ("main.cpp", SOURCE)):
        with open(os.path.join(options.work, "sub", name), "w", encoding="utf-8") as file:
            file.write(text)
    programs = []
    for compiler in ("g++", "clang++"):
        if shutil.which(compiler) is None:
            print(compiler + ": not here")
            continue
        variants = [*VARIANTS, *MORE, *([LTO[compiler]] if LTO[compiler] else [])]
        programs += [build(compiler, variant, options.work, "%s-%d" % (compiler, at))
                     for at, variant in enumerate(variants)]
    programs = [program for program in programs if program]
    if not programs:
        return 77
    done = subprocess.run([os.path.abspath(options.oracle), "1", *programs])
    shutil.rmtree(options.work, ignore_errors=True)
    return 0 if done.returncode == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
