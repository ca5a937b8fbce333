// Damaged side-cars: whatever the bytes, the reader gives a value or a reason, and never throws.
#include <unistd.h>

#include <algorithm>
#include <memory>
#include <string>

#include "support/catch.hpp"
#include "support/side_car_sample.hpp"

namespace coldcase::test {
namespace {

// The text lies alone in a heap block of its exact size, so that the sanitizers see a read beyond.
void attempt(std::string_view damaged, std::size_t offset) {
  const auto alone = std::make_unique<char[]>(damaged.size());
  std::ranges::copy(damaged, alone.get());
  const auto read = parse_side_car({alone.get(), damaged.size()});
  if (!read && read.error().empty()) FAIL("no reason at offset " << offset);
  if (!read) return;
  if (read->pid <= 0) FAIL("no process at offset " << offset);
  // What was taken can be written and is read again as the same.
  const std::string text = text_of_side_car(*read);
  const auto again = parse_side_car(text);
  if (!again || text_of_side_car(*again) != text) FAIL("does not stay the same: " << offset);
}

TEST_CASE("a side-car cut at every offset", "[hostile]") {
  ::alarm(120);
  const std::string whole = text_of_side_car(full_side_car());
  for (std::size_t size = 0; size <= whole.size(); ++size)
    attempt(std::string_view(whole).substr(0, size), size);
  ::alarm(0);
  SUCCEED();
}

TEST_CASE("a side-car with every byte changed", "[hostile]") {
  ::alarm(300);
  const std::string whole = text_of_side_car(full_side_car());
  for (std::size_t at = 0; at < whole.size(); ++at) {
    std::string damaged = whole;
    for (const char put : {'\0', '"', '{', '}', '[', ']', ',', ':', '9', '-', '\\', 'e', '\x80'}) {
      damaged[at] = put;
      attempt(damaged, at);
    }
  }
  ::alarm(0);
  SUCCEED();
}

TEST_CASE("a side-car with every line twice or gone", "[hostile]") {
  const std::string whole = text_of_side_car(full_side_car());
  for (std::size_t at = 0; at < whole.size(); at = whole.find('\n', at) + 1) {
    const std::size_t end = whole.find('\n', at) + 1;
    attempt(whole.substr(0, at) + whole.substr(end), at);
    attempt(whole.substr(0, end) + whole.substr(at), at);
    if (end == 0) break;
  }
  SUCCEED();
}

}  // namespace
}  // namespace coldcase::test
