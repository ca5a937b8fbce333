// Writes the seeds of missing_fuzz into the folder named.
#include <cstdio>
#include <filesystem>
#include <fstream>
#include <string>

int main(int count, char** arguments) {
  if (count != 2) {
    std::fputs("usage: missing_seeds FOLDER\n", stderr);
    return 64;
  }
  const std::filesystem::path folder = arguments[1];
  std::filesystem::create_directories(folder);
  const std::string id(40, 'c');
  int number = 0;
  for (const std::string& text :
       {std::string("end\n"), std::string("executable\t0a1f\nend\n"),
        "executable\t0a1f\ndebuginfo\t0a1f\nsections\t" + id + "\nend\n"}) {
    std::ofstream(folder / std::to_string(number++), std::ios::binary) << text;
  }
  return 0;
}
