#include "sidecar/side_car_json.hpp"

#include <charconv>
#include <limits>
#include <nlohmann/json.hpp>
#include <variant>

#include "base/text.hpp"
#include "sidecar/fields.hpp"

namespace coldcase {
namespace sidecar {
namespace {

constexpr std::size_t depth_limit = 64, field_limit = 64;

bool is_time(std::string_view text) {
  constexpr std::string_view shape = "0000-00-00T00:00:00Z";
  if (text.size() != shape.size()) return false;
  for (std::size_t i = 0; i < shape.size(); ++i) {
    const bool digit = text[i] >= '0' && text[i] <= '9';
    if (shape[i] == '0' ? !digit : text[i] != shape[i]) return false;
  }
  return true;
}

bool is_digest(std::string_view text) {
  constexpr std::string_view digits = "0123456789abcdef";
  return text.size() == 16 && text.find_first_not_of(digits) == std::string_view::npos;
}

// Reading: the values of one row as they came, taken out by the row's description.
using Value = std::variant<std::string, std::int64_t, bool, std::vector<std::int64_t>>;

class Row {
 public:
  std::vector<std::pair<std::string, Value>> values;
  std::string problem;

  template <class T>
  void whole(const char* key, T& value) {
    const auto* found = find<std::int64_t>(key);
    if (found == nullptr) return;
    if (*found < std::numeric_limits<T>::min() || *found > std::numeric_limits<T>::max())
      return refuse(key);
    value = static_cast<T>(*found);
  }
  template <class T>
  void known(const char* key, T& value) {
    whole(key, value);
  }
  void fact(const char* key, std::uint64_t& value) {
    const auto* found = find<std::string>(key);
    if (found == nullptr) return;
    if (!found->starts_with("0x") || found->size() < 3) return refuse(key);
    const char* end = found->data() + found->size();
    const auto [at, error] = std::from_chars(found->data() + 2, end, value, 16);
    if (error != std::errc{} || at != end) refuse(key);
  }
  void word(const char* key, std::uint64_t& value) { fact(key, value); }
  void text(const char* key, std::string& value) {
    if (const auto* found = find<std::string>(key)) value = clean_text(*found);
  }
  void digest(const char* key, std::string& value) {
    const auto* found = find<std::string>(key);
    if (found == nullptr) return;
    if (!is_digest(*found)) return refuse(key);
    value = *found;
  }
  void flag(const char* key, bool& value) {
    if (const auto* found = find<bool>(key)) value = *found;
  }
  void maybe_whole(const char* key, std::optional<std::int64_t>& value) {
    if (const auto* found = find<std::int64_t>(key)) value = *found;
  }
  void maybe_count(const char* key, std::optional<std::uint64_t>& value) {
    const auto* found = find<std::int64_t>(key);
    if (found == nullptr) return;
    if (*found < 0) return refuse(key);
    value = static_cast<std::uint64_t>(*found);
  }
  void maybe_word(const char* key, std::optional<std::uint64_t>& value) {
    std::uint64_t word = 0;
    if (!has(key)) return;
    fact(key, word);
    value = word;
  }
  template <class T>
  void wholes(const char* key, std::vector<T>& into) {
    const auto* found = find<std::vector<std::int64_t>>(key);
    if (found == nullptr) return;
    into.clear();  // of an object that is told twice the later one counts
    for (const std::int64_t value : *found) {
      if (value < 0 || value > std::numeric_limits<T>::max()) return refuse(key);
      into.push_back(static_cast<T>(value));
    }
  }

 private:
  const Value* find_value(std::string_view key) const {
    for (const auto& [name, value] : values) {
      if (name == key) return &value;
    }
    return nullptr;
  }
  bool has(std::string_view key) const { return find_value(key) != nullptr; }
  template <class T>
  const T* find(const char* key) {
    const Value* value = find_value(key);
    if (value == nullptr) return nullptr;
    if (!std::holds_alternative<T>(*value)) refuse(key);
    return std::get_if<T>(value);
  }
  void refuse(const char* key) { problem = std::string(key) + " is not what it should be"; }
};

// The parser's events become rows at once: no tree of the whole text is ever held.
class Reader : public nlohmann::json_sax<nlohmann::json> {
 public:
  SideCar side_car;
  std::string problem;
  std::string schema, version;

  bool null() override { return true; }
  bool boolean(bool value) override { return add(Value{value}); }
  bool number_integer(std::int64_t value) override { return add(Value{value}); }
  bool number_unsigned(std::uint64_t value) override {
    if (value > static_cast<std::uint64_t>(largest)) return fail("a number is out of range");
    return add(Value{static_cast<std::int64_t>(value)});
  }
  bool number_float(double, const std::string&) override { return true; }  // none of ours
  bool string(std::string& value) override { return add(Value{std::move(value)}); }
  bool binary(nlohmann::json::binary_t&) override { return false; }  // not in JSON
  bool key(std::string& name) override {
    if (depth_ == 1) section_ = name;
    if (depth_ == row_depth_) field_ = name;
    return true;
  }
  bool start_object(std::size_t) override {
    if (!deeper()) return false;
    if (depth_ == 1) root_ = true;
    const bool alone = depth_ == 2 && (section_ == "process" || section_ == "namespaces");
    if (alone || (depth_ == 3 && in_list_)) {
      row_depth_ = depth_;
      row_ = {};
    }
    return true;
  }
  bool end_object() override {
    const bool row = depth_ == row_depth_;
    --depth_;
    if (!row) return true;
    row_depth_ = none;
    take_row();
    return row_.problem.empty() || fail(section_ + ": " + row_.problem);
  }
  bool start_array(std::size_t) override {
    if (!deeper()) return false;
    if (depth_ == 2) {
      in_list_ = true;
      clear_list();
    }
    if (row_depth_ == none || depth_ != row_depth_ + 1) return true;
    in_row_list_ = true;
    return add_field(std::vector<std::int64_t>{});
  }
  bool end_array() override {
    if (depth_ == 2) in_list_ = false;
    if (row_depth_ != none && depth_ == row_depth_ + 1) in_row_list_ = false;
    --depth_;
    return true;
  }
  bool parse_error(std::size_t at, const std::string&, const nlohmann::json::exception&) override {
    return fail("it is not JSON, from byte " + std::to_string(at) + " on");
  }
  bool has_root() const { return root_; }

 private:
  static constexpr std::size_t none = std::numeric_limits<std::size_t>::max();

  bool fail(std::string text) {
    if (problem.empty()) problem = std::move(text);
    return false;
  }
  bool deeper() { return ++depth_ <= depth_limit || fail("it is nested too deep"); }

  bool add(Value value) {
    if (depth_ == row_depth_) return add_field(std::move(value));
    if (row_depth_ != none) return add_to_list(value);
    const auto* text = std::get_if<std::string>(&value);
    if (text == nullptr) return true;
    if (depth_ == 1 && section_ == "schema") schema = clean_text(*text, 64);
    if (depth_ == 1 && section_ == "schema_version") version = clean_text(*text, 64);
    if (depth_ == 1 && section_ == "taken_at") {
      if (!is_time(*text)) return fail("taken_at is no time in UTC");
      side_car.taken_at = *text;
    }
    if (depth_ == 1 && section_ == "boot") {
      if (!is_digest(*text)) return fail("boot is not what it should be");
      side_car.boot = *text;
    }
    if (depth_ == 2 && in_list_ && section_ == "incomplete" && side_car.incomplete.size() < 64)
      side_car.incomplete.push_back(clean_text(*text, 256));
    return true;
  }

  bool add_field(Value value) {
    if (row_.values.size() >= field_limit) return fail(section_ + ": a row has too many fields");
    row_.values.emplace_back(field_, std::move(value));
    return true;
  }

  // One more number of the list that is the row's last value; what is deeper is none of ours.
  bool add_to_list(const Value& value) {
    const auto* number = std::get_if<std::int64_t>(&value);
    if (!in_row_list_ || number == nullptr || depth_ != row_depth_ + 1) return true;
    auto* list = std::get_if<std::vector<std::int64_t>>(&row_.values.back().second);
    if (list != nullptr && list->size() <= most_of(field_)) list->push_back(*number);
    return true;
  }

  // One more than the limit is kept: settle() cuts it off and says so.
  template <class T>
  bool take(std::vector<T>& into, std::size_t limit) {
    if (into.size() > limit) return false;
    T value{};
    describe(row_, value);
    into.push_back(std::move(value));
    return true;
  }

  static std::size_t most_of(std::string_view list) {
    return list == "children" ? SideCarLimits::children : SideCarLimits::polls;
  }

  void take_row() {
    using Limits = SideCarLimits;
    if (section_ == "process") return describe(row_, side_car);
    if (section_ == "namespaces") {
      Namespaces spaces{side_car};
      return describe(row_, spaces);
    }
    if (section_ == "threads") take(side_car.tasks, Limits::tasks);
    if (section_ == "files") take(side_car.files, Limits::files);
    if (section_ == "sockets") take(side_car.sockets, Limits::sockets);
    if (section_ == "locks") take(side_car.locks, Limits::locks);
    if (section_ == "mappings" && take(side_car.mappings, Limits::mappings)) {
      const Range range = side_car.mappings.back().range;
      if (range.end < range.begin) row_.problem = "a range ends before it begins";
    }
    if (section_ == "zombies") take_zombie();
  }

  void take_zombie() {
    if (side_car.zombies.size() > SideCarLimits::zombies) return;
    Zombie zombie;
    describe(row_, zombie);
    side_car.zombies.push_back(zombie.pid);
    if (zombie.status && *zombie.status >= 0 && *zombie.status <= 0xffff)
      side_car.statuses[zombie.pid] = static_cast<std::int32_t>(*zombie.status);
  }

  // A list that comes twice: the later one counts, as with every key of JSON.
  void clear_list() {
    if (section_ == "threads") side_car.tasks.clear();
    if (section_ == "files") side_car.files.clear();
    if (section_ == "sockets") side_car.sockets.clear();
    if (section_ == "locks") side_car.locks.clear();
    if (section_ == "mappings") side_car.mappings.clear();
    if (section_ == "incomplete") side_car.incomplete.clear();
    if (section_ != "zombies") return;
    side_car.zombies.clear();
    side_car.statuses.clear();
  }

  std::size_t depth_ = 0;
  std::size_t row_depth_ = none;
  bool in_list_ = false, in_row_list_ = false, root_ = false;
  std::string section_, field_;
  Row row_;
};

}  // namespace
}  // namespace sidecar

std::string side_car_path(const std::string& core) {
  if (core == "-" || core.empty()) return {};
  std::string stem = core;
  for (const std::string_view suffix : {".zst", ".xz", ".gz", ".bz2", ".lz4"}) {
    if (base_name(core).size() <= suffix.size() || !core.ends_with(suffix)) continue;
    stem.resize(core.size() - suffix.size());
    break;
  }
  return stem + ".side-car.json";
}

tl::expected<SideCar, std::string> parse_side_car(std::string_view text) {
  if (text.size() > side_car_file_limit) return tl::unexpected<std::string>("it is too large");
  sidecar::Reader reader;
  const bool whole = nlohmann::json::sax_parse(text.begin(), text.end(), &reader);
  if (!whole || !reader.has_root() || reader.schema != "coldcase/side-car") {
    return tl::unexpected<std::string>(!reader.problem.empty() ? reader.problem
                                                               : "it is no side-car of coldcase");
  }
  if (!reader.version.starts_with("1."))
    return tl::unexpected("its schema version is " + reader.version + "; this program reads 1.x");
  if (reader.side_car.pid <= 0) return tl::unexpected<std::string>("it names no process");
  reader.side_car.settle();
  return std::move(reader.side_car);
}

}  // namespace coldcase
