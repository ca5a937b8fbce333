// The schema of a side-car, as shipped in share/coldcase; a test holds the two together.
// size: table
#include <coldcase/capture.hpp>

namespace coldcase {
namespace {

// clang-format off
constexpr std::string_view text =
R"schema({
 "$schema": "https://json-schema.org/draft/2020-12/schema",
 "title": "coldcase side-car, version 1",
 "description": "What `coldcase capture` writes beside a core: what the core lacks, read from /proc just before the process was stopped. Named like the core, without .zst, plus .side-car.json. A list that was longer than its maxItems was cut, and incomplete says so. Everything but schema, schema_version and process.pid is optional; absent is unknown; 0 and [] are facts. A reader ignores keys it does not know and treats an unknown word as other. Addresses and 64-bit words are hexadecimal text, counts and ids are numbers. A device is (major, minor) as makedev(3) packs them. It never holds the environment, command-line arguments or memory; it does hold paths of open files and addresses of sockets, so it is as private as the core: both are written 0600.",
 "type": "object",
 "required": [
  "schema",
  "schema_version",
  "process"
 ],
 "properties": {
  "schema": {
   "const": "coldcase/side-car"
  },
  "schema_version": {
   "type": "string",
   "pattern": "^1\\."
  },
  "taken_at": {
   "description": "When /proc was read, UTC.",
   "type": "string",
   "pattern": "^[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}Z$"
  },
  "boot": {
   "description": "Equal in two side-cars: pids, inodes, pipes and sockets of both are of one running kernel. The first 16 digits of a SHA-256 over the boot id, which itself is not told.",
   "type": "string",
   "pattern": "^[0-9a-f]{16}$"
  },
  "namespaces": {
   "description": "Equal in two side-cars: both processes are in that same namespace. The first 16 digits of a SHA-256 over the boot id and what /proc/PID/ns/NAME points to.",
   "type": "object",
   "properties": {
    "mnt": {
     "description": "Mounts: paths.",
     "type": "string",
     "pattern": "^[0-9a-f]{16}$"
    },
    "pid": {
     "description": "Process ids as the process itself sees them: inner_pid, inner_tid.",
     "type": "string",
     "pattern": "^[0-9a-f]{16}$"
    },
    "ipc": {
     "description": "System V objects and POSIX message queues.",
     "type": "string",
     "pattern": "^[0-9a-f]{16}$"
    },
    "net": {
     "description": "Addresses, ports, abstract unix names.",
     "type": "string",
     "pattern": "^[0-9a-f]{16}$"
    }
   }
  },
  "process": {
   "type": "object",
   "required": [
    "pid"
   ],
   "properties": {
    "pid": {
     "description": "As the one who captured it sees it.",
     "type": "integer",
     "minimum": 1,
     "maximum": 2147483647
    },
    "ppid": {
     "description": "Its parent.",
     "type": "integer",
     "minimum": 0,
     "maximum": 2147483647
    },
    "inner_pid": {
     "description": "In its own PID namespace, where that is another number.",
     "type": "integer",
     "minimum": 1,
     "maximum": 2147483647
    },
    "name": {
     "description": "comm of the main thread.",
     "type": "string",
     "maxLength": 1025
    },
    "executable": {
     "description": "What /proc/PID/exe points to.",
     "type": "string",
     "maxLength": 1025
    },
    "children": {
     "description": "Its living children.",
     "type": "array",
     "maxItems": 4096,
     "items": {
      "description": "pid",
      "type": "integer",
      "minimum": 1,
      "maximum": 2147483647
     }
    }
   }
  },
  "zombies": {
   "description": "Children that have ended and were not waited for.",
   "type": "array",
   "maxItems": 4096,
   "items": {
    "type": "object",
    "required": [
     "pid"
    ],
    "properties": {
     "pid": {
      "type": "integer",
      "minimum": 1,
      "maximum": 2147483647
     },
     "status": {
      "description": "As wait(2) tells it: exit code * 256, or the signal; absent where it may not be read.",
      "type": "integer",
      "minimum": 0,
      "maximum": 65535
     }
    }
   }
  },
  "threads": {
   "description": "/proc/PID/task.",
   "type": "array",
   "maxItems": 65536,
   "items": {
    "type": "object",
    "required": [
     "tid"
    ],
    "properties": {
     "tid": {
      "description": "As in the core's notes.",
      "type": "integer",
      "minimum": 1,
      "maximum": 2147483647
     },
     "inner_tid": {
      "description": "In its own PID namespace, where that is another number: what locks' owner words hold.",
      "type": "integer",
      "minimum": 1,
      "maximum": 2147483647
     },
     "name": {
      "description": "comm.",
      "type": "string",
      "maxLength": 1025
     },
     "state": {
      "description": "R S D T t Z I ...",
      "type": "string"
     },
     "wchan": {
      "description": "The kernel function it sleeps in.",
      "type": "string",
      "maxLength": 1025
     },
     "cpu_ms": {
      "description": "Processor time since it began, user and system.",
      "type": "integer",
      "minimum": 0,
      "maximum": 9007199254740991
     },
     "cpu_system_ms": {
      "description": "How much of cpu_ms the kernel ran.",
      "type": "integer",
      "minimum": 0,
      "maximum": 9007199254740991
     },
     "age_ms": {
      "description": "How long ago it began.",
      "type": "integer",
      "minimum": 0,
      "maximum": 9007199254740991
     }
    }
   }
  },
  "files": {
   "description": "/proc/PID/fd and fdinfo.",
   "type": "array",
   "maxItems": 65536,
   "items": {
    "type": "object",
    "required": [
     "fd"
    ],
    "properties": {
     "fd": {
      "type": "integer",
      "minimum": 0,
      "maximum": 2147483647
     },
     "target": {
      "description": "Where the link points: a path, pipe:[N], socket:[N], anon_inode:[eventpoll] ...",
      "type": "string",
      "maxLength": 1025
     },
     "device": {
      "description": "st_dev.",
      "type": "string",
      "pattern": "^0x(0|[1-9a-f][0-9a-f]{0,15})$"
     },
     "inode": {
      "description": "st_ino.",
      "type": "string",
      "pattern": "^0x(0|[1-9a-f][0-9a-f]{0,15})$"
     },
     "flags": {
      "description": "open(2) flags; the low two bits are 0 read, 1 write, 2 both.",
      "type": "string",
      "pattern": "^0x(0|[1-9a-f][0-9a-f]{0,15})$"
     },
     "position": {
      "description": "The file offset.",
      "type": "integer",
      "minimum": 0,
      "maximum": 9007199254740991
     },
     "polls": {
      "description": "eventpoll: the descriptors it watches.",
      "type": "array",
      "maxItems": 65536,
      "items": {
       "type": "integer",
       "minimum": 0,
       "maximum": 2147483647
      }
     },
     "eventfd": {
      "description": "eventfd: its counter.",
      "type": "string",
      "pattern": "^0x(0|[1-9a-f][0-9a-f]{0,15})$"
     },
     "child": {
      "description": "pidfd: the process; -1: it has been waited for.",
      "type": "integer",
      "minimum": -1,
      "maximum": 2147483647
     }
    }
   }
  },
  "sockets": {
   "description": "Rows of /proc/PID/net for the sockets among its files.",
   "type": "array",
   "maxItems": 65536,
   "items": {
    "type": "object",
    "required": [
     "inode",
     "protocol"
    ],
    "properties": {
     "inode": {
      "description": "As in socket:[N].",
      "type": "string",
      "pattern": "^0x(0|[1-9a-f][0-9a-f]{0,15})$"
     },
     "protocol": {
      "examples": [
       "unix",
       "tcp",
       "tcp6",
       "udp",
       "udp6"
      ],
      "type": "string"
     },
     "local": {
      "description": "ADDRESS:PORT, or a unix path (@: abstract).",
      "type": "string",
      "maxLength": 1025
     },
     "remote": {
      "description": "ADDRESS:PORT.",
      "type": "string",
      "maxLength": 1025
     },
     "state": {
      "examples": [
       "ESTABLISHED",
       "LISTEN",
       "CLOSE_WAIT",
       "CONNECTED",
       "UNCONNECTED"
      ],
      "type": "string"
     },
     "peer": {
      "description": "Inode of the other end, where that is on this machine (unix; TCP within one network namespace).",
      "type": "string",
      "pattern": "^0x(0|[1-9a-f][0-9a-f]{0,15})$"
     },
     "peer_pid": {
      "description": "The lowest numbered process that has the other end open.",
      "type": "integer",
      "minimum": 1,
      "maximum": 2147483647
     },
     "peer_name": {
      "description": "Its comm.",
      "type": "string",
      "maxLength": 1025
     },
     "received_ms": {
      "description": "TCP: how long ago data last came in, or since the connection was made where none ever did.",
      "type": "integer",
      "minimum": 0,
      "maximum": 9007199254740991
     },
     "sent_ms": {
      "description": "TCP: the same for data that went out.",
      "type": "integer",
      "minimum": 0,
      "maximum": 9007199254740991
     },
     "received_bytes": {
      "description": "TCP: came in, in all.",
      "type": "integer",
      "minimum": 0,
      "maximum": 9007199254740991
     },
     "sent_bytes": {
      "description": "TCP: went out, in all.",
      "type": "integer",
      "minimum": 0,
      "maximum": 9007199254740991
     },
     "unread_bytes": {
      "description": "TCP: came in, and the process has not read it.",
      "type": "integer",
      "minimum": 0,
      "maximum": 9007199254740991
     },
     "untaken_bytes": {
      "description": "TCP: the process wrote it, and the other end has not taken it.",
      "type": "integer",
      "minimum": 0,
      "maximum": 9007199254740991
     }
    }
   }
  },
  "mappings": {
   "description": "Rows of /proc/PID/maps that have a file or are shared.",
   "type": "array",
   "maxItems": 65536,
   "items": {
    "type": "object",
    "required": [
     "begin",
     "end"
    ],
    "properties": {
     "begin": {
      "type": "string",
      "pattern": "^0x(0|[1-9a-f][0-9a-f]{0,15})$"
     },
     "end": {
      "type": "string",
      "pattern": "^0x(0|[1-9a-f][0-9a-f]{0,15})$"
     },
     "offset": {
      "description": "Into the file, bytes.",
      "type": "string",
      "pattern": "^0x(0|[1-9a-f][0-9a-f]{0,15})$"
     },
     "device": {
      "type": "string",
      "pattern": "^0x(0|[1-9a-f][0-9a-f]{0,15})$"
     },
     "inode": {
      "type": "string",
      "pattern": "^0x(0|[1-9a-f][0-9a-f]{0,15})$"
     },
     "shared": {
      "description": "MAP_SHARED; absent: private.",
      "type": "boolean"
     },
     "path": {
      "type": "string",
      "maxLength": 1025
     }
    }
   }
  },
  "locks": {
   "description": "Rows of /proc/locks on files the process has open, or that it holds; device and inode are those of the row in files.",
   "type": "array",
   "maxItems": 16384,
   "items": {
    "type": "object",
    "required": [
     "id",
     "kind"
    ],
    "properties": {
     "id": {
      "description": "/proc/locks' ordinal: a waiter has the ordinal of the lock it waits for.",
      "type": "integer",
      "minimum": 0,
      "maximum": 9007199254740991
     },
     "kind": {
      "examples": [
       "flock",
       "posix",
       "ofd"
      ],
      "type": "string"
     },
     "write": {
      "description": "Exclusive; absent: shared.",
      "type": "boolean"
     },
     "waiting": {
      "description": "Blocked behind the lock of the same id.",
      "type": "boolean"
     },
     "pid": {
      "description": "Who holds it or waits; -1 or 0: not known.",
      "type": "integer",
      "minimum": -1,
      "maximum": 2147483647
     },
     "device": {
      "type": "string",
      "pattern": "^0x(0|[1-9a-f][0-9a-f]{0,15})$"
     },
     "inode": {
      "type": "string",
      "pattern": "^0x(0|[1-9a-f][0-9a-f]{0,15})$"
     },
     "start": {
      "description": "First byte.",
      "type": "string",
      "pattern": "^0x(0|[1-9a-f][0-9a-f]{0,15})$"
     },
     "end": {
      "description": "Last byte; absent: to the end of the file.",
      "type": "string",
      "pattern": "^0x(0|[1-9a-f][0-9a-f]{0,15})$"
     }
    }
   }
  },
  "incomplete": {
   "description": "What could not be read and why, as sentences.",
   "type": "array",
   "maxItems": 64,
   "items": {
    "type": "string"
   }
  }
 }
}
)schema";
// clang-format on

}  // namespace

std::string_view side_car_schema() {
  return text;
}

}  // namespace coldcase
