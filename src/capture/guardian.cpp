#include "capture/guardian.hpp"

#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <csignal>
#include <string_view>

#include "capture/guard.hpp"
#include "capture/messages.hpp"
#include "capture/proc_files.hpp"

namespace coldcase::capture {
namespace {

// gcore's messages are looked at, and it has no business on the network.
std::vector<std::string> environment_for_gcore() {
  std::vector<std::string> environment{"LC_ALL=C"};
  for (char** word = environ; word != nullptr && *word != nullptr; ++word) {
    const std::string_view text = *word;
    if (!text.starts_with("LC_ALL=") && !text.starts_with("DEBUGINFOD_"))
      environment.emplace_back(text);
  }
  return environment;
}

}  // namespace

Guardian::Guardian(const std::string& gcore, int folder) {
  std::array<int, 2> ends{-1, -1};
  if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, ends.data()) != 0)
    throw messages::no_guardian(errno);
  said_ = ::memfd_create("gcore", MFD_CLOEXEC);
  std::vector<std::string> environment = environment_for_gcore();
  std::vector<char*> words;
  words.reserve(environment.size() + 1);
  for (std::string& word : environment) words.push_back(word.data());
  words.push_back(nullptr);
  pid_ = said_ < 0 ? -1 : ::fork();
  if (pid_ == 0) {
    ::close(ends[0]);
    guard({ends[1], said_, folder, gcore.c_str(), words.data()});
  }
  const int error = errno;
  ::close(ends[1]);
  socket_ = ends[0];
  if (pid_ > 0) return;
  ::close(socket_);
  if (said_ >= 0) ::close(said_);
  throw messages::no_guardian(error);
}

Guardian::~Guardian() {
  finish();
  ::close(said_);
}

bool Guardian::ask(std::uint32_t what, std::int64_t pid, std::uint64_t start) {
  const Request request{static_cast<Ask>(what), pid, start};
  return socket_ >= 0 && ::send(socket_, &request, sizeof request, MSG_NOSIGNAL) ==
                             static_cast<ssize_t>(sizeof request);
}

// False when the guardian is gone, or we were asked to stop.
bool Guardian::await(std::int32_t& result, std::int32_t& detail,
                     const std::atomic<bool>* stop) const {
  for (;;) {
    pollfd socket{socket_, POLLIN, 0};
    const int ready = ::poll(&socket, 1, 100);
    if (stop != nullptr && *stop) return false;
    if (ready <= 0) continue;
    Reply reply;
    if (::recv(socket_, &reply, sizeof reply, 0) != static_cast<ssize_t>(sizeof reply))
      return false;
    result = reply.result;
    detail = reply.detail;
    return true;
  }
}

StopResult Guardian::stop(const Target& target) {
  stopped_.push_back(target);
  std::int32_t result = 0, detail = 0;
  if (!ask(static_cast<std::uint32_t>(Ask::stop), target.pid, target.start) ||
      !await(result, detail, nullptr)) {
    throw messages::no_guardian(ECHILD);
  }
  const auto answer = static_cast<StopResult>(result);
  if (answer == StopResult::was_stopped || answer == StopResult::gone) stopped_.pop_back();
  return answer;
}

Dump Guardian::dump(std::int64_t pid, const std::atomic<bool>& stop) {
  Dump dump;
  std::int32_t result = 0;
  if (ask(static_cast<std::uint32_t>(Ask::dump), pid, 0) && await(result, dump.code, &stop))
    dump.end = static_cast<Dump::End>(result);
  else if (stop)
    dump.end = Dump::End::interrupted;
  if (dump.end == Dump::End::interrupted) finish();  // it ends the dump when the socket does
  dump.said = said();
  return dump;
}

void Guardian::resume() {
  std::int32_t result = 0, detail = 0;
  if (ask(static_cast<std::uint32_t>(Ask::resume), 0, 0) && await(result, detail, nullptr))
    stopped_.clear();
  finish();
}

std::string Guardian::said() const {
  constexpr off_t most = 65536;
  const off_t size = ::lseek(said_, 0, SEEK_END);
  std::string text(static_cast<std::size_t>(std::clamp<off_t>(size, 0, most)), '\0');
  const ssize_t got = ::pread(said_, text.data(), text.size(), std::max<off_t>(size - most, 0));
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(got, 0)));
  return text;
}

void Guardian::finish() {
  if (socket_ < 0) return;
  ::close(socket_);
  socket_ = -1;
  int status = 0;
  while (::waitpid(pid_, &status, 0) < 0 && errno == EINTR) {
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return;
  // Somebody killed it: what it had stopped is ours to continue.
  for (const Target& target : stopped_) {
    const auto stat = stat_of(target.pid);
    if (stat && stat->start == target.start) ::kill(static_cast<pid_t>(target.pid), SIGCONT);
  }
}

}  // namespace coldcase::capture
