// A side-car with every field, and its text: for the reader's tests and the fuzzer's seeds.
#pragma once

#include <sstream>
#include <string>

#include "sidecar/side_car_json.hpp"

namespace coldcase::test {

inline SideCar full_side_car() {
  SideCar side_car;
  side_car.taken_at = "2026-01-02T03:04:05Z";
  side_car.pid = 812;
  side_car.ppid = 41;
  side_car.inner_pid = 3;
  side_car.name = "worker";
  side_car.executable = "/usr/bin/worker";
  side_car.boot = "0123456789abcdef";
  side_car.mount_space = "1111111111111111";
  side_car.pid_space = "2222222222222222";
  side_car.ipc_space = "3333333333333333";
  side_car.net_space = "4444444444444444";
  side_car.children = {813, 814};
  side_car.zombies = {815, 816};
  side_car.statuses = {{815, 256}};
  side_car.tasks = {{812, 3, "worker", "S", "futex_do_wait", 1200, 300, 60000},
                    {820, 0, "pool \"1\"", "R", "", {}, {}, {}}};
  OpenFile file;
  file.fd = 0;
  file.target = "/tmp/a\\b";
  file.device = 0xfe00;
  file.inode = ~std::uint64_t{0};
  file.flags = 02;
  file.position = 4096;
  OpenFile poll;
  poll.fd = 5;
  poll.target = "anon_inode:[eventpoll]";
  poll.polls = {0, 7};
  OpenFile counter;
  counter.fd = 7;
  counter.eventfd = 0;
  OpenFile child;
  child.fd = 8;
  child.child = -1;
  side_car.files = {file, poll, counter, child};
  side_car.sockets = {{77, "unix", "@x", "", "CONNECTED", 78, 0, "", {}},
                      {79, "tcp", "10.0.0.1:443", "10.0.0.2:5", "ESTABLISHED", 80, 0, "", {}}};
  side_car.sockets[1].peer_pid = 4711;
  side_car.sockets[1].peer_name = "server";
  side_car.sockets[1].tcp = {12300, 12000, 0, 6, 1, std::uint64_t{1} << 33};
  side_car.mappings = {{{Addr{0x1000}, Addr{0x3000}}, 0x2000, 0xfe00, 12, true, "/dev/shm/sem.x"}};
  side_car.locks = {{"posix", true, true, 1, -1, 0xfe00, 12, 0, 255},
                    {"flock", false, false, 2, 812, 0xfe00, 13, 0, {}}};
  side_car.incomplete = {"open files: Permission denied"};
  return side_car;
}

inline std::string text_of_side_car(const SideCar& side_car) {
  std::ostringstream text;
  render_side_car(side_car, text);
  return text.str();
}

}  // namespace coldcase::test
