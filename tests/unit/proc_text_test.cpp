// The texts of /proc as the kernel prints them, odd names included.
#include <sys/sysmacros.h>

#include "capture/proc_text.hpp"
#include "support/catch.hpp"

namespace coldcase::capture {
namespace {

constexpr const char* tail =
    " S 41 42 42 0 -1 4194304 100 0 0 0 70 30 0 0 20 0 3 0 812345 1000000 200 18446744073709551615 "
    "1 2 3 0 0 0 0 16781312 0 0 0 0 17 1 0 0 0 0 0 4 5 6 7 8 9 10 256\n";

TEST_CASE("stat takes what stands behind the last parenthesis") {
  for (const std::string name : {"cat", "a) b (c", "x) R 1 (y", "", "two\nlines)", "(((", ")))"}) {
    const auto stat = parse_stat("42 (" + name + ")" + tail);
    REQUIRE(stat);
    CHECK(stat->pid == 42);
    CHECK(stat->name == name);
    CHECK(stat->state == 'S');
    CHECK(stat->ppid == 41);
    CHECK(stat->flags == 4194304);
    CHECK(stat->user_ticks + stat->system_ticks == 100);
    CHECK(stat->start == 812345);
    CHECK(stat->exit_status == 256);
  }
}

TEST_CASE("stat cut anywhere is nothing or whole") {
  const std::string whole = "42 (a) b (c)" + std::string(tail);
  for (std::size_t size = 0; size < whole.size(); ++size) {
    const auto stat = parse_stat(std::string_view(whole).substr(0, size));
    if (stat) CHECK(stat->ppid <= 42);
  }
  CHECK_FALSE(parse_stat(""));
  CHECK_FALSE(parse_stat(") ("));
  CHECK_FALSE(parse_stat("x (y) S 1"));
}

TEST_CASE("status") {
  const Status status = parse_status(
      "Name:\tworker: 1\nUmask:\t0022\nState:\tT (stopped)\nTgid:\t812\nPid:\t812\nTracerPid:\t7\n"
      "Uid:\t1000\t0\t0\t0\nNSpid:\t812\t19\t3\nCapEff:\t00000000a80425fb\n");
  CHECK(status.name == "worker: 1");
  CHECK(status.state == "T");
  CHECK(status.tgid == 812);
  CHECK(status.tracer == 7);
  CHECK(status.uid == 1000);
  CHECK(status.inner_pid == 3);
  CHECK(status.capabilities == 0xa80425fb);
  CHECK(parse_status("NSpid:\t812\n").inner_pid == 0);
  CHECK(parse_status("").uid == -1);
}

TEST_CASE("maps keeps files and shared memory") {
  const auto maps = parse_maps(
      "00400000-00452000 r-xp 00001000 08:02 173521      /usr/bin/a file with  blanks\n"
      "00e03000-00e24000 rw-p 00000000 00:00 0           [heap]\n"
      "7f0000000000-7f0000001000 rw-s 00000000 00:01 2063 /dev/zero (deleted)\n"
      "7f0000002000-7f0000003000 rw-p 00000000 00:00 0 \n"
      "7f0000004000-7f0000005000 r--p 00000000 103:05 9 /tmp/new\\012line\n"
      "ffffffffff600000-ffffffffff601000 --xp 00000000 00:00 0 [vsyscall]\n"
      "7f0000006000-7f0000005000 r--p 00000000 08:02 9 /backwards\n"
      "nonsense\n");
  REQUIRE(maps.size() == 3);
  CHECK(maps[0].range == Range{Addr{0x400000}, Addr{0x452000}});
  CHECK(maps[0].offset == 0x1000);
  CHECK(maps[0].device == makedev(8, 2));
  CHECK(maps[0].inode == 173521);
  CHECK_FALSE(maps[0].shared);
  CHECK(maps[0].path == "/usr/bin/a file with  blanks");
  CHECK(maps[1].shared);
  CHECK(maps[1].path == "/dev/zero (deleted)");
  CHECK(maps[2].device == makedev(0x103, 5));
  CHECK(maps[2].path == "/tmp/new\nline");
}

TEST_CASE("fdinfo of each kind") {
  OpenFile plain;
  const KernelFile kernel =
      parse_fdinfo("pos:\t4096\nflags:\t0100002\nmnt_id:\t29\nino:\t12\n", plain);
  CHECK(kernel.mount == 29);
  CHECK(kernel.inode == 12);
  CHECK(plain.position == 4096);
  CHECK(plain.flags == 0100002);
  CHECK_FALSE(plain.eventfd);
  OpenFile poll;
  parse_fdinfo(
      "pos:\t0\nflags:\t02\ntfd:        5 events:       19 data: 5  pos:0 ino:61 sdev:7\n"
      "tfd:       12 events: 8000001d data: ffffffffffffffff  pos:0 ino:62 sdev:7\n",
      poll);
  CHECK(poll.polls == std::vector<std::int32_t>{5, 12});
  OpenFile counter;
  parse_fdinfo("eventfd-count:               1f\neventfd-id: 2\n", counter);
  CHECK(counter.eventfd == 0x1f);
  OpenFile child;
  parse_fdinfo("Pid:\t-1\nNSpid:\t-1\n", child);
  CHECK(child.child == -1);
}

TEST_CASE("mountinfo tells the device of a mount") {
  const auto mounts = parse_mountinfo(
      "36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 - ext3 /dev/root rw,errors=continue\n"
      "29 1 0:47 / /over rw - overlay overlay rw\nnonsense\n30 1 x:y / / rw\n");
  CHECK(mounts.size() == 2);
  CHECK(mounts.at(36) == makedev(98, 0));
  CHECK(mounts.at(29) == makedev(0, 47));
}

TEST_CASE("locks, held and waited for") {
  const auto locks = parse_locks(
      "1: FLOCK  ADVISORY  WRITE 812 08:01:1534 0 EOF\n"
      "1: -> FLOCK  ADVISORY  WRITE 813 08:01:1534 0 EOF\n"
      "1:  -> FLOCK  ADVISORY  READ 814 08:01:1534 0 EOF\n"
      "2: POSIX  ADVISORY  READ  815 fd:00:77 128 255\n"
      "3: OFDLCK ADVISORY  WRITE -1 00:2f:9 0 0\n"
      "4: LEASE  ACTIVE    READ  9 08:01:7 0 EOF\n"
      "5: POSIX  ADVISORY  READ  815 fd:00\n"
      "6:\n");
  REQUIRE(locks.size() == 5);
  CHECK(locks[0].kind == "flock");
  CHECK(locks[0].write);
  CHECK_FALSE(locks[0].waiting);
  CHECK(locks[0].device == makedev(8, 1));
  CHECK(locks[0].inode == 1534);
  CHECK_FALSE(locks[0].end);
  CHECK(locks[1].waiting);
  CHECK(locks[1].pid == 813);
  CHECK(locks[1].id == 1);
  CHECK(locks[2].waiting);
  CHECK_FALSE(locks[2].write);
  CHECK(locks[3].kind == "posix");
  CHECK(locks[3].device == makedev(0xfd, 0));
  CHECK(locks[3].start == 128);
  CHECK(locks[3].end == 255);
  CHECK(locks[4].kind == "ofd");
  CHECK(locks[4].pid == -1);
  CHECK(locks[4].end == 0);
}

TEST_CASE("net/unix") {
  const auto sockets = parse_net_unix(
      "Num       RefCount Protocol Flags    Type St Inode Path\n"
      "0000000000000000: 00000002 00000000 00010000 0001 01 20481 /run/a b.sock\n"
      "0000000000000000: 00000003 00000000 00000000 0001 03 20482\n"
      "0000000000000000: 00000003 00000000 00000000 0002 01 20483 @abstract\n"
      "0000000000000000: 0000\n");
  REQUIRE(sockets.size() == 3);
  CHECK(sockets[0].state == "LISTEN");
  CHECK(sockets[0].local == "/run/a b.sock");
  CHECK(sockets[1].state == "CONNECTED");
  CHECK(sockets[1].local.empty());
  CHECK(sockets[2].inode == 20483);
  CHECK(sockets[2].local == "@abstract");
}

TEST_CASE("net/tcp and tcp6") {
  const auto four = parse_net_inet(
      "  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout "
      "inode\n"
      "   0: 0100007F:1F90 0200000A:C350 01 00000000:00000000 00:00000000 00000000  1000        0 "
      "5511 1 0000000000000000 20 4 30 10 -1\n"
      "   1: 00000000:0016 00000000:0000 0A 00000000:00000000 00:00000000 00000000     0        0 "
      "0 1\n",
      "tcp");
  REQUIRE(four.size() == 1);  // inode 0: nobody has it open
  CHECK(four[0].local == "127.0.0.1:8080");
  CHECK(four[0].remote == "10.0.0.2:50000");
  CHECK(four[0].state == "ESTABLISHED");
  CHECK(four[0].inode == 5511);
  const auto six = parse_net_inet(
      "   0: 00000000000000000000000001000000:0050 B80D0120000000000000000001000000:01BB 08 "
      "00000000:00000000 00:00000000 00000000  1000        0 77 1 0 20 4 30 10 -1\n",
      "tcp6");
  REQUIRE(six.size() == 1);
  CHECK(six[0].local == "[0000:0000:0000:0000:0000:0000:0000:0001]:80");
  CHECK(six[0].remote == "[2001:0db8:0000:0000:0000:0000:0000:0001]:443");
  CHECK(six[0].state == "CLOSE_WAIT");
}

TEST_CASE("numbers between blanks") {
  CHECK(parse_numbers("12 13  x 14 \n") == std::vector<std::int64_t>{12, 13, 14});
  CHECK(parse_numbers("").empty());
}

}  // namespace
}  // namespace coldcase::capture
