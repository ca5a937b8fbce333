#include "base/function_name.hpp"

#include <string_view>

#include "base/readable_name.hpp"

namespace coldcase {
namespace {

// Outside of all lists, or npos.
std::size_t find_lambda(std::string_view text) {
  int depth = 0;
  for (std::size_t at = 0; at < text.size(); ++at) {
    if (depth == 0 && text.substr(at).starts_with("::{lambda(")) return at;
    if (text[at] == '<' || text[at] == '(') ++depth;
    if (text[at] == '>' || text[at] == ')') --depth;
  }
  return std::string_view::npos;
}

}  // namespace

std::string plain_function(std::string function) {
  constexpr std::string_view anonymous = "(anonymous namespace)::";
  for (auto at = function.find(anonymous); at != std::string::npos;
       at = function.find(anonymous, at))
    function.erase(at, anonymous.size());
  if (function.find(".(") != std::string::npos) return function;
  function = readable_name(function);
  if (const auto at = find_lambda(function); at != std::string_view::npos && at > 0)
    return plain_function(function.substr(0, at)) + "'s lambda";
  if (function.find("operator") != std::string::npos) return function;
  int depth = 0;
  std::size_t begin = 0;
  for (std::size_t at = 0; at < function.size(); ++at) {
    const char c = function[at];
    if (c == '(' && depth == 0 && at > begin) return function.substr(begin, at - begin);
    if (c == ' ' && depth == 0) begin = at + 1;
    if (c == '<' || c == '(') ++depth;
    if (c == '>' || c == ')') --depth;
  }
  return function;
}

std::string spoken_function(const std::string& function) {
  std::string name = readable_name(function);
  return find_lambda(name) == std::string_view::npos ? name : plain_function(std::move(name));
}

}  // namespace coldcase
