#include <coldcase/analyze.hpp>
#include <cstdio>

int main() {
  std::printf("coldcase %s\n", std::string(coldcase::library_version()).c_str());
  return 0;
}
