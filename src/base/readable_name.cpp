#include "base/readable_name.hpp"

#include <algorithm>
#include <array>
#include <optional>
#include <utility>
#include <vector>

#include "base/text.hpp"

namespace coldcase {
namespace {

constexpr std::size_t longest_list = 40;  // bytes of a list that is not left out
constexpr int most_depth = 32;
constexpr std::size_t longest_name = 4096;  // a file may name its symbols as it likes

constexpr std::array defaults{"std::allocator<",      "std::char_traits<", "std::less<",
                              "std::default_delete<", "std::hash<",        "std::equal_to<"};

constexpr std::array<std::pair<std::string_view, std::string_view>, 9> aliases{
    {{"std::basic_string<char>", "std::string"},
     {"std::basic_string<wchar_t>", "std::wstring"},
     {"std::basic_string_view<char>", "std::string_view"},
     {"std::basic_ostream<char>", "std::ostream"},
     {"std::basic_istream<char>", "std::istream"},
     {"std::basic_ostringstream<char>", "std::ostringstream"},
     {"std::basic_istringstream<char>", "std::istringstream"},
     {"std::basic_stringstream<char>", "std::stringstream"},
     {"std::basic_ofstream<char>", "std::ofstream"}}};

bool opens(char c) {
  return c == '<' || c == '(' || c == '{' || c == '[';
}

bool closes(char c) {
  return c == '>' || c == ')' || c == '}' || c == ']';
}

bool is_arrow(std::string_view text, std::size_t at) {
  return text[at] == '-' && at + 1 < text.size() && text[at + 1] == '>';
}

bool in_name(char c) {
  return c == '_' || (c >= '0' && c <= '9') || (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

// "operator<", "operator()": what follows is its name, not a list.
std::size_t operator_end(std::string_view text, std::size_t at) {
  constexpr std::string_view word = "operator";
  const bool whole = text.substr(at).starts_with(word) && (at == 0 || !in_name(text[at - 1]));
  if (!whole || at + word.size() >= text.size() || in_name(text[at + word.size()])) return at;
  std::size_t end = at + word.size();
  if (text.substr(end).starts_with("()")) return end + 2;
  while (end < text.size() && std::string_view("<>=-+*/%^&|~!,[]").find(text[end]) != text.npos)
    ++end;
  return end;
}

// Where the bracket at `at` is closed; none when it is not.
std::optional<std::size_t> closing(std::string_view text, std::size_t at) {
  int depth = 0;
  for (; at < text.size(); ++at) {
    if (is_arrow(text, at)) {
      ++at;
    } else if (const auto end = operator_end(text, at); end != at) {
      at = end - 1;
    } else if (opens(text[at])) {
      ++depth;
    } else if (closes(text[at]) && --depth == 0) {
      return at;
    }
  }
  return std::nullopt;
}

std::vector<std::string_view> parts_of(std::string_view list) {
  std::vector<std::string_view> parts;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < list.size(); ++at) {
    if (is_arrow(list, at)) {
      ++at;
    } else if (opens(list[at])) {
      const auto end = closing(list, at);
      if (!end) break;
      at = *end;
    } else if (list[at] == ',') {
      parts.push_back(list.substr(begin, at - begin));
      begin = list.find_first_not_of(' ', at + 1);
      if (begin == std::string_view::npos) return parts;
    }
  }
  parts.push_back(list.substr(begin));
  return parts;
}

std::string shorten(std::string_view text, int depth);

// As clean_text leaves what is too long.
bool is_cut(std::string_view text) {
  return text.ends_with("\xe2\x80\xa6");
}

std::string_view cut_list(char open) {
  return open == '<' ? "<...>" : "(...)";
}

// The name that a list of template arguments follows: "const std::vector" is std::vector.
std::string_view name_before(std::string_view text) {
  std::size_t begin = text.size();
  while (begin > 0 && (in_name(text[begin - 1]) || text[begin - 1] == ':')) --begin;
  return text.substr(begin);
}

std::string list_text(std::string_view list, bool of_std, int depth) {
  std::vector<std::string> kept;
  for (const std::string_view part : parts_of(list)) {
    std::string text = shorten(part, depth + 1);
    while (text.ends_with(' ')) text.pop_back();
    kept.push_back(std::move(text));
  }
  const auto is_default = [](const std::string& text) {
    return std::ranges::any_of(defaults, [&](const char* one) { return text.starts_with(one); });
  };
  while (of_std && kept.size() > 1 && is_default(kept.back())) kept.pop_back();
  return join(kept, ", ");
}

// One list, after what of the text is already written.
void add_list(std::string_view list, char open, int depth, std::string& text) {
  const std::string_view name = name_before(text);
  const bool of_template = open == '<' && !name.empty();
  const bool plain_list = name == "std::pair" || name == "std::tuple" || name == "std::variant";
  std::string inside =
      list_text(list, of_template && name.starts_with("std::") && !plain_list, depth);
  if (of_template) {
    for (const auto& [whole, alias] : aliases) {
      if (whole.size() != name.size() + inside.size() + 2 || !whole.starts_with(name) ||
          whole.substr(name.size() + 1, inside.size()) != inside)
        continue;
      text.replace(text.size() - name.size(), name.size(), alias);
      return;
    }
  }
  const bool cut = (of_template || open == '(') && inside.size() > longest_list;
  text += open + (cut ? "..." : inside) + (open == '<' ? '>' : ')');
}

std::string shorten(std::string_view text, int depth) {
  if (depth > most_depth) return "...";
  std::string short_text;
  for (std::size_t at = 0; at < text.size(); ++at) {
    const auto name_end = operator_end(text, at);
    if (is_arrow(text, at)) {
      short_text += "->";
      ++at;
    } else if (name_end != at) {
      short_text += text.substr(at, name_end - at);
      at = name_end - 1;
    } else if (text[at] == '<' || text[at] == '(') {
      const auto end = closing(text, at);
      if (!end) return short_text += is_cut(text) ? cut_list(text[at]) : text.substr(at);
      add_list(text.substr(at + 1, *end - at - 1), text[at], depth, short_text);
      at = *end;
    } else {
      short_text += text[at];
    }
  }
  return short_text;
}

// Where the function's own name begins: behind the last space outside of lists before its
// parameters. Of operators nothing is said: their names have spaces, too.
std::size_t name_begin(std::string_view text, bool cut) {
  if (text.find("operator ") != std::string_view::npos) return 0;
  const std::string_view head = text.substr(0, text.find_first_of("<("));
  for (const std::string_view word : {" for ", " to "}) {
    if (head.find(word) != std::string_view::npos) return 0;  // "vtable for", "virtual thunk to"
  }
  std::size_t begin = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (const auto end = operator_end(text, at); end != at) return begin;
    if (text[at] == ' ') begin = at + 1;
    if (!opens(text[at])) continue;
    const bool anonymous = text.substr(at).starts_with("(anonymous namespace)");
    if (text[at] == '(' && !anonymous && at > begin) return begin;
    const auto end = closing(text, at);
    if (!end) return 0;
    at = *end;
  }
  return cut ? begin : 0;  // no parameters: a variable, or a language of its own
}

// Of `whole` only its first `kept` bytes stay, everywhere.
void cut_all(std::string& text, std::string_view whole, std::size_t kept) {
  for (auto at = text.find(whole); at != std::string::npos; at = text.find(whole, at + kept))
    text.erase(at + kept, whole.size() - kept);
}

}  // namespace

std::string readable_name(std::string_view demangled) {
  std::string text(demangled);
  cut_all(text, "[abi:cxx11]", 0);
  const bool plain = text.find_first_of("<(") == std::string::npos;
  if (plain || text.size() > longest_name || text.find(".(") != std::string::npos)
    return text;  // C; Go's "main.(*Bank).Move"
  cut_all(text, "std::__cxx11::", 5);
  cut_all(text, "std::__1::", 5);  // libc++
  const bool cut = is_cut(text);
  text = shorten(text, 0);
  return text.substr(name_begin(text, cut));
}

bool is_library_glue(std::string_view readable) {
  if (starts_with_any(readable, {"core::ops::function::", "std::panicking::try",
                                 "std::panicking::catch_unwind", "std::panic::catch_unwind",
                                 "<core::panic::unwind_safe::", "<alloc::boxed::Box<",
                                 "std::rt::", "<&dyn core::ops::function::", "<std::sys::thread::",
                                 "<std::sys::pal::unix::thread::", "std::thread::lifecycle::spawn",
                                 "std::thread::Builder::spawn_unchecked",
                                 "std::sys::backtrace::", "std::sys_common::backtrace::"}))
    return true;
  if (!starts_with_any(readable, {"std::", "__gnu_cxx::"})) return false;
  // What begins with an underscore is nobody's but the library's.
  for (std::size_t at = 0; at + 2 < readable.size(); ++at) {
    if (readable[at] == '(') return false;
    if (readable[at] == '<') {
      const auto end = closing(readable, at);
      if (!end) return false;
      at = *end;
    } else if (readable.substr(at).starts_with("::_")) {
      return true;
    }
  }
  return false;
}

}  // namespace coldcase
