// Where a file says its debug file, dwz's common file, packed symbols and package are.
#include "modules/separate.hpp"

#include "modules/fetch.hpp"
#include "modules/modules.hpp"
#include "support/catch.hpp"
#include "support/separate_samples.hpp"

namespace coldcase {
namespace {

using namespace test;
using Paths = std::vector<std::string>;

TEST_CASE("a debuglink", "[separate]") {
  for (const char* name : {"a", "ab", "abc", "abcd", "libring.so.debug"}) {
    const auto link = parse_debug_link(debug_link_sample(name, 0x12345678));
    REQUIRE(link);
    CHECK(link->name == name);
    CHECK(link->crc == 0x12345678);
  }
}

TEST_CASE("a debuglink that names no file of a folder", "[separate]") {
  for (const char* name : {"", ".", "..", "../x", "/etc/passwd", "a/b"})
    CHECK_FALSE(parse_debug_link(debug_link_sample(name, 1)));
  CHECK_FALSE(parse_debug_link(debug_link_sample(std::string(300, 'x'), 1)));
}

TEST_CASE("the CRC of a debuglink", "[separate]") {
  CHECK(debug_link_crc(text_blob("123456789")) == 0xcbf43926);  // the check value of CRC-32
  CHECK(debug_link_crc({}) == 0);
}

TEST_CASE("an altlink", "[separate]") {
  const auto link = parse_alt_link(alt_link_sample("../common.dwz", 20));
  REQUIRE(link);
  CHECK(link->path == "../common.dwz");
  CHECK(link->build_id == "a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5a5");
  CHECK_FALSE(parse_alt_link(alt_link_sample("", 20)));
  CHECK_FALSE(parse_alt_link(alt_link_sample("x", 0)));
  CHECK_FALSE(parse_alt_link(alt_link_sample("x", 65)));
}

TEST_CASE("packed symbols", "[separate]") {
  const Blob content(100'000, std::byte{7});
  const Blob packed = packed_sample(content);
  CHECK(unpack_debug_data(packed, 1 << 20) == content);
  CHECK(unpack_debug_data(packed, content.size() + 1) == content);
}

TEST_CASE("packed symbols that are too many, cut or none", "[separate]") {
  const Blob packed = packed_sample(Blob(100'000, std::byte{7}));
  CHECK(unpack_debug_data(packed, 99'999).empty());
  CHECK(unpack_debug_data(Bytes(packed).first(packed.size() - 1), 1 << 20).empty());
  CHECK(unpack_debug_data(text_blob("no xz at all"), 1 << 20).empty());
  CHECK(unpack_debug_data({}, 1 << 20).empty());
}

TEST_CASE("a package note", "[separate]") {
  const auto package = parse_package_note(package_note_sample(
      R"({"type":"deb","os":"debian","name":"coreutils","version":"9.4-3~bpo1","architecture":"amd64"})"));
  REQUIRE(package);
  CHECK(package->type == "deb");
  CHECK(package->name == "coreutils");
  CHECK(package->version == "9.4-3~bpo1");
  CHECK(package->architecture == "amd64");
}

// A module whose file is not here; the core has the page with its note.
std::string command_for(std::string_view json) {
  const Blob notes = package_note_sample(json);
  Module module;
  module.build_id = "abcdef01";
  module.header_page = notes;
  module.headers.push_back({});
  module.headers.back().type = elf::pt_note;
  module.headers.back().filesz = notes.size();
  return supply_command(module);
}

TEST_CASE("the command for a missing file goes by its build-id", "[separate]") {
  const std::string find = "debuginfod-find executable abcdef01";
  CHECK(command_for("{}") == find);
  CHECK(command_for(R"({"type":"deb","os":"Debian","name":"systemd"})") == find);
  CHECK(command_for(R"({"type":"deb","os":"ubuntu","name":"systemd"})") == find);
  CHECK(command_for(R"({"type":"deb","os":"mint","name":"systemd"})") == find);
  CHECK(command_for(R"({"type":"rpm","name":"systemd"})") ==
        "dnf install /usr/lib/.build-id/ab/cdef01");
}

TEST_CASE("no server is taken from the note itself", "[separate]") {
  CHECK(command_for(R"({"type":"deb","os":"x","name":"a","debugInfoUrl":"https://evil.example"})")
            .find("evil") == std::string::npos);
}

TEST_CASE("a package note that a shell would take for more than a name", "[separate]") {
  for (const char* name : {"x; rm -r /", "$(id)", "-oAPT::Update", "a b", "`id`", ""}) {
    const std::string json = R"({"type":"deb","name":")" + std::string(name) + "\"}";
    CHECK_FALSE(parse_package_note(package_note_sample(json)));
  }
  const auto package = parse_package_note(
      package_note_sample(R"({"type":"rpm","name":"bash","version":"1 && id","architecture":7})"));
  REQUIRE(package);
  CHECK(package->version.empty());
  CHECK(package->architecture.empty());
}

TEST_CASE("a package note that is none", "[separate]") {
  CHECK_FALSE(parse_package_note(package_note_sample("[]")));
  CHECK_FALSE(parse_package_note(package_note_sample("{")));
  CHECK_FALSE(parse_package_note(package_note_sample(std::string(4000, '['))));
  CHECK_FALSE(parse_package_note(package_note_sample(std::string(5000, ' ') + "{}")));
}

TEST_CASE("where a debuglink leads", "[separate]") {
  const FileSearch search{.executables = {}, .sysroots = {"/root"}, .debug_dirs = {"/debug"}};
  CHECK(linked_files("/usr/bin/x", "/here/bin/x", "x.debug", search) ==
        Paths{"/here/bin/x.debug", "/here/bin/.debug/x.debug",
              "/root/usr/lib/debug/usr/bin/x.debug", "/debug/usr/bin/x.debug", "/debug/x.debug",
              "/usr/lib/debug/usr/bin/x.debug"});
}

TEST_CASE("where an altlink leads", "[separate]") {
  const FileSearch search{.executables = {}, .sysroots = {"/root"}, .debug_dirs = {}};
  CHECK(supplement_files("/here/x.debug", {"../.dwz/c", "abcdef"}, search) ==
        Paths{"/here/../.dwz/c", "/root/usr/lib/debug/.build-id/ab/cdef.debug",
              "/usr/lib/debug/.build-id/ab/cdef.debug"});
  CHECK(supplement_files("/here/x.debug", {"/d/c", "abcdef"}, search) ==
        Paths{"/root/d/c", "/d/c", "/root/usr/lib/debug/.build-id/ab/cdef.debug",
              "/usr/lib/debug/.build-id/ab/cdef.debug"});
}

std::string tried(const char* path) {
  const Paths files = candidate_files(path, "", false, FileSearch{});
  return files.size() == 2 ? files.back() : std::string();
}

TEST_CASE("paths as seen from outside a container", "[separate]") {
  CHECK(tried("/proc/885/root/usr/bin/x") == "/usr/bin/x");
  CHECK(tried("/var/lib/docker/overlay2/0a1/merged/usr/bin/x") == "/usr/bin/x");
  CHECK(tried("/var/lib/containers/storage/overlay/0a1/diff/usr/bin/x") == "/usr/bin/x");
  CHECK(tried("/var/lib/containerd/io.containerd.snapshotter.v1.overlayfs/snapshots/9/fs/lib/x") ==
        "/lib/x");
  CHECK(tried("/run/containerd/io.containerd.runtime.v2.task/k8s.io/0a1/rootfs/usr/bin/x") ==
        "/usr/bin/x");
}

TEST_CASE("a path with the process's own root in front, under a sysroot", "[separate]") {
  const FileSearch search{.executables = {}, .sysroots = {"/tree"}, .debug_dirs = {}};
  CHECK(candidate_files("/srv/root/lib/x", "", false, search) ==
        Paths{"/tree/srv/root/lib/x", "/tree/root/lib/x", "/tree/lib/x", "/tree/x",
              "/srv/root/lib/x"});
  std::string deep;
  for (int i = 0; i < 5000; ++i) deep += "/a";
  CHECK(candidate_files(deep, "", false, search).size() == 33);
}

TEST_CASE("paths that only look like a container's", "[separate]") {
  CHECK(tried("/home/ada/merged/x").empty());
  CHECK(tried("/proc/x/root/usr").empty());
}

TEST_CASE("memory without a file is not looked for by its name", "[separate]") {
  const FileSearch search{.executables = {}, .sysroots = {"/root"}, .debug_dirs = {}};
  for (const char* path : {"/memfd:code (deleted)", "/dev/zero (deleted)", "/SYSV00000000"})
    CHECK(candidate_files(path, "", false, search).empty());
}

}  // namespace
}  // namespace coldcase
