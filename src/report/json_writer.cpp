#include "report/json_writer.hpp"

#include <coldcase/report.hpp>

#include <algorithm>

#include "base/text.hpp"

namespace coldcase::report {

void JsonWriter::frames(std::string_view key, const std::vector<std::uint32_t>& indices) {
  start(key);
  open('[');
  for (const std::uint32_t index : indices) {
    if (index >= facts_.frames.size()) continue;
    item();
    write(facts_.frames[index]);
  }
  close(']');
}

void JsonWriter::write(std::uint64_t value) {
  out_ << std::min(value, largest_integer);
}

void JsonWriter::write(std::int64_t value) {
  const auto limit = static_cast<std::int64_t>(largest_integer);
  out_ << std::clamp(value, -limit, limit);
}

void JsonWriter::write(Addr value) {
  out_ << '"' << hex(value.value) << '"';
}

void JsonWriter::item() {
  out_ << (empty_ ? "\n" : ",\n");
  for (std::size_t i = 0; i < depth_; ++i) out_ << ' ';
  empty_ = false;
}

void JsonWriter::start(std::string_view key) {
  item();
  out_ << '"' << key << "\": ";
}

void JsonWriter::open(char bracket) {
  out_ << bracket;
  ++depth_;
  empty_ = true;
}

void JsonWriter::close(char bracket) {
  --depth_;
  if (!empty_) {
    out_ << '\n';
    for (std::size_t i = 0; i < depth_; ++i) out_ << ' ';
  }
  out_ << bracket;
  empty_ = false;
}

void JsonWriter::string(std::string_view value, std::size_t limit) {
  out_ << '"';
  for (const char c : clean_text(value, limit)) {
    if (c == '"' || c == '\\') out_ << '\\';
    out_ << c;
  }
  out_ << '"';
}

}  // namespace coldcase::report

namespace coldcase {

void render_json(const Analysis& analysis, std::ostream& out) {
  report::JsonWriter writer(analysis, out);
  writer.write(analysis);
  out << '\n';
}

}  // namespace coldcase
