#include <coldcase/result.hpp>

namespace coldcase {

std::string_view text_of(Absence why) {
  switch (why) {
    case Absence::not_mapped:
      return "not mapped in the process";
    case Absence::not_saved:
      return "mapped, but not saved in the core";
    case Absence::truncated:
      return "lost: the core was cut short";
    case Absence::file_missing:
      return "in a mapped file that is not on this machine";
    case Absence::file_mismatch:
      return "in a mapped file of which this machine has another build";
    case Absence::file_unproved:
      return "in a mapped file whose copy here cannot be proved to be the same";
    case Absence::overflow:
      return "beyond the address space";
    case Absence::malformed:
      return "present, but not what was expected there";
  }
  return "unknown";
}

}  // namespace coldcase
