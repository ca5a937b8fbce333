// Packed inputs, archives, and what collectors of cores leave: what comes out of them.
#include <sys/stat.h>
#include <sys/xattr.h>

#include <filesystem>

#include "bytes/collectors.hpp"
#include "bytes/input.hpp"
#include "support/archives.hpp"
#include "support/catch.hpp"
#include "support/temporary_folder.hpp"

namespace coldcase {
namespace {

using Folder = test::TemporaryFolder;
using test::archived;
using test::elf_of;
using Names = std::vector<std::string>;

constexpr unsigned et_dyn = 3, et_core = 4;

std::string content_of(const Input& input) {
  const Bytes bytes = input.content().bytes();
  return {reinterpret_cast<const char*>(bytes.data()), bytes.size()};
}

std::string a_core(char mark) {
  return elf_of(et_core, std::string(300'000, mark) + std::string(5'000'000, '\0') + "end");
}

// Does not compress, so that a cut in the file is a cut in the content.
std::string noisy_core(unsigned size) {
  std::string noise = elf_of(et_core, "");
  for (unsigned i = 0, x = 1; i < size; ++i, x = x * 1'103'515'245u + 12'345u)
    noise += static_cast<char>(x >> 16);
  return noise;
}

std::string problem_of(const std::string& path) {
  try {
    (void)open_inputs(path);
  } catch (const Error& error) {
    return error.what();
  }
  return "none";
}

TEST_CASE("each packing gives the bytes that were packed", "[archive]") {
  const Folder folder;
  const std::string filter = GENERATE("gzip", "xz", "bzip2", "lz4", "zstd");
  const std::string core = a_core('a');
  const Input input = open_input(folder.write("core.odd", archived("raw", filter, {{"", core}})));
  CHECK(word(input.compression) == filter);
  CHECK(content_of(input) == core);
  CHECK(input.cut_short.empty());
}

TEST_CASE("a packed file that was cut says so", "[archive]") {
  const Folder folder;
  const std::string filter = GENERATE("gzip", "xz", "bzip2", "lz4", "zstd");
  const std::string noise = noisy_core(10'000'000);  // lz4's blocks are of 4 MiB
  const std::string packed = archived("raw", filter, {{"", noise}});
  const Input input = open_input(folder.write("core", packed.substr(0, packed.size() / 2)));
  CHECK_FALSE(input.cut_short.empty());
  const std::string content = content_of(input);
  CHECK(content.size() > 0);
  CHECK(content == noise.substr(0, content.size()));
}

TEST_CASE("the core in an archive, and the files beside it", "[archive]") {
  const Folder folder;
  const std::string format = GENERATE("ustar", "pax", "zip", "zip:store");
  const std::string filter = GENERATE("", "gzip", "zstd");
  const std::string library = elf_of(et_dyn, "library");
  const std::string path = folder.write(
      "artifacts", archived(format, filter,
                            {{"logs/a.txt", "text"},
                             {"root/usr/lib/libfoo.so", library},
                             {"core.885", a_core('c')},
                             {"core.885.side-car.json", "{}"},
                             {"b.log.gz", archived("raw", "gzip", {{"", "more text"}})}}));
  const std::vector<Input> inputs = open_inputs(path);
  REQUIRE(inputs.size() == 1);
  CHECK(inputs[0].path == path + ":core.885");
  CHECK(content_of(inputs[0]) == a_core('c'));
  Names names;
  for (const Companion& companion : inputs[0].beside->files) names.push_back(companion.name);
  CHECK(names == Names{"root/usr/lib/libfoo.so", "core.885.side-car.json"});
  CHECK(inputs[0].beside->find(path + ":root/usr/lib/libfoo.so")->content.bytes.size() ==
        library.size());
}

TEST_CASE("a packed core in an archive", "[archive]") {
  const Folder folder;
  const std::string filter = GENERATE("gzip", "xz", "zstd");
  const std::string packed = archived("raw", filter, {{"", a_core('p')}});
  const Input input = open_input(folder.write("a.zip", archived("zip", "", {{"c", packed}})));
  CHECK(content_of(input) == a_core('p'));
  CHECK(word(input.compression) == filter);
}

TEST_CASE("several cores are one incident; one is asked for by its name", "[archive]") {
  const Folder folder;
  const std::string path = folder.write(
      "a.tar", archived("ustar", "", {{"x/core.1", a_core('1')}, {"core:2", a_core('2')}}));
  CHECK(open_inputs(path).size() == 2);
  CHECK_THROWS_WITH(open_input(path),
                    Catch::Contains("holds 2 cores") && Catch::Contains("x/core.1"));
  CHECK(content_of(open_input(path + ":core:2")) == a_core('2'));
  CHECK(problem_of(path + ":core.3") == path + " has no core core.3 in it");
}

TEST_CASE("names in an archive are only names", "[archive]") {
  const Folder folder;
  const std::string path = folder.write(
      "a.tar",
      archived("pax", "", {{"../../../etc/core", a_core('x')}, {"/core\x1b[31m", a_core('y')}}));
  const std::filesystem::path parent = std::filesystem::path(path).parent_path();
  CHECK(open_inputs(path).size() == 2);
  CHECK(std::distance(std::filesystem::directory_iterator(parent), {}) == 1);
  CHECK(problem_of(path + ":\x1b[31m").find('\x1b') == std::string::npos);
}

TEST_CASE("an archive without a core", "[archive]") {
  const Folder folder;
  const std::string inner = archived("ustar", "", {{"core", a_core('i')}});
  const std::string path =
      folder.write("a.zip", archived("zip", "", {{"a", "1"}, {"b.tar", inner}}));
  CHECK_THAT(problem_of(path), Catch::Contains("2 files, and none of them is a core dump"));
}

TEST_CASE("an archive cut anywhere ends in a message or in what was there", "[archive]") {
  const Folder folder;
  const std::string format = GENERATE("ustar", "zip", "zip:store");
  const std::string core = elf_of(et_core, "some bytes");
  const std::string whole = archived(format, "", {{"lib.so", elf_of(et_dyn, "")}, {"core", core}});
  for (std::size_t size = 1; size < whole.size(); ++size) {
    const std::string path = folder.write("cut", whole.substr(0, size));
    try {
      for (const Input& input : open_inputs(path))
        CHECK((content_of(input) == core || !input.cut_short.empty() || input.path == path));
    } catch (const Error& error) {
      CHECK(error.trouble() == Trouble::not_a_core);
    }
  }
}

TEST_CASE("a report of Apport's", "[archive]") {
  const Folder folder;
  const std::string whole = test::apport_report(a_core('r'));
  const Input input = open_input(folder.write("_usr_bin_worker.1000.crash", whole));
  CHECK(content_of(input) == a_core('r'));
  CHECK(input.executable == "/usr/bin/worker");
  const std::string none = "ProblemType: Crash\nExecutablePath: /usr/bin/worker\n";
  CHECK_THAT(problem_of(folder.write("none.crash", none)), Catch::Contains("without a core"));
  const std::string noisy = test::apport_report(noisy_core(1'000'000));
  const std::size_t damaged = noisy.size() / 2;
  const Input odd = open_input(
      folder.write("odd.crash", noisy.substr(0, damaged) + "*" + noisy.substr(damaged + 1)));
  CHECK_THAT(odd.cut_short, Catch::Contains("damaged"));
}

TEST_CASE("a report of Apport's cut anywhere", "[archive]") {
  const Folder folder;
  const std::string whole = test::apport_report(elf_of(et_core, "a short one"));
  for (std::size_t size = 1; size < whole.size(); ++size) {
    const std::string problem = problem_of(folder.write("cut.crash", whole.substr(0, size)));
    CHECK_FALSE(problem.empty());
  }
}

TEST_CASE("a folder of ABRT's gives its core", "[archive]") {
  const Folder folder;
  std::filesystem::create_directory(folder.file("ccpp-1"));
  (void)folder.write("ccpp-1/coredump", a_core('f'));
  (void)folder.write("ccpp-1/executable", "/usr/bin/worker");
  CHECK(open_input(folder.file("ccpp-1")).path == folder.file("ccpp-1/coredump"));
  std::filesystem::create_directory(folder.file("empty"));
  CHECK_THAT(problem_of(folder.file("empty")), Catch::Contains("is a directory"));
}

TEST_CASE("systemd-coredump's names", "[archive]") {
  const std::string boot(32, 'a');
  CHECK(time_in_name("core.worker.1000." + boot + ".885.1700000000000000.zst") == 1'700'000'000);
  CHECK(time_in_name("core.a\\x2eb.0." + boot + ".1.1700000000123456") == 1'700'000'000);
  CHECK_FALSE(time_in_name("core.885").has_value());
  CHECK_FALSE(time_in_name("core.worker.1000.short.885.1700000000000000").has_value());
  CHECK_FALSE(time_in_name("core.worker.1000." + boot + ".885.17e9").has_value());
  CHECK_FALSE(time_in_name("").has_value());
}

TEST_CASE("systemd-coredump's attributes", "[archive]") {
  const Folder folder;
  const std::string path = folder.write("core", a_core('s'));
  const std::string time = "1700000000000000", program = "/usr/bin/worker";
  if (::setxattr(path.c_str(), "user.coredump.timestamp", time.data(), time.size(), 0) != 0) {
    WARN("skipped: this folder has no extended attributes");
    return;
  }
  (void)::setxattr(path.c_str(), "user.coredump.exe", program.data(), program.size(), 0);
  const Input input = open_input(path);
  CHECK(input.taken.at == 1'700'000'000);
  CHECK(input.taken.source == "xattr");
  CHECK(input.executable == program);
}

}  // namespace
}  // namespace coldcase
