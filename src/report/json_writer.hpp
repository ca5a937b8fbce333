// Writes described values as JSON straight into a stream: no document is ever held in memory.
// One space of indent per level; strings pass through clean_text, so the output is valid UTF-8
// without control characters whatever a core held.
#pragma once

#include <ostream>

#include "report/describe.hpp"
#include "report/ids.hpp"

namespace coldcase::report {

class JsonWriter {
 public:
  static constexpr bool changes = false;
  JsonWriter(const Analysis& analysis, std::ostream& out)
      : facts_(analysis.facts), counts_(counts_of(analysis)), out_(out) {}

  template <class T>
  void must(std::string_view key, const T& value) {
    start(key);
    write(value);
  }
  template <class T>
  void may(std::string_view key, const T& value) {
    if (present(value)) must(key, value);
  }
  void must_long(std::string_view key, const std::string& value) {
    start(key);
    string(value, long_text_limit);
  }
  void must_hex(std::string_view key, std::uint64_t value) { must(key, Addr{value}); }
  void constant(std::string_view key, std::string_view value) {
    start(key);
    string(value, text_limit);
  }
  void identity(RefKind kind) {
    constant("id", spell(kind, next_[static_cast<std::size_t>(kind)]++));
  }
  template <class Fields>
  void group(std::string_view key, bool known, const Fields& fields) {
    if (!known) return;
    start(key);
    open('{');
    fields();
    close('}');
  }
  template <class T, class Fields>
  void list(std::string_view key, const std::vector<T>& values, bool always, const Fields& fields) {
    if (values.empty() && !always) return;
    start(key);
    open('[');
    for (const T& value : values) {
      item();
      open('{');
      fields(value);
      close('}');
    }
    close(']');
  }
  void frames(std::string_view key, const std::vector<std::uint32_t>& indices);

  template <class T>
  void write(const T& value) {
    open('{');
    describe(*this, value);
    close('}');
  }
  void write(const std::string& value) { string(value, text_limit); }
  void write(bool value) { out_ << (value ? "true" : "false"); }
  void write(std::uint32_t value) { out_ << value; }
  void write(std::uint64_t value);
  void write(std::int64_t value);
  void write(Addr value);
  void write(Ref ref) { string(spell(counts_, ref), text_limit); }
  template <RefKind K>
  void write(Id<K> id) {
    write(Ref(id));
  }
  template <Worded E>
  void write(const E& value) {
    string(word(value), text_limit);
  }
  template <class T>
  void write(const std::optional<T>& value) {
    write(*value);
  }
  template <class T>
  void write(const std::vector<T>& values) {
    open('[');
    for (const T& value : values) {
      if (!pointing(value)) continue;
      item();
      write(value);
    }
    close(']');
  }
  template <class T>
  void write(const std::map<std::string, T>& values);

 private:
  // An id in a list that points at nothing is left out.
  template <class T>
  bool pointing(const T&) const {
    return true;
  }
  bool pointing(Ref ref) const { return points(counts_, ref); }
  template <RefKind K>
  bool pointing(Id<K> id) const {
    return points(counts_, id);
  }
  template <class T>
  bool present(const T& value) const {
    return known(value);
  }
  template <RefKind K>
  bool present(Id<K> id) const {
    return points(counts_, id);
  }
  template <RefKind K>
  bool present(const std::vector<Id<K>>& ids) const {
    for (const Id<K> id : ids) {
      if (points(counts_, id)) return true;
    }
    return false;
  }
  bool present(const std::vector<Ref>& refs) const {
    for (const Ref ref : refs) {
      if (points(counts_, ref)) return true;
    }
    return false;
  }
  void item();  // to the next line, after a comma where one is due
  void start(std::string_view key);
  void open(char bracket);
  void close(char bracket);
  void string(std::string_view value, std::size_t limit);

  const Facts& facts_;
  Counts counts_;
  Counts next_{};
  std::ostream& out_;
  std::size_t depth_ = 0;
  bool empty_ = true;  // nothing written yet since the last opening bracket
};

template <class T>
void JsonWriter::write(const std::map<std::string, T>& values) {
  open('{');
  for (const auto& entry : values) {
    item();
    string(entry.first, text_limit);
    out_ << ": ";
    write(entry.second);
  }
  close('}');
}

}  // namespace coldcase::report
