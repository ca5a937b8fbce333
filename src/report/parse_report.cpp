// JSON back to an Analysis. Ids are looked up in a table made by a first pass, so their spelling
// does not matter; whatever does not have the contract's type is an Error, never a crash.
#include <coldcase/report.hpp>
#include <limits>
#include <nlohmann/json.hpp>
#include <unordered_map>

#include "report/describe.hpp"
#include "report/ids.hpp"
#include "report/messages.hpp"

namespace coldcase {
namespace report {
namespace {

using Json = nlohmann::json;
using IdTable = std::unordered_map<std::string, Ref>;
constexpr std::size_t depth_limit = 64;

// Before anything is built from it. Brackets inside strings do not nest.
void check_depth(std::string_view text) {
  std::size_t depth = 0;
  bool quoted = false;
  for (std::size_t i = 0; i < text.size(); ++i) {
    const char c = text[i];
    if (quoted) {
      if (c == '\\') ++i;
      if (c == '"') quoted = false;
      continue;
    }
    if (c == '"') quoted = true;
    if ((c == '[' || c == '{') && ++depth > depth_limit) throw messages::too_deep();
    if ((c == ']' || c == '}') && depth > 0) --depth;
  }
}

class IdPass {
 public:
  IdTable table;

  void top(const Json& report) {
    each(report, "inputs", RefKind::input);
    each(report, "findings", RefKind::finding);
    each(report, "threads", RefKind::thread);
    each(report, "tasks", RefKind::task);
    each(report, "stacks", RefKind::stack);
    each(report, "resources", RefKind::resource);
    each(report, "evidence", RefKind::evidence);
    each(report, "modules", RefKind::module);
    for (const Json& process : each(report, "processes", RefKind::process)) {
      for (const Json& runtime : each(process, "runtimes", RefKind::runtime)) {
        each(runtime, "interpreters", RefKind::interpreter);
      }
    }
  }

 private:
  const Json& each(const Json& parent, const char* key, RefKind kind) {
    static const Json nothing = Json::array();
    if (!parent.is_object()) return nothing;
    const auto found = parent.find(key);
    if (found == parent.end()) return nothing;
    if (!found->is_array()) throw messages::wrong_value(key, "is not a list");
    for (const Json& object : *found) {
      Ref ref;
      ref.kind = kind;
      ref.index = next_[static_cast<std::size_t>(kind)]++;
      if (!object.is_object())
        throw messages::wrong_value(key, "holds something else than objects");
      const auto id = object.find("id");
      if (id == object.end()) continue;
      if (!id->is_string()) throw messages::wrong_value(std::string(key) + ".id", "is no text");
      if (!table.emplace(id->get<std::string>(), ref).second)
        throw messages::wrong_value(std::string(key) + ".id", "stands there twice");
    }
    return *found;
  }

  Counts next_{};
};

class JsonReader {
 public:
  static constexpr bool changes = true;
  JsonReader(const Json& report, const IdTable& ids, Facts& facts)
      : node_(&report), ids_(ids), facts_(facts) {}

  template <class T>
  void must(std::string_view key, T& value) {
    const Json* child = find(key);
    if (child == nullptr) return;
    const Step step(*this, key, child);
    read(value);
  }
  template <class T>
  void may(std::string_view key, T& value) {
    must(key, value);
  }
  void must_long(std::string_view key, std::string& value) { must(key, value); }
  void must_hex(std::string_view key, std::uint64_t& value) {
    Addr word{value};
    must(key, word);
    value = word.value;
  }
  void constant(std::string_view, std::string_view) {}
  void identity(RefKind) {}
  template <class Fields>
  void group(std::string_view key, bool, const Fields& fields) {
    const Json* child = find(key);
    if (child == nullptr) return;
    const Step step(*this, key, child);
    need(node_->is_object(), "is no object");
    fields();
  }
  template <class T, class Fields>
  void list(std::string_view key, std::vector<T>& values, bool, const Fields& fields) {
    const Json* child = find(key);
    if (child == nullptr) return;
    const Step step(*this, key, child);
    need(node_->is_array(), "is no list");
    for (const Json& item : *node_) {
      const Step inner(*this, "[]", &item);
      need(item.is_object(), "is no object");
      T value{};
      fields(value);
      values.push_back(std::move(value));
    }
  }
  void frames(std::string_view key, std::vector<std::uint32_t>& indices) {
    const Json* child = find(key);
    if (child == nullptr) return;
    const Step step(*this, key, child);
    need(node_->is_array(), "is no list");
    for (const Json& item : *node_) {
      const Step inner(*this, "[]", &item);
      indices.push_back(frame(item));
    }
  }

  template <class T>
  void read(T& value) {
    need(node_->is_object(), "is no object");
    describe(*this, value);
  }
  void read(std::string& value) {
    need(node_->is_string(), "is no text");
    value = node_->get<std::string>();
  }
  void read(bool& value) {
    need(node_->is_boolean(), "is neither true nor false");
    value = node_->get<bool>();
  }
  void read(std::uint64_t& value) { value = count(largest_integer); }
  void read(std::uint32_t& value) {
    value = static_cast<std::uint32_t>(count(std::numeric_limits<std::uint32_t>::max()));
  }
  void read(std::int64_t& value) {
    need(node_->is_number_integer(), "is no whole number");
    if (node_->is_number_unsigned()) {
      value = static_cast<std::int64_t>(count(largest_integer));
      return;
    }
    value = node_->get<std::int64_t>();
    need(value >= -static_cast<std::int64_t>(largest_integer), "is out of range");
  }
  void read(Addr& value);
  void read(Ref& value) {
    need(node_->is_string(), "is no id");
    const auto found = ids_.find(node_->get_ref<const std::string&>());
    value = found == ids_.end() ? Ref{} : found->second;
  }
  template <RefKind K>
  void read(Id<K>& value) {
    Ref ref;
    read(ref);
    value = ref.as<K>();
  }
  template <Worded E>
  void read(E& value) {
    need(node_->is_string(), "is no word");
    value = find_word<E>(node_->get_ref<const std::string&>()).value_or(value);
  }
  template <class T>
  void read(std::optional<T>& value) {
    if constexpr (Worded<T>) {
      need(node_->is_string(), "is no word");
      value = find_word<T>(node_->get_ref<const std::string&>());
    } else {
      T inner{};
      read(inner);
      value = std::move(inner);
    }
  }
  template <class T>
  void read(std::vector<T>& values) {
    need(node_->is_array(), "is no list");
    for (const Json& item : *node_) {
      const Step step(*this, "[]", &item);
      T value{};
      read(value);
      if constexpr (requires(T t) { t.index; }) {
        if (!value.known()) continue;
      }
      values.push_back(std::move(value));
    }
  }
  template <class T>
  void read(std::map<std::string, T>& values) {
    need(node_->is_object(), "is no object");
    const Json& object = *node_;
    for (auto item = object.begin(); item != object.end(); ++item) {
      const Step step(*this, item.key(), &*item);
      read(values[item.key()]);
    }
  }

 private:
  // Goes down into a member for as long as it lives; the way there is for messages.
  class Step {
   public:
    Step(JsonReader& reader, std::string_view key, const Json* child)
        : reader_(reader), before_(reader.node_), length_(reader.where_.size()) {
      if (key != "[]" && !reader.where_.empty()) reader.where_ += '.';
      reader.where_ += key;
      reader.node_ = child;
    }
    ~Step() {
      reader_.node_ = before_;
      reader_.where_.resize(length_);
    }
    Step(const Step&) = delete;
    Step& operator=(const Step&) = delete;

   private:
    JsonReader& reader_;
    const Json* before_;
    std::size_t length_;
  };

  const Json* find(std::string_view key) const {
    const auto found = node_->find(std::string(key));
    return found == node_->end() ? nullptr : &*found;
  }
  void need(bool fine, const char* why) const {
    if (!fine) throw messages::wrong_value(where_, why);
  }
  std::uint64_t count(std::uint64_t limit) const {
    need(node_->is_number_unsigned(), "is no whole number from 0");
    const auto value = node_->get<std::uint64_t>();
    need(value <= limit, "is out of range");
    return value;
  }
  std::uint32_t frame(const Json& item) {
    const auto next = static_cast<std::uint32_t>(facts_.frames.size());
    const auto found = known_frames_.emplace(item.dump(), next);
    if (!found.second) return found.first->second;
    Frame value;
    read(value);
    facts_.frames.push_back(std::move(value));
    return next;
  }

  const Json* node_;
  const IdTable& ids_;
  Facts& facts_;
  std::string where_;
  std::unordered_map<std::string, std::uint32_t> known_frames_;
};

void JsonReader::read(Addr& value) {
  need(node_->is_string(), "is no address");
  const auto& text = node_->get_ref<const std::string&>();
  need(text.size() > 2 && text.size() <= 18 && text[0] == '0' && text[1] == 'x',
       "is no address (\"0x...\")");
  value.value = 0;
  for (const char c : text.substr(2)) {
    const bool digit = c >= '0' && c <= '9';
    need(digit || (c >= 'a' && c <= 'f'), "is no address (\"0x...\")");
    value.value = value.value << 4 | static_cast<unsigned>(digit ? c - '0' : c - 'a' + 10);
  }
}

std::string text_at(const Json& report, const char* key) {
  const auto found = report.find(key);
  return found != report.end() && found->is_string() ? found->get<std::string>() : std::string{};
}

}  // namespace
}  // namespace report

Analysis parse_report(std::string_view json) {
  report::check_depth(json);
  report::Json document;
  try {
    document = report::Json::parse(json.begin(), json.end());
  } catch (const report::Json::exception& error) {
    throw report::messages::not_json(error.what());
  }
  if (!document.is_object() || report::text_at(document, "schema") != "coldcase/report")
    throw report::messages::not_a_report();
  const std::string version = report::text_at(document, "schema_version");
  if (version.substr(0, 2) != "1.") throw report::messages::other_version(version);
  report::IdPass pass;
  pass.top(document);
  Analysis analysis;
  report::JsonReader reader(document, pass.table, analysis.facts);
  reader.read(analysis);
  return analysis;
}

}  // namespace coldcase
