// How coldcase says that something could not be read. Reading dead memory returns Read<T>: the
// value or a Fault with the first address that was absent and why. Error is thrown only when there
// is nothing to analyze at all.
#pragma once

#include <coldcase/address.hpp>
#include <cstdint>
#include <stdexcept>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

namespace coldcase {

// Why a byte of the dead process is not there. "Not saved" (the process had it, the core does not)
// is never confused with "not mapped" (the process had nothing there).
enum class Absence : std::uint8_t {
  not_mapped,     // no segment and no mapped file covers the address
  not_saved,      // mapped, but the writer of the core left it out
  truncated,      // the core declares it and ends before it
  file_missing,   // a mapped file's page that the core leaves to the file, and the file is not here
  file_mismatch,  // the same, and the file here is another build
  file_unproved,  // the same, and the core lacks the page that would prove the file here
  overflow,       // the range does not fit the address space
  malformed       // the bytes are there and do not make sense as what was asked for
};

std::string_view text_of(Absence why);

struct Fault {
  Addr address;  // the first byte that is absent
  Absence why = Absence::not_mapped;
  friend bool operator==(Fault, Fault) = default;
};

template <class T>
using Read = tl::expected<T, Fault>;

// What went wrong with an input or an output as a whole; the program maps it to its exit code.
enum class Trouble : std::uint8_t {
  usage,         // 64
  not_a_core,    // 65
  no_such_file,  // 66
  internal,      // 70
  cannot_write,  // 73
  read_error,    // 74
  no_permission  // 77
};

// what() is a message for the user: what happened, why that usually happens, what to try.
class Error : public std::runtime_error {
 public:
  Error(Trouble trouble, const std::string& message)
      : std::runtime_error(message), trouble_(trouble) {}
  Trouble trouble() const { return trouble_; }

 private:
  Trouble trouble_;
};

}  // namespace coldcase
