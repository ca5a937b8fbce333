// SQLite's connections behind sqlite3.Connection objects: which file is open, and whether it is in
// a write transaction. Its structs are private; what is read here has kept its place since 3.7.17,
// and everything is checked against something else before it is believed.
#pragma once

#include "lens/cpython/containers.hpp"

namespace coldcase::cpython {

struct Database {
  Addr connection;   // Python's object
  Addr handle;       // sqlite3 *
  std::string file;  // of "main"; empty when it is in memory or was not found
  std::size_t attached = 0;
  bool writes = false;  // holds the file's write lock
};

// A sqlite3.Connection, or the one of a sqlite3.Cursor.
std::optional<Database> read_database(const Objects& objects, Addr object);

}  // namespace coldcase::cpython
