// The side-car as a file: the one place that knows its JSON. Reading takes hostile bytes: bounded
// in size, rows and depth, every number checked; what is wrong is a sentence, never an exception.
#pragma once

#include <iosfwd>
#include <string>
#include <string_view>
#include <tl/expected.hpp>

#include "sidecar/side_car.hpp"

namespace coldcase {

inline constexpr std::string_view side_car_schema_version = "1.0-draft";
inline constexpr std::size_t side_car_file_limit = std::size_t{64} << 20;

// Where the side-car of a core lies: "core.885.zst" -> "core.885.side-car.json". Empty for "-".
std::string side_car_path(const std::string& core);

void render_side_car(const SideCar& side_car, std::ostream& out);

// The value, or why the text is no side-car: "it is not JSON", "its schema version is 2.0".
tl::expected<SideCar, std::string> parse_side_car(std::string_view text);

// The file at `path`. The error is empty when there is none.
tl::expected<SideCar, std::string> load_side_car(const std::string& path);

}  // namespace coldcase
