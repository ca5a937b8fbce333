// Go's unwind table: depths, the ends of stacks, and what is refused.
#include "modules/go_table.hpp"

#include "support/catch.hpp"
#include "support/go_table_sample.hpp"

namespace coldcase::test {
namespace {

constexpr std::uint64_t text = GoSample::text;

TEST_CASE("how deep a Go function's stack is, byte by byte", "[modules]") {
  GoSample sample;
  sample.magic = GENERATE(0xfffffff0u, 0xfffffff1u);
  const Blob bytes = sample.build();
  const auto table = GoTable::parse(bytes, 0);
  REQUIRE(table);
  CHECK(table->says_text());
  const auto depth = [&](std::uint64_t offset) { return table->find(text + offset)->depth; };
  CHECK(depth(0) == 0);
  CHECK(depth(3) == 0);
  CHECK(depth(4) == 16);
  CHECK(depth(43) == 16);
  CHECK(depth(44) == 0);
  CHECK(depth(63) == 0);
  CHECK(table->find(text)->name == "main.wait");
  CHECK(table->find(text + 63)->entry == text);
  CHECK_FALSE(table->find(text - 1));
  CHECK_FALSE(table->find(text + GoSample::end));
  CHECK_FALSE(table->find(~std::uint64_t{0}));
}

TEST_CASE("where a stack of Go ends, and where it goes on elsewhere", "[modules]") {
  GoSample sample;
  const Blob bytes = sample.build();
  const auto table = GoTable::parse(bytes, 0);
  REQUIRE(table);
  CHECK_FALSE(table->find(text)->outermost);
  CHECK(table->find(text + 0x100)->outermost);  // the first of a thread
  // It leaves its goroutine for good; others that set the stack pointer come back.
  CHECK(table->find(text + 0x40)->outermost);
  CHECK_FALSE(table->find(text + 0x40)->switches_stack);
  sample.functions[1].name = "runtime.systemstack";
  const Blob other = sample.build();
  const auto function = GoTable::parse(other, 0)->find(text + 0x40);
  REQUIRE(function);
  CHECK_FALSE(function->outermost);
  CHECK(function->switches_stack);
}

TEST_CASE("a Go table that does not say where the text is", "[modules]") {
  GoSample sample;
  sample.says_text = false;
  const Blob bytes = sample.build();
  CHECK_FALSE(GoTable::parse(bytes, 0));
  const auto table = GoTable::parse(bytes, text);
  REQUIRE(table);
  CHECK_FALSE(table->says_text());
  CHECK(table->find(text + 0x100)->name == "runtime.mstart");
}

TEST_CASE("tables of Go that are not read", "[modules]") {
  GoSample sample;
  SECTION("an older one") {
    sample.magic = 0xfffffffa;
  }
  SECTION("a later one") {
    sample.magic = 0xfffffff2;
  }
  CHECK_FALSE(GoTable::parse(sample.build(), text));
}

TEST_CASE("depths of Go that make no sense", "[modules]") {
  GoSample sample;
  sample.functions[0].depths = GENERATE(
      std::vector<unsigned>{1, 64, 0}, std::vector<unsigned>{4, 64, 0},
      std::vector<unsigned>{2, 4, 0, 60}, std::vector<unsigned>{0x80, 0x80, 0x80, 0x80, 0x80, 1});
  const Blob bytes = sample.build();
  const auto table = GoTable::parse(bytes, 0);
  REQUIRE(table);
  CHECK_FALSE(table->find(text + 5));
}

}  // namespace
}  // namespace coldcase::test
