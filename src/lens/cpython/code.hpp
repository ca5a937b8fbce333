// Code objects: names, line tables and, for with blocks, exception tables.
#pragma once

#include <map>
#include <memory>

#include "lens/cpython/objects.hpp"

namespace coldcase::cpython {

inline constexpr std::int64_t most_code = 1 << 24;  // bytes of instructions

struct Code {
  Addr at;
  std::string file;        // co_filename as recorded
  std::string name;        // co_qualname from 3.11 on, else co_name
  bool qualified = false;  // name is a qualified one
  std::int32_t first_line = 0;
  std::int32_t stack_size = 0;
  std::int32_t locals = 0;           // slots before the value stack (3.11+), or fast locals
  std::int32_t first_traceable = 0;  // 3.11+: the first instruction of a frame that is set up
  Addr instructions;                 // of the first one
  Addr monitoring;                   // 3.12+: _PyCoMonitoringData; null unless it was ever traced
  std::vector<std::byte> line_table;
  std::vector<std::byte> exception_table;
};

// Of the code object at `at`; a fault when it is none.
Read<Code> read_code(const Objects& objects, Addr at);

// The line executed at byte offset `lasti`; 0 when the table has none for it.
std::uint32_t line_at(const Layout& layout, const Code& code, std::int64_t lasti);

// The handler that covers a byte offset (3.11+): where it is and how deep the value stack is there.
struct Handler {
  std::int64_t target = 0;  // byte offset
  std::int32_t depth = 0;
};
std::optional<Handler> find_handler(const Code& code, std::int64_t offset);

// The names a code object mentions (co_names), e.g. to see whether it calls `release`.
std::vector<std::string> read_names(const Objects& objects, Addr code);
// Of the slots in front of the value stack, in order.
std::vector<std::string> read_local_names(const Objects& objects, Addr code);

class Codes {
 public:
  explicit Codes(const Objects& objects) : objects_(objects) {}
  // Null when there is no code object; read once.
  const Code* find(Addr at);
  // Gives a code object the qualified name its function has (to 3.10 the code does not hold it).
  void qualify(Addr at, std::string name);

 private:
  const Objects& objects_;
  std::map<std::uint64_t, std::unique_ptr<Code>> known_;
};

}  // namespace coldcase::cpython
