// Connects to a server that never answers and waits for what it says.
//   ask_server tcp PORT | tcp-silent PORT | unix PATH
#include <arpa/inet.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

static int connect_tcp(const char* port) {
  struct sockaddr_in address;
  memset(&address, 0, sizeof address);
  address.sin_family = AF_INET;
  address.sin_port = htons((unsigned short)atoi(port));
  address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  const int fd = socket(AF_INET, SOCK_STREAM, 0);
  return connect(fd, (struct sockaddr*)&address, sizeof address) == 0 ? fd : -1;
}

static int connect_unix(const char* path) {
  struct sockaddr_un address;
  memset(&address, 0, sizeof address);
  address.sun_family = AF_UNIX;
  snprintf(address.sun_path, sizeof address.sun_path, "%s", path);
  const int fd = socket(AF_UNIX, SOCK_STREAM, 0);
  return connect(fd, (struct sockaddr*)&address, sizeof address) == 0 ? fd : -1;
}

__attribute__((noinline)) static int await_reply(int fd) {
  char byte;
  const int got = (int)recv(fd, &byte, 1, 0);
  return got + 1;
}

int main(int count, char** words) {
  if (count != 3) return 2;
  const int fd = strncmp(words[1], "tcp", 3) == 0 ? connect_tcp(words[2]) : connect_unix(words[2]);
  if (fd < 0) return 3;
  if (strcmp(words[1], "tcp-silent") != 0 && send(fd, "hello\n", 6, 0) != 6) return 4;
  puts("READY");
  fflush(stdout);
  return await_reply(fd);
}
