#include <coldcase/analyze.hpp>

namespace coldcase {

std::string_view library_version() {
  return COLDCASE_VERSION;
}
std::string_view library_commit() {
  return COLDCASE_COMMIT;
}

}  // namespace coldcase
