#include "report/messages.hpp"

#include "base/text.hpp"

namespace coldcase::report::messages {
namespace {

constexpr const char* try_again =
    "Make the report again from the core: coldcase analyze --format json CORE";

Error bad(const std::string& text) {
  return Error(Trouble::not_a_core, text + "\n" + try_again);
}

}  // namespace

Error not_json(const std::string& why) {
  return bad("This is no JSON report: " + clean_text(why, 200) +
             ".\nUsually the file was cut short while it was copied or written.");
}

Error not_a_report() {
  return bad("This is JSON, but no report of coldcase: \"schema\" is not \"coldcase/report\".");
}

Error other_version(const std::string& version) {
  return bad("This report has schema version " + clean_text(version, 40) +
             "; this program reads version 1.\nUse the coldcase that wrote it, or a newer one.");
}

Error wrong_value(const std::string& where, const std::string& why) {
  return bad("This report cannot be read: " + clean_text(where, 200) + " " + why +
             ".\nUsually it was edited by hand or by another program.");
}

Error too_deep() {
  return bad("This report cannot be read: it is nested deeper than any report is.");
}

}  // namespace coldcase::report::messages
