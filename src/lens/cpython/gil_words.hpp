// The words that make up a GIL, wherever this version keeps them.
#pragma once

#include <coldcase/address.hpp>
#include <string_view>
#include <vector>

#include "image/image.hpp"
#include "lens/cpython/locate.hpp"

namespace coldcase::cpython {

struct GilWords {
  Addr locked;     // null: not known (3.6 without .symtab), the holder's word tells it
  Addr holder;     // last_holder; or the current thread state, null when the GIL is free
  Addr condition;  // gil_cond
  std::vector<Range>
      parts;  // a thread asleep on a word in here waits for the GIL, or to give it up
  std::string_view holder_name, source;
};

struct GilReading {
  bool locked = false;
  Addr holder;
};

// From 3.7 on: struct _gil_runtime_state at `gil`, the same 208 bytes to 3.15.
GilWords words_of_gil(Addr gil);
// 3.6: variables of the module.
GilWords words_of_gil(const Variables& variables);

GilReading read_gil(const MemoryImage& image, const GilWords& words);

}  // namespace coldcase::cpython
