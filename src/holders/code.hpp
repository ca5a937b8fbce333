// The dead process's code, as the finders ask for it: instructions, the function around an address,
// what a call calls (through the PLT and the GOT by the relocations' names: .dynsym survives
// stripping), and where an exception would go. Addresses are those of the process; bytes come from
// the image. Everything is looked up once, and what that takes is counted.
#pragma once

#include <map>
#include <optional>
#include <unordered_map>
#include <vector>

#include "holders/disassembly.hpp"
#include "holders/exception_table.hpp"
#include "holders/roles.hpp"
#include "lens/view.hpp"

namespace coldcase {

struct Callee {
  Role role;
  std::uint64_t inside = 0;  // where it begins, when it lies in the same module; 0 elsewhere
};

struct CodeRange {
  std::uint64_t begin = 0;
  std::uint64_t end = 0;
  bool contains(std::uint64_t at) const { return begin <= at && at < end; }
};

// Steps taken for one process: instructions decoded and run, nodes of a flow gone through, words of
// stacks looked at, each weighed by what it costs. The most takes a second or two; reaching it is
// noted.
class Work {
 public:
  static constexpr std::size_t most = 50'000'000;
  void add(std::size_t steps) { done_ += steps; }
  bool spent() const { return done_ > most; }
  std::size_t done() const { return done_; }

 private:
  std::size_t done_ = 0;
};

class Code {
 public:
  explicit Code(const View& view) : view_(view) {}
  Work& work() { return work_; }
  const Work& work() const { return work_; }

  std::optional<Instruction> decode(std::uint64_t at);
  Callee callee(const Instruction& call);

  // The function (or the part of one that has its own unwind entry) around `at`.
  std::optional<CodeRange> function(std::uint64_t at);
  const std::vector<CallSite>& call_sites(std::uint64_t at);
  // Where an exception that leaves the call before this return address lands; 0 is nowhere.
  std::uint64_t landing_pad(std::uint64_t return_address);

  // Whether the bytes of the function hold a call of an acquiring function: cheap, and without
  // decoding. It may say yes where there is none.
  bool may_acquire(const CodeRange& range);

 private:
  struct Import {
    Role role;
    std::uint64_t inside = 0;
  };
  struct ModuleCode {
    std::unordered_map<std::uint64_t, Role> functions;  // by address in the process
    std::unordered_map<std::uint64_t, Import> slots;    // of the GOT
  };
  struct FunctionCode {
    std::optional<CodeRange> range;
    std::vector<CallSite> sites;
  };

  const ModuleCode& module_code(const Module& module);
  void add_imports(const Module& module, ModuleCode& code) const;
  Callee callee_at(const Module& module, std::uint64_t target);
  Callee callee_in_slot(const Module& module, std::uint64_t slot);
  const FunctionCode& function_code(std::uint64_t at);
  FunctionCode read_function(const Module& module, std::uint64_t entry);
  std::optional<Instruction> decode_anew(std::uint64_t at) const;

  const View& view_;
  Disassembler disassembler_;
  std::unordered_map<const Module*, ModuleCode> modules_;
  std::unordered_map<std::uint64_t, Instruction>
      decoded_;  // those of cleanups come again and again
  std::map<std::pair<const Module*, std::uint64_t>, FunctionCode> functions_;  // by unwind entry
  std::unordered_map<std::uint64_t, const FunctionCode*> asked_;  // by the address asked for
  const FunctionCode none_;
  Work work_;
};

}  // namespace coldcase
