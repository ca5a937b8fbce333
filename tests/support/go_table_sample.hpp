// A small .gopclntab as Go 1.18 or 1.20 and later write it, from this file's own idea of the format
// (runtime/symtab.go): three functions, then the end of the text.
#pragma once

#include <string>
#include <string_view>
#include <vector>

#include "support/core_builder.hpp"

namespace coldcase::test {

struct GoSample {
  static constexpr std::uint64_t text = 0x401000;
  std::uint32_t magic = 0xfffffff1;
  bool says_text = true;

  struct Function {
    std::uint32_t offset;
    std::string_view name;
    std::uint8_t flags;
    std::vector<unsigned> depths;  // as the table has them: change, length ...
  };
  std::vector<Function> functions{
      // push: depth 0 for 4 bytes, 16 for 40, 0 for 20
      {0x0, "main.wait", 0, {2, 4, 32, 40, 31, 20, 0}},
      {0x40, "runtime.mcall", 2, {2, 0xc0, 1, 0}},
      {0x100, "runtime.mstart", 1, {2, 0x80, 1, 0}},
  };
  static constexpr std::uint32_t end = 0x180;

  Blob build() const {
    Blob names, steps(1), table;
    std::vector<std::uint32_t> name_of, steps_of;
    for (const Function& function : functions) {
      name_of.push_back(static_cast<std::uint32_t>(names.size()));
      for (const char c : function.name) append(names, c);
      append(names, '\0');
      steps_of.push_back(static_cast<std::uint32_t>(steps.size()));
      for (const unsigned byte : function.depths) append(steps, static_cast<std::uint8_t>(byte));
    }
    const std::uint32_t rows = static_cast<std::uint32_t>(functions.size()) + 1;
    const std::uint32_t record = magic == 0xfffffff0 ? 40 : 44;
    for (std::uint32_t i = 0; i < rows; ++i) {
      append(table, i + 1 < rows ? functions[i].offset : end);
      append(table, i + 1 < rows ? rows * 8 + i * record : 0);
    }
    for (std::uint32_t i = 0; i + 1 < rows; ++i) {
      append(table, functions[i].offset);
      for (const std::uint32_t word : {name_of[i], 0u, 0u, steps_of[i], 0u, 0u, 0u, 0u})
        append(table, word);
      if (record == 44) append(table, std::uint32_t{7});
      append(table, std::uint8_t{0});
      append(table, functions[i].flags);
      append(table, std::uint16_t{0});
    }
    Blob whole;
    append(whole, magic);
    for (const unsigned byte : {0u, 0u, 1u, 8u}) append(whole, static_cast<std::uint8_t>(byte));
    append(whole, std::uint64_t{functions.size()});
    append(whole, std::uint64_t{0});
    append(whole, says_text ? text : std::uint64_t{0});
    const std::uint64_t names_at = 72, steps_at = names_at + names.size(),
                        table_at = (steps_at + steps.size() + 7) & ~std::uint64_t{7};
    for (const std::uint64_t at : {names_at, names_at, names_at, steps_at, table_at})
      append(whole, at);
    whole.insert(whole.end(), names.begin(), names.end());
    whole.insert(whole.end(), steps.begin(), steps.end());
    whole.resize(table_at);
    whole.insert(whole.end(), table.begin(), table.end());
    return whole;
  }
};

}  // namespace coldcase::test
