// The prose of the JSON schema: the rules of the whole, and what each key means.
#pragma once

#include <string>
#include <string_view>

namespace coldcase::report {

std::string schema_rules(bool closed);

// Empty for a key that speaks for itself. A key has one meaning wherever it appears, so this needs
// no path.
std::string schema_text(std::string_view key);

}  // namespace coldcase::report
