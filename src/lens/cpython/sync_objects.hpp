// The standard library's synchronisation objects: what kind one is (told by its attributes, so that
// subclasses count and a class that only has the name does not), and in what state.
#pragma once

#include <coldcase/facts.hpp>

#include "lens/cpython/values.hpp"

namespace coldcase::cpython {

enum class Sort : std::uint8_t {
  none,
  condition,
  event,
  semaphore,
  barrier,
  queue,
  simple_queue,         // _queue.SimpleQueue, in C
  python_simple_queue,  // queue._PySimpleQueue
  thread,
  future,
  thread_pool,
  process_pool,
  pool,           // multiprocessing.Pool
  pool_result,    // multiprocessing.pool.ApplyResult, MapResult
  pool_iterator,  // multiprocessing.pool.IMapIterator
  popen,
  process,
  module_lock,
  handler,  // logging.Handler
};

Sort sort_of(const Objects& objects, Addr object);

// "threading.Event"; empty for none.
std::string_view name_of(Sort sort);
WaitKind kind_of(Sort sort);

// The object as the program calls its type: "queue.Queue", "OrderQueue (a queue.Queue)".
std::string type_text(const Objects& objects, Sort sort, Addr object);

struct SyncState {
  std::vector<MemoryWord> words;
  std::string details;  // "2 of 3 parties have arrived"
  LockState summary = LockState::waiting;
};
SyncState read_state(const Objects& objects, Sort sort, Addr object);

// The FileIO under a file object: of a TextIOWrapper (Modules/_io/textio.c: buffer 32) over a
// buffered file (raw 16), of one of these, or itself. The same in 3.6 to 3.15.
std::optional<Addr> find_file_io(const Objects& objects, Addr stream);

// "logging.StreamHandler <stderr>", "logging.FileHandler orders.log"; a handler of the program's
// own: "logging.Handler SlowHandler".
std::string handler_text(const Objects& objects, Addr handler);

// What a queue holds now; nothing when it cannot be read.
std::optional<std::uint64_t> queue_size(const Objects& objects, Sort sort, Addr queue);
std::vector<Addr> queue_items(const Objects& objects, Sort sort, Addr queue, std::size_t limit);

}  // namespace coldcase::cpython
