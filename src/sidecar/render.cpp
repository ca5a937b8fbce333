// Writes the file; side_car_json.cpp reads it.
#include <nlohmann/json.hpp>
#include <ostream>

#include "base/text.hpp"
#include "sidecar/fields.hpp"
#include "sidecar/side_car_json.hpp"

namespace coldcase {
namespace sidecar {
namespace {

// One row of a list is one line.
class Writer {
 public:
  nlohmann::ordered_json row = nlohmann::ordered_json::object();

  void whole(const char* key, std::int64_t value) {
    if (value >= -largest && value <= largest) row[key] = value;
  }
  void known(const char* key, std::int64_t value) {
    if (value != 0) whole(key, value);
  }
  void fact(const char* key, std::uint64_t value) { row[key] = hex(value); }
  void word(const char* key, std::uint64_t value) {
    if (value != 0) fact(key, value);
  }
  void text(const char* key, const std::string& value) {
    if (!value.empty()) row[key] = clean_text(value);
  }
  void digest(const char* key, const std::string& value) { text(key, value); }
  void flag(const char* key, bool value) {
    if (value) row[key] = true;
  }
  void maybe_whole(const char* key, std::optional<std::int64_t> value) {
    if (value) whole(key, *value);
  }
  void maybe_count(const char* key, std::optional<std::uint64_t> value) {
    if (value && *value <= static_cast<std::uint64_t>(largest)) row[key] = *value;
  }
  void maybe_word(const char* key, std::optional<std::uint64_t> value) {
    if (value) fact(key, *value);
  }
  template <class T>
  void wholes(const char* key, const std::vector<T>& values) {
    if (!values.empty()) row[key] = values;
  }
};

template <class T>
std::string line_of(const T& value) {
  Writer writer;
  T copy = value;  // one description serves reading too
  describe(writer, copy);
  return writer.row.dump();
}

template <class T>
void write_list(const char* key, const std::vector<T>& rows, std::ostream& out) {
  if (rows.empty()) return;
  out << ",\n \"" << key << "\": [";
  for (std::size_t i = 0; i < rows.size(); ++i)
    out << (i == 0 ? "\n  " : ",\n  ") << line_of(rows[i]);
  out << "\n ]";
}

std::vector<Zombie> zombies_of(const SideCar& side_car) {
  std::vector<Zombie> zombies;
  for (const std::int64_t pid : side_car.zombies) {
    Zombie zombie;
    zombie.pid = pid;
    const auto status = side_car.statuses.find(pid);
    if (status != side_car.statuses.end()) zombie.status = status->second;
    zombies.push_back(zombie);
  }
  return zombies;
}

}  // namespace
}  // namespace sidecar

void render_side_car(const SideCar& side_car, std::ostream& out) {
  out << "{\n \"schema\": \"coldcase/side-car\",\n \"schema_version\": \""
      << side_car_schema_version << '"';
  if (!side_car.taken_at.empty()) out << ",\n \"taken_at\": \"" << side_car.taken_at << '"';
  if (!side_car.boot.empty()) out << ",\n \"boot\": \"" << side_car.boot << '"';
  out << ",\n \"process\": " << sidecar::line_of(side_car);
  SideCar copy = side_car;  // one description serves reading too
  const std::string spaces = sidecar::line_of(sidecar::Namespaces{copy});
  if (spaces != "{}") out << ",\n \"namespaces\": " << spaces;
  sidecar::write_list("zombies", sidecar::zombies_of(side_car), out);
  sidecar::write_list("threads", side_car.tasks, out);
  sidecar::write_list("files", side_car.files, out);
  sidecar::write_list("sockets", side_car.sockets, out);
  sidecar::write_list("mappings", side_car.mappings, out);
  sidecar::write_list("locks", side_car.locks, out);
  if (!side_car.incomplete.empty()) {
    nlohmann::json lines = nlohmann::json::array();
    for (const std::string& line : side_car.incomplete) lines.push_back(clean_text(line, 256));
    out << ",\n \"incomplete\": " << lines.dump();
  }
  out << "\n}\n";
}

}  // namespace coldcase
