// The program: arguments in, one command, an exit code out.
#include <fcntl.h>
#include <unistd.h>

#include <csignal>
#include <cstring>
#include <iostream>

#include "cli/commands.hpp"

namespace {

// An input that shrinks while it is mapped faults on access (SIGBUS). A message and exit code 74,
// not a crash; only what may be called in a signal handler.
void on_bus_error(int) {
  constexpr char text[] = "coldcase: an input file became shorter while it was read\n";
  (void)!::write(STDERR_FILENO, text, sizeof text - 1);
  ::_exit(coldcase::cli::exit_read_error);
}

// A program may be started with descriptors 0-2 closed (`coldcase ... >&-`); the next file opened
// would then be "standard output", and written to, or replaced in the guardian by /dev/null. What
// stands there instead fails as the closed one did: 0 cannot be read, 1 and 2 cannot be written.
void fill_standard_descriptors() {
  for (int fd = STDIN_FILENO; fd <= STDERR_FILENO; ++fd) {
    if (::fcntl(fd, F_GETFD) < 0)
      (void)::open("/dev/null", fd == STDIN_FILENO ? O_WRONLY : O_RDONLY);
  }
}

}  // namespace

int main(int argc, char** argv) {
  fill_standard_descriptors();
  struct sigaction action {};
  action.sa_handler = on_bus_error;
  ::sigaction(SIGBUS, &action, nullptr);
  std::ios::sync_with_stdio(false);  // a report is written in blocks, not character by character
  std::signal(SIGPIPE, SIG_DFL);     // coldcase ... | head ends quietly
  try {
    return coldcase::cli::run({argv + 1, argv + argc}, std::cout, std::cerr);
  } catch (const coldcase::Error& error) {
    std::cerr << "coldcase: " << error.what() << '\n';
    return coldcase::cli::exit_code_of(error.trouble());
  } catch (const std::exception& error) {
    std::cerr << "coldcase: internal error: " << error.what()
              << "\nPlease report it with the command and, if you may, the core.\n";
    return coldcase::cli::exit_internal;
  }
}
