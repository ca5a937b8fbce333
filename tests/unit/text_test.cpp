// Text out of a core is hostile: what a report prints must be valid UTF-8 without control
// characters.
#include "base/text.hpp"

#include <coldcase/result.hpp>

#include "support/catch.hpp"

namespace coldcase {
namespace {

const std::string ellipsis = "\xe2\x80\xa6";

TEST_CASE("clean_text leaves good text alone", "[text]") {
  CHECK(clean_text("") == "");
  CHECK(clean_text("plain ASCII ~!") == "plain ASCII ~!");
  CHECK(clean_text("caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x92\xa9") ==
        "caf\xc3\xa9 \xe2\x82\xac \xf0\x9f\x92\xa9");
  CHECK(clean_text("\xf4\x8f\xbf\xbf") == "\xf4\x8f\xbf\xbf");  // U+10FFFF, the last one
  CHECK(clean_text("\xed\x9f\xbf") == "\xed\x9f\xbf");          // U+D7FF, before the surrogates
}

TEST_CASE("clean_text spells bytes that are not UTF-8", "[text]") {
  CHECK(clean_text("a\xff"
                   "b") == "a\\xffb");
  CHECK(clean_text("\x80") == "\\x80");                    // a continuation alone
  CHECK(clean_text("\xc0\xaf") == "\\xc0\\xaf");           // overlong '/'
  CHECK(clean_text("\xe0\x80\xaf") == "\\xe0\\x80\\xaf");  // overlong, three bytes
  CHECK(clean_text("\xf0\x80\x80\xaf") == "\\xf0\\x80\\x80\\xaf");
  CHECK(clean_text("\xed\xa0\x80") == "\\xed\\xa0\\x80");           // surrogate
  CHECK(clean_text("\xf4\x90\x80\x80") == "\\xf4\\x90\\x80\\x80");  // U+110000
  CHECK(clean_text("\xf5\x80\x80\x80") == "\\xf5\\x80\\x80\\x80");
  CHECK(clean_text("\xe2\x82") == "\\xe2\\x82");  // ends inside a character
  CHECK(clean_text("\xe2\x82z") == "\\xe2\\x82z");
  CHECK(clean_text("\xe2\xe2\x82\xac") == "\\xe2\xe2\x82\xac");  // a good one after a bad byte
}

TEST_CASE("clean_text spells control characters", "[text]") {
  CHECK(clean_text("\x1b[31mred") == "\\x1b[31mred");
  CHECK(clean_text("a\nb\tc\rd") == "a\\x0ab\\x09c\\x0dd");
  CHECK(clean_text(std::string_view("a\0b", 3)) == "a\\x00b");
  CHECK(clean_text("\x7f") == "\\x7f");
  CHECK(clean_text("\xc2\x9b"
                   "1m") == "\\xc2\\x9b1m");    // U+009B, the one-character CSI
  CHECK(clean_text("\xc2\xa0") == "\xc2\xa0");  // U+00A0 is a space, not a control
}

TEST_CASE("clean_text spells what reorders or hides text", "[text]") {
  const auto spelled = [](std::string_view raw) {
    const std::string clean = clean_text(raw);
    return clean.size() == 4 * raw.size() && clean.substr(0, 2) == "\\x";
  };
  CHECK(spelled("\xe2\x80\xae"));  // U+202E right-to-left override
  CHECK(spelled("\xe2\x80\xaa"));  // U+202A left-to-right embedding
  CHECK(spelled("\xe2\x81\xa6"));  // U+2066 left-to-right isolate
  CHECK(spelled("\xe2\x81\xa9"));  // U+2069 pop directional isolate
  CHECK(spelled("\xe2\x80\x8f"));  // U+200F right-to-left mark
  CHECK(spelled("\xd8\x9c"));      // U+061C Arabic letter mark
  CHECK(spelled("\xe2\x80\x8b"));  // U+200B zero-width space
  CHECK(spelled("\xe2\x80\xa8"));  // U+2028 line separator
  CHECK(spelled("\xef\xbb\xbf"));  // U+FEFF byte order mark
}

TEST_CASE("clean_text cuts at a character and says so", "[text]") {
  CHECK(clean_text("abcdef", 6) == "abcdef");
  CHECK(clean_text("abcdefg", 6) == "abcdef" + ellipsis);
  CHECK(clean_text("ab\xe2\x82\xac", 5) == "ab\xe2\x82\xac");
  CHECK(clean_text("ab\xe2\x82\xac", 4) == "ab" + ellipsis);  // never half a character
  CHECK(clean_text("ab\x01", 5) == "ab" + ellipsis);          // never half an escape
  CHECK(clean_text("ab\x01", 6) == "ab\\x01");
  CHECK(clean_text("x", 0) == ellipsis);
  CHECK(clean_text(std::string(5000, 'a')) == std::string(1024, 'a') + ellipsis);
}

TEST_CASE("hex has no padding", "[text]") {
  CHECK(hex(0) == "0x0");
  CHECK(hex(0x7f00dead) == "0x7f00dead");
  CHECK(hex(~std::uint64_t{0}) == "0xffffffffffffffff");
}

TEST_CASE("small text helpers", "[text]") {
  CHECK(base_name("/usr/lib/libc.so.6") == "libc.so.6");
  CHECK(base_name("core.885") == "core.885");
  CHECK(base_name("/usr/lib/") == "/usr/lib/");
  CHECK(base_name("/") == "/");
  CHECK(base_name("") == "");
  CHECK(join({}, ", ") == "");
  CHECK(join({"one"}, ", ") == "one");
  CHECK(join({"one", "", "three"}, ", ") == "one, , three");
  CHECK(counted(1, "thread") == "1 thread");
  CHECK(counted(0, "thread") == "0 threads");
  CHECK(counted(3, "thread") == "3 threads");
  CHECK(seconds_text(0) == "0.0 s");
  CHECK(seconds_text(4199) == "4.1 s");
  CHECK(seconds_text(59'999) == "59.9 s");
  CHECK(seconds_text(60'000) == "60 s");
  CHECK(starts_with_any("/memfd:x", {"/dev/", "/memfd:"}));
  CHECK_FALSE(starts_with_any("/de", {"/dev/"}));
  CHECK_FALSE(starts_with_any("anything", {}));
}

TEST_CASE("every reason for absence has its own words", "[text]") {
  std::vector<std::string_view> texts;
  for (int why = 0; why <= static_cast<int>(Absence::malformed); ++why) {
    texts.push_back(text_of(static_cast<Absence>(why)));
    CHECK(texts.back() != "unknown");
    CHECK(std::count(texts.begin(), texts.end(), texts.back()) == 1);
  }
}

}  // namespace
}  // namespace coldcase
