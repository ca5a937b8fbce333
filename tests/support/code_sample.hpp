// A few instructions written by hand, as a program that was mapped: with a symbol table, so that
// calls have names, and a stack.
//
//   CodeSample sample;
//   sample.code({0x48, 0x89, 0xdf}).call("sem_post");    // mov %rbx,%rdi
//   Code code(sample.view());
#pragma once

#include <initializer_list>
#include <map>
#include <optional>
#include <string>

#include "lens/view.hpp"
#include "support/core_builder.hpp"

namespace coldcase::test {

Blob blob_of(std::initializer_list<unsigned> bytes);

class CodeSample {
 public:
  static constexpr std::uint64_t text = 0x401000, stack = 0x7000;

  CodeSample& code(std::initializer_list<unsigned> bytes);
  CodeSample& call(const std::string& function);
  CodeSample& stack_word(std::uint64_t offset, std::uint64_t value);

  std::uint64_t end() const { return text + code_.size(); }
  std::uint64_t after_call_of(const std::string& function) const { return calls_.at(function); }
  const View& view();

 private:
  Blob elf() const;

  Blob code_;
  Blob stack_ = Blob(64);
  std::map<std::string, std::uint64_t> functions_;  // where calls of it lead
  std::map<std::string, std::uint64_t> calls_;
  struct Parts {
    Blob file;
    Core core;
    MemoryImage image;
    Modules modules;
    std::optional<Threads> threads;
    std::optional<View> view;
  };
  std::optional<Parts> parts_;
};

}  // namespace coldcase::test
