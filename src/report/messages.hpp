// What the user is told when a report cannot be read. All texts of this stage stand here, to be
// reviewed as prose: what happened, why that usually happens, what to try.
#pragma once

#include <coldcase/result.hpp>
#include <string>

namespace coldcase::report::messages {

Error not_json(const std::string& why);
Error not_a_report();
Error other_version(const std::string& version);
Error wrong_value(const std::string& where, const std::string& why);
Error too_deep();

}  // namespace coldcase::report::messages
