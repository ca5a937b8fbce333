// from_memory PROGRAM [ARGUMENT]...: runs a copy of it that has no file (memfd, fexecve).
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdio.h>
#include <sys/mman.h>
#include <sys/sendfile.h>
#include <sys/stat.h>
#include <unistd.h>

int main(int count, char** arguments) {
  (void)count;
  struct stat state;
  const int from = open(arguments[1], O_RDONLY);
  const int copy = memfd_create("worker", MFD_CLOEXEC);
  if (fstat(from, &state) == 0 &&
      sendfile(copy, from, NULL, (size_t)state.st_size) == state.st_size)
    fexecve(copy, arguments + 1, environ);
  perror("from_memory");
  return 1;
}
