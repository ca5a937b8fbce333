// A process's place in an MPI job, from the strings at the top of its first stack.
#include "lens/mpi/job.hpp"

#include "core/elf_format.hpp"
#include "support/catch.hpp"
#include "support/core_builder.hpp"

namespace coldcase {
namespace {

using namespace test;

struct Started {
  Built built;
  Core core;
  MemoryImage image;

  // The program's name comes last, as the kernel writes it (fs/binfmt_elf.c).
  explicit Started(const std::vector<std::string>& environment, std::uint64_t shift = 0) {
    constexpr std::uint64_t stack = 0x7ff000000000;
    std::string strings("app");
    strings.push_back('\0');
    for (const std::string& text : environment) strings += text + '\0';
    const std::uint64_t name = stack + strings.size() + shift;
    strings += "./app";
    strings.push_back('\0');
    CoreBuilder builder(Style::kernel);
    builder.thread({.tid = 7});
    builder.auxv({{31, name}});  // AT_EXECFN
    builder.segment({.begin = stack, .size = 0x4000, .saved = text_blob(strings)});
    built = builder.build();
    core = parse_core(built.bytes, "core");
    image = core_image(core);
  }
};

TEST_CASE("rank, size and job of Open MPI", "[mpi]") {
  const Started started({"HOME=/root", "PMIX_NAMESPACE=prterun-host-4711@1", "PMIX_RANK=3",
                         "OMPI_COMM_WORLD_SIZE=8", "OMPI_COMM_WORLD_RANK=3"});
  const auto place = mpi::find_rank(started.core, started.image);
  REQUIRE(place);
  CHECK(place->rank == 3);
  CHECK(place->size == 8);
  CHECK(place->job.size() == 16);
  CHECK(place->job.find("host") == std::string::npos);
  CHECK(place->job == mpi::find_job(started.core, started.image));
  // Another rank of the job, another environment: the same job.
  const Started other({"PMIX_NAMESPACE=prterun-host-4711@1", "PMIX_RANK=4"});
  CHECK(mpi::find_job(other.core, other.image) == place->job);
  CHECK_FALSE(mpi::find_rank(other.core, other.image)->size);
}

TEST_CASE("rank and size of MPICH, without a job", "[mpi]") {
  const Started started({"PMI_RANK=1", "PMI_SIZE=2"});
  const auto place = mpi::find_rank(started.core, started.image);
  REQUIRE(place);
  CHECK(place->rank == 1);
  CHECK(place->size == 2);
  CHECK(place->job.empty());
}

TEST_CASE("Slurm's job and step", "[mpi]") {
  const Started started({"SLURM_JOB_ID=12", "SLURM_STEP_ID=0", "SLURM_PROCID=5", "SLURM_NTASKS=6"});
  const auto place = mpi::find_rank(started.core, started.image);
  REQUIRE(place);
  CHECK(place->rank == 5);
  CHECK(place->size == 6);
  CHECK_FALSE(place->job.empty());
  // A batch script is of the job and no rank of a step.
  const Started script({"SLURM_JOB_ID=12"});
  CHECK(mpi::find_job(script.core, script.image).empty());
}

TEST_CASE("numbers that are none", "[mpi]") {
  for (const char* text :
       {"PMI_RANK=", "PMI_RANK=x", "PMI_RANK=-1", "PMI_RANK=1x", "PMI_RANK=99999999999999999999"}) {
    CAPTURE(text);
    const Started started({text});
    CHECK_FALSE(mpi::find_rank(started.core, started.image));
  }
  // A size that the rank does not fit is not believed.
  const Started started({"PMI_RANK=4", "PMI_SIZE=2"});
  REQUIRE(mpi::find_rank(started.core, started.image));
  CHECK_FALSE(mpi::find_rank(started.core, started.image)->size);
}

TEST_CASE("no strings where they should be", "[mpi]") {
  const Started beyond({"PMI_RANK=1"}, 0x100000);
  CHECK_FALSE(mpi::find_rank(beyond.core, beyond.image));
  CHECK(mpi::find_job(beyond.core, beyond.image).empty());
}

}  // namespace
}  // namespace coldcase
