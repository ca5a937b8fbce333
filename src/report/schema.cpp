// The JSON schema of a report, made from the same field lists as the report itself.
#include <coldcase/report.hpp>
#include <nlohmann/json.hpp>
#include <ostream>

#include "report/describe.hpp"
#include "report/ids.hpp"
#include "report/schema_text.hpp"

namespace coldcase {
namespace report {
namespace {

using Json = nlohmann::ordered_json;

class SchemaMaker {
 public:
  static constexpr bool changes = true;
  explicit SchemaMaker(bool closed) : closed_(closed) {}

  template <class T>
  void must(std::string_view key, T& value) {
    may(key, value);
    required(key);
  }
  template <class T>
  void may(std::string_view key, T& value) {
    property(key, shape(value));
  }
  void must_long(std::string_view key, std::string&) {
    property(key, text(long_text_limit));
    required(key);
  }
  void must_hex(std::string_view key, std::uint64_t&) {
    property(key, word64());
    required(key);
  }
  void constant(std::string_view key, std::string_view value) {
    Json schema{{"type", "string"}};
    // A reader must take every 1.x; our own tests only what this program writes.
    if (key == "schema_version" && !closed_) {
      schema["pattern"] = "^1\\.";
    } else {
      schema["const"] = value;
    }
    property(key, schema);
    required(key);
  }
  void identity(RefKind) {
    property("id", Json{{"type", "string"}, {"minLength", 1}});
    required("id");
  }
  template <class Fields>
  void group(std::string_view key, bool, const Fields& fields) {
    property(key, object(fields));
  }
  template <class T, class Fields>
  void list(std::string_view key, std::vector<T>&, bool always, const Fields& fields) {
    T value{};
    property(key, array(object([&] { fields(value); })));
    if (always) required(key);
  }
  void frames(std::string_view key, std::vector<std::uint32_t>&) {
    Frame frame;
    property(key, array(shape(frame)));
    required(key);
  }

  template <class T>
  Json shape(T& value) {
    return object([&] { describe(*this, value); });
  }
  Json shape(std::string&) { return text(text_limit); }
  Json shape(bool&) { return {{"type", "boolean"}}; }
  Json shape(std::uint32_t&) { return whole(0, 0xffffffff); }
  Json shape(std::uint64_t&) { return whole(0, largest_integer); }
  Json shape(std::int64_t&) {
    return whole(-static_cast<std::int64_t>(largest_integer), largest_integer);
  }
  Json shape(Addr&) { return word64(); }
  Json shape(Ref&) { return {{"type", "string"}}; }
  template <RefKind K>
  Json shape(Id<K>&) {
    return {{"type", "string"}};
  }
  template <Worded E>
  Json shape(E& value) {
    Json schema{{"type", "string"}};
    Json& words = schema[closed_ ? "enum" : "examples"] = Json::array();
    for (const std::string_view known_word : words_of(value)) words.push_back(known_word);
    return schema;
  }
  template <class T>
  Json shape(std::optional<T>&) {
    T value{};
    return shape(value);
  }
  template <class T>
  Json shape(std::vector<T>&) {
    T value{};
    return array(shape(value));
  }
  template <class T>
  Json shape(std::map<std::string, T>&) {
    T value{};
    return {{"type", "object"}, {"additionalProperties", shape(value)}};
  }

  template <class Fields>
  Json object(const Fields& fields) {
    Json outer = std::move(object_);
    object_ = Json{{"type", "object"}};
    object_["properties"] = Json::object();
    fields();
    if (closed_) object_["additionalProperties"] = false;
    return std::exchange(object_, std::move(outer));
  }

 private:
  static Json array(Json items) { return {{"type", "array"}, {"items", std::move(items)}}; }
  static Json whole(std::int64_t least, std::uint64_t most) {
    return {{"type", "integer"}, {"minimum", least}, {"maximum", most}};
  }
  static Json word64() {
    return {{"type", "string"}, {"pattern", "^0x(0|[1-9a-f][0-9a-f]{0,15})$"}};
  }
  // A cut string ends in one more character, the ellipsis.
  static Json text(std::size_t limit) { return {{"type", "string"}, {"maxLength", limit + 1}}; }

  void property(std::string_view key, Json schema) {
    const std::string description = schema_text(key);
    if (!description.empty()) schema["description"] = description;
    object_["properties"][std::string(key)] = std::move(schema);
  }
  void required(std::string_view key) { object_["required"].push_back(key); }

  bool closed_;
  Json object_;
};

}  // namespace
}  // namespace report

void render_schema(bool closed, std::ostream& out) {
  report::SchemaMaker maker(closed);
  Analysis analysis;
  report::Json schema{{"$schema", "https://json-schema.org/draft/2020-12/schema"}};
  schema["title"] = "coldcase report, version 1";
  schema["description"] = report::schema_rules(closed);
  schema.update(maker.shape(analysis));
  out << schema.dump(1) << '\n';
}

}  // namespace coldcase
