#include "report/clean.hpp"

#include <algorithm>

#include "base/text.hpp"
#include "report/describe.hpp"
#include "report/ids.hpp"

namespace coldcase::report {
namespace {

class Cleaner {
 public:
  static constexpr bool changes = true;
  explicit Cleaner(const Analysis& analysis)
      : counts_(counts_of(analysis)), frames_(analysis.facts.frames.size()) {}

  template <class T>
  void must(std::string_view, T& value) {
    clean(value);
  }
  template <class T>
  void may(std::string_view, T& value) {
    clean(value);
  }
  void must_long(std::string_view, std::string& value) {
    value = clean_text(value, long_text_limit);
  }
  void must_hex(std::string_view, std::uint64_t&) {}
  void constant(std::string_view, std::string_view) {}
  void identity(RefKind) {}
  template <class Fields>
  void group(std::string_view, bool, const Fields& fields) {
    fields();
  }
  template <class T, class Fields>
  void list(std::string_view, std::vector<T>& values, bool, const Fields& fields) {
    for (T& value : values) fields(value);
  }
  void frames(std::string_view, std::vector<std::uint32_t>& indices) {
    std::erase_if(indices, [this](std::uint32_t index) { return index >= frames_; });
  }

  template <class T>
  void clean(T& value) {
    describe(*this, value);
  }
  void clean(std::string& text) { text = clean_text(text, text_limit); }
  void clean(bool&) {}
  void clean(std::uint32_t&) {}
  void clean(std::uint64_t& value) { value = std::min(value, largest_integer); }
  void clean(std::int64_t& value) {
    const auto limit = static_cast<std::int64_t>(largest_integer);
    value = std::clamp(value, -limit, limit);
  }
  void clean(Addr&) {}
  void clean(Ref& ref) {
    if (!points(counts_, ref)) ref = Ref{};
  }
  template <RefKind K>
  void clean(Id<K>& id) {
    if (!points(counts_, id)) id = Id<K>{};
  }
  template <Worded E>
  void clean(E&) {}
  template <class T>
  void clean(std::optional<T>& value) {
    if (value) clean(*value);
  }
  template <class T>
  void clean(std::vector<T>& values) {
    for (T& value : values) clean(value);
    if constexpr (requires(T t) { t.index; }) {
      std::erase_if(values, [](const T& id) { return !id.known(); });
    }
  }
  template <class T>
  void clean(std::map<std::string, T>& values) {
    std::map<std::string, T> tidy;
    for (auto& entry : values) {
      clean(entry.second);
      tidy.emplace(clean_text(entry.first, text_limit), entry.second);
    }
    values = std::move(tidy);
  }

 private:
  Counts counts_;
  std::size_t frames_;
};

}  // namespace

Analysis cleaned(const Analysis& analysis) {
  Analysis tidy = analysis;
  Cleaner cleaner(analysis);
  cleaner.clean(tidy);
  for (Frame& frame : tidy.facts.frames) cleaner.clean(frame);
  return tidy;
}

}  // namespace coldcase::report
