// The side-car: written and read back, found beside the core, and refused when it is not its own.
#include <unistd.h>

#include <coldcase/analyze.hpp>
#include <coldcase/capture.hpp>
#include <filesystem>
#include <fstream>
#include <iterator>

#include "sidecar/side_car_json.hpp"
#include "support/catch.hpp"
#include "support/core_builder.hpp"
#include "support/side_car_sample.hpp"

namespace coldcase::test {
namespace {

namespace fs = std::filesystem;

class Folder {
 public:
  Folder() {
    std::string name = (fs::temp_directory_path() / "coldcase-test.XXXXXX").string();
    REQUIRE(::mkdtemp(name.data()) != nullptr);
    path_ = name;
  }
  Folder(const Folder&) = delete;
  Folder& operator=(const Folder&) = delete;
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  std::string write(const std::string& name, std::string_view text) const {
    std::ofstream(path_ / name, std::ios::binary)
        .write(text.data(), static_cast<std::streamsize>(text.size()));
    return (path_ / name).string();
  }
  // A core of process 812 with threads 812 and 820.
  std::string core() const {
    CoreBuilder builder(Style::gcore);
    builder.align(16).thread({.tid = 812}).thread({.tid = 820});
    builder.process({.pid = 812, .name = "worker"}).gdb_target();
    builder.segment({.begin = 0x1000, .size = 0x1000, .saved = text_blob("saved")});
    const Built built = builder.build();
    return write("core.812",
                 {reinterpret_cast<const char*>(built.bytes.data()), built.bytes.size()});
  }

 private:
  fs::path path_;
};

std::string problem_of(std::string_view text) {
  const auto read = parse_side_car(text);
  return read ? "" : read.error();
}

std::string refusal_of(const Analysis& analysis) {
  for (const Note& note : analysis.facts.notes) {
    if (note.code == "side-car-refused") return note.text;
  }
  return {};
}

std::string with_rows(const std::string& rows) {
  return R"({"schema":"coldcase/side-car","schema_version":"1.0","process":{"pid":1},)" + rows +
         "}";
}

TEST_CASE("what is written is read back") {
  const std::string text = text_of_side_car(full_side_car());
  const auto read = parse_side_car(text);
  REQUIRE(read);
  CHECK(text_of_side_car(*read) == text);
  CHECK(read->boot == "0123456789abcdef");
  CHECK(read->mount_space == "1111111111111111");
  CHECK(read->pid_space == "2222222222222222");
  CHECK(read->ipc_space == "3333333333333333");
  CHECK(read->net_space == "4444444444444444");
  CHECK(read->files.at(0).inode == ~std::uint64_t{0});
  CHECK(read->files.at(1).polls == std::vector<std::int32_t>{0, 7});
  CHECK(read->files.at(2).eventfd == 0);
  CHECK(read->files.at(3).child == -1);
  CHECK(read->statuses.at(815) == 256);
  CHECK(read->statuses.count(816) == 0);
  CHECK(read->locks.at(0).end == 255);
  CHECK_FALSE(read->locks.at(1).end);
  CHECK(read->tasks.at(0).inner_tid == 3);
  CHECK(read->tasks.at(1).name == "pool \"1\"");
  CHECK(read->find_file(5)->target == "anon_inode:[eventpoll]");
  CHECK(read->find_socket(79)->peer_pid == 4711);
  CHECK(read->find_socket(79)->tcp.received_ms == 12300);
  CHECK(read->find_socket(79)->tcp.received_bytes == 0);
  CHECK(read->find_socket(79)->tcp.untaken_bytes == std::uint64_t{1} << 33);
  CHECK_FALSE(read->find_socket(77)->tcp.received_ms);
}

TEST_CASE("a name that is no text is written as text") {
  SideCar side_car = full_side_car();
  side_car.tasks[0].name = "a\x1b[31m\xff";
  const auto read = parse_side_car(text_of_side_car(side_car));
  REQUIRE(read);
  CHECK(read->tasks.at(0).name == "a\\x1b[31m\\xff");
}

TEST_CASE("keys and values of later versions are passed over") {
  const auto read = parse_side_car(with_rows(
      R"("new":[{"tid":5,"x":[[1,{"y":2}]]}],"threads":[{"tid":7,"polls":3,"new":{"tid":9,"a":[8]},"name":"n","other":[1,[2]],"z":null}],)"
      R"("files":[{"fd":1,"polls":[4,[5],{"a":6}],"new":{"b":7},"flags":"0x1"}],"later":1.5)"));
  REQUIRE(read);
  REQUIRE(read->tasks.size() == 1);
  CHECK(read->tasks[0].tid == 7);
  CHECK(read->tasks[0].name == "n");
  CHECK(read->files.at(0).polls == std::vector<std::int32_t>{4});
  CHECK(read->files.at(0).flags == 1);
}

TEST_CASE("what is no side-car is refused with a reason") {
  CHECK(problem_of("").find("JSON") != std::string::npos);
  CHECK(problem_of("[]") == "it is no side-car of coldcase");
  CHECK(problem_of("{}") == "it is no side-car of coldcase");
  CHECK(problem_of(R"({"schema":"coldcase/report","schema_version":"1.0"})") ==
        "it is no side-car of coldcase");
  CHECK(
      problem_of(R"({"schema":"coldcase/side-car","schema_version":"2.0","process":{"pid":1}})") ==
      "its schema version is 2.0; this program reads 1.x");
  CHECK(problem_of(R"({"schema":"coldcase/side-car","schema_version":"1.0"})") ==
        "it names no process");
  CHECK(problem_of(with_rows(R"("threads":[{"tid":2147483648}])")) ==
        "threads: tid is not what it should be");
  CHECK(problem_of(with_rows(R"("threads":[{"tid":"7"}])")) ==
        "threads: tid is not what it should be");
  for (const char* key : {"cpu_ms", "cpu_system_ms", "age_ms"}) {
    const std::string row = std::string(R"("threads":[{"tid":7,")") + key + R"(":-1}])";
    CHECK(problem_of(with_rows(row)) ==
          std::string("threads: ") + key + " is not what it should be");
  }
  CHECK(problem_of(with_rows(R"("files":[{"fd":1,"inode":"0x"}])")) ==
        "files: inode is not what it should be");
  CHECK(problem_of(with_rows(R"("files":[{"fd":1,"inode":"0x11111111111111111"}])")) ==
        "files: inode is not what it should be");
  CHECK(problem_of(with_rows(R"("files":[{"fd":1,"inode":"-0x1"}])")) ==
        "files: inode is not what it should be");
  CHECK(problem_of(with_rows(R"("files":[{"fd":1,"inode":"0x-1"}])")) ==
        "files: inode is not what it should be");
  CHECK(problem_of(with_rows(R"("mappings":[{"begin":"0x2","end":"0x1"}])")) ==
        "mappings: a range ends before it begins");
  CHECK(problem_of(with_rows(R"("files":[{"fd":99999999999999999999}])")).empty());  // a float
  CHECK(problem_of(with_rows(R"("files":[{"fd":18446744073709551615}])")) ==
        "a number is out of range");
  CHECK(problem_of(with_rows(R"("taken_at":"yesterday")")) == "taken_at is no time in UTC");
  CHECK(problem_of(with_rows(R"("boot":"0123")")) == "boot is not what it should be");
  CHECK(problem_of(with_rows(R"("boot":"0123456789ABCDEF")")) == "boot is not what it should be");
  CHECK(problem_of(with_rows(R"("namespaces":{"net":"0123456789abcde "})")) ==
        "namespaces: net is not what it should be");
  CHECK(problem_of(with_rows(R"("namespaces":{"user":5,"pid":"0123456789abcdef"})")).empty());
  CHECK(problem_of(std::string(100000, '[')) == "it is nested too deep");
}

std::string repeated(std::string_view row, std::size_t count) {
  std::string rows(row);
  for (std::size_t i = 1; i < count; ++i) rows.append(",").append(row);
  return rows;
}

TEST_CASE("the lists are bounded, and what is cut off is said") {
  using Limits = SideCarLimits;
  const auto read = parse_side_car(
      with_rows(R"("zombies":[)" + repeated(R"({"pid":2,"status":0})", Limits::zombies + 1) +
                R"(],"threads":[)" + repeated("{}", Limits::tasks + 2) +
                R"(],"files":[{"polls":[)" + repeated("1", Limits::polls + 3) + "]}]"));
  REQUIRE(read);
  CHECK(read->zombies.size() == Limits::zombies);
  CHECK(read->tasks.size() == Limits::tasks);
  CHECK(read->files.at(0).polls.size() == Limits::polls);
  CHECK(read->incomplete ==
        std::vector<std::string>{"zombies beyond the first 4096", "threads beyond the first 65536",
                                 "files of an epoll set beyond the first 65536"});
  const auto again = parse_side_car(text_of_side_car(*read));
  REQUIRE(again);
  CHECK(again->incomplete == read->incomplete);
  CHECK(problem_of(std::string(side_car_file_limit + 1, ' ')) == "it is too large");
}

TEST_CASE("a key that comes again counts alone") {
  const std::string children =
      R"("process":{"pid":1,"children":[)" + repeated("7", SideCarLimits::children) + "]}";
  const auto read = parse_side_car(with_rows(
      repeated(children, 3) + R"(,"zombies":[{"pid":2,"status":0}],"zombies":[{"pid":3}],)" +
      R"("files":[{"fd":1},{"fd":2}],"files":[{"fd":3}],"incomplete":["a"],"incomplete":["b"])"));
  REQUIRE(read);
  CHECK(read->children.size() == SideCarLimits::children);
  CHECK(read->zombies == std::vector<std::int64_t>{3});
  CHECK(read->statuses.empty());
  CHECK(read->files.size() == 1);
  CHECK(read->incomplete == std::vector<std::string>{"b"});
}

TEST_CASE("files and sockets are found whatever their order") {
  const auto read =
      parse_side_car(with_rows(R"("files":[{"fd":9,"target":"a"},{"fd":3},{"fd":9,"target":"b"}],)"
                               R"("sockets":[{"inode":"0x5"},{"inode":"0x2","state":"LISTEN"}])"));
  REQUIRE(read);
  CHECK(read->find_file(9)->target == "a");
  CHECK(read->find_file(3) != nullptr);
  CHECK(read->find_file(4) == nullptr);
  CHECK(read->find_file(std::int64_t{1} << 32) == nullptr);
  CHECK(read->find_socket(2)->state == "LISTEN");
  CHECK(read->find_socket(6) == nullptr);
  CHECK(SideCar{}.find_file(0) == nullptr);
}

TEST_CASE("where a side-car lies") {
  CHECK(side_car_path("d/core.885") == "d/core.885.side-car.json");
  CHECK(side_car_path("d/core.885.zst") == "d/core.885.side-car.json");
  CHECK(side_car_path("core.885.xz") == "core.885.side-car.json");
  CHECK(side_car_path("d.zst/core") == "d.zst/core.side-car.json");
  CHECK(side_car_path("d/.zst") == "d/.zst.side-car.json");
  CHECK(side_car_path("-").empty());
}

TEST_CASE("an analysis takes names and time from the side-car") {
  const Folder folder;
  const std::string core = folder.core();
  folder.write("core.812.side-car.json", text_of_side_car(full_side_car()));
  const Analysis analysis = analyze({.cores = {core}});
  REQUIRE(analysis.facts.inputs.size() == 2);
  CHECK(analysis.facts.inputs[0].taken_at == "2026-01-02T03:04:05Z");
  CHECK(analysis.facts.inputs[0].taken_source == "side-car");
  CHECK(analysis.facts.inputs[1].kind == InputKind::sidecar);
  CHECK(analysis.facts.inputs[1].process == analysis.facts.inputs[0].process);
  REQUIRE(analysis.facts.threads.size() == 2);
  CHECK(analysis.facts.threads[0].name.empty());  // as the process: says nothing
  CHECK(analysis.facts.threads[0].cpu_ms == 1200);
  CHECK(analysis.facts.threads[0].cpu_system_ms == 300);
  CHECK(analysis.facts.threads[0].cpu_from == CpuFrom::side_car);
  CHECK(analysis.facts.threads[0].age_ms == 60000);
  CHECK_FALSE(analysis.facts.threads[1].cpu_from);
  CHECK(analysis.facts.threads[1].name == "pool \"1\"");
  CHECK(analysis.facts.threads[1].name_from == NameFrom::comm);
}

TEST_CASE("more time in the kernel than in all is no time in the kernel") {
  const Folder folder;
  const std::string core = folder.core();
  SideCar side_car = full_side_car();
  side_car.tasks[0].cpu_system_ms = 1201;
  folder.write("core.812.side-car.json", text_of_side_car(side_car));
  const Analysis analysis = analyze({.cores = {core}});
  CHECK(analysis.facts.threads.at(0).cpu_ms == 1200);
  CHECK_FALSE(analysis.facts.threads.at(0).cpu_system_ms);
}

TEST_CASE("a side-car that is not the core's, or broken, is a note") {
  const Folder folder;
  const std::string core = folder.core();
  SideCar other = full_side_car();
  other.pid = 900;
  std::string text = text_of_side_car(other);
  SECTION("of another process") {}
  SECTION("broken") {
    text.resize(text.size() / 2);
  }
  SECTION("empty") {
    text.clear();
  }
  folder.write("core.812.side-car.json", text);
  const Analysis analysis = analyze({.cores = {core}});
  CHECK(analysis.facts.inputs.size() == 1);
  CHECK(analysis.facts.threads.at(1).name.empty());
  CHECK(refusal_of(analysis).find("core.812.side-car.json") != std::string::npos);
}

TEST_CASE("a core with the ids of an inner namespace") {
  const Folder folder;
  const std::string core = folder.core();
  SideCar outer = full_side_car();
  outer.pid = 50012;
  outer.inner_pid = 812;
  outer.tasks = {{50012, 812, "worker", "S", "", {}, {}, {}},
                 {820, 5, "wrong", "S", "", {}, {}, {}},
                 {50020, 820, "right", "S", "", {}, {}, {}}};
  folder.write("core.812.side-car.json", text_of_side_car(outer));
  const Analysis analysis = analyze({.cores = {core}});
  CHECK(analysis.facts.threads.at(1).name == "right");
}

TEST_CASE("a folder of the side-car's name does not stop the analysis") {
  const Folder folder;
  const std::string core = folder.core();
  fs::create_directory(core + ".side-car.json");
  const Analysis analysis = analyze({.cores = {core}});
  CHECK(refusal_of(analysis).find("no regular file") != std::string::npos);
}

TEST_CASE("the shipped schema of side-cars is what the program prints") {
  std::ifstream file(std::string(COLDCASE_SOURCE) +
                     "/share/coldcase/coldcase-side-car-1.schema.json");
  const std::string shipped{std::istreambuf_iterator<char>(file), {}};
  CHECK(shipped == side_car_schema());
}

}  // namespace
}  // namespace coldcase::test
