// Writes the seeds of side_car_fuzz into the folder named: whole side-cars, one cut.
#include <cstdio>
#include <filesystem>
#include <fstream>

#include "support/side_car_sample.hpp"

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("usage: side_car_seeds FOLDER\n", stderr);
    return 64;
  }
  const std::filesystem::path folder = arguments[1];
  std::filesystem::create_directories(folder);
  const std::string text = coldcase::test::text_of_side_car(coldcase::test::full_side_car());
  std::ofstream(folder / "whole", std::ios::binary) << text;
  std::ofstream(folder / "cut", std::ios::binary) << text.substr(0, text.size() / 2);
  std::ofstream(folder / "least", std::ios::binary)
      << R"({"schema":"coldcase/side-car","schema_version":"1.0","process":{"pid":1}})";
  return 0;
}
