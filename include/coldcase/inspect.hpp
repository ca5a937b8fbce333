// What people ask who want to look themselves: one table about one core.
#pragma once

#include <coldcase/analyze.hpp>
#include <string>
#include <vector>

namespace coldcase {

struct Table {
  std::vector<std::string> columns;
  std::vector<std::vector<std::string>> rows;  // as many cells as columns; empty: unknown
};

enum class TableKind : std::uint8_t { threads, stacks, locks, modules, tasks };

// The table is made from the Analysis of the core: what a report says, seen from one side.
Table make_table(const Analysis& analysis, TableKind kind);

struct Section {
  std::string name;  // "threads"
  Table table;
};

// What a core tells of CPython, each section from another side: interpreters, threads, stacks,
// locks. No sections: no CPython was seen in it.
std::vector<Section> make_python_sections(const Analysis& analysis);

// What a number is, of the one core in `options`: a thread's (Linux tid, as the core has it), else
// an address of the dead process. Sections of one table each, the first of two columns, "what" and
// "is"; a thread's second is its stack. What lies in memory is not told. Throws Error as analyze().
std::vector<Section> inspect(const AnalyzeOptions& options, std::uint64_t number);

// What a file among the arguments is: a core, a program (then it is meant as --executable), or
// neither.
enum class ArgumentKind : std::uint8_t { core, program, other };
ArgumentKind kind_of_argument(const std::string& path);

// The files that debuginfod servers would be asked for: of the modules that threads of these cores
// run in or may return to, what is neither here nor in debuginfod's cache. Sorted, a few hundred at
// most; a core that cannot be read lacks none. Nobody is asked.
std::vector<FetchRequest> missing_files(const AnalyzeOptions& options);

// What tells a core from others without analyzing it.
struct CoreIdentity {
  std::string member;              // of an archive with several cores: this one's name; any bytes
  std::string content;             // 64 hex digits over ELF header, program headers and notes
  std::int64_t pid = 0, ppid = 0;  // 0: unknown
  std::string job;  // 16 hex digits the ranks of one MPI job share; empty: no job. Never the names
                    // themselves
  // Thread numbers beside `pid`, the first 4,096: a kernel core's ppid is that of the thread that
  // forked (fill_psinfo, fs/binfmt_elf.c).
  std::vector<std::int64_t> threads;
};
// One; of an archive with several cores, as many. Throws Error when the file is no core we can
// read.
std::vector<CoreIdentity> identify(const std::string& path);

// One pattern that coldcase recognizes, for `coldcase patterns`.
struct PatternInfo {
  std::string_view slug, kind, what, proof;
};
std::vector<PatternInfo> known_patterns();

}  // namespace coldcase
