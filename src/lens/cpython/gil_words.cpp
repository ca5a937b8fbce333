#include "lens/cpython/gil_words.hpp"

namespace coldcase::cpython {

// Include/internal/pycore_gil.h; 3.7: Include/internal/gil.h.
GilWords words_of_gil(Addr gil) {
  constexpr std::int64_t last_holder = 8, locked = 16, cond = 32, size = 208;
  GilWords words;
  if (gil.value == 0) return words;
  words.locked = offset_by(gil, locked);
  words.holder = offset_by(gil, last_holder);
  words.condition = offset_by(gil, cond);
  words.parts = {{gil, offset_by(gil, size)}};
  words.holder_name = "last_holder";
  words.source = "struct _gil_runtime_state";
  return words;
}

// Python/ceval_gil.h of 3.6. Where only the exported symbols are left, _PyThreadState_Current is
// not null exactly while a thread holds the GIL, and it is that one's state.
GilWords words_of_gil(const Variables& variables) {
  GilWords words;
  words.locked = variables.gil_locked;
  const bool named = variables.gil_last_holder.value != 0 && variables.gil_locked.value != 0;
  words.holder = named ? variables.gil_last_holder : variables.current_thread;
  words.holder_name = named ? "gil_last_holder" : "_PyThreadState_Current";
  words.condition = variables.gil_condition;
  words.parts = variables.gil_parts;
  words.source = "Python/ceval_gil.h";
  return words;
}

GilReading read_gil(const MemoryImage& image, const GilWords& words) {
  GilReading state;
  if (words.holder.value == 0) return state;
  state.holder = image.read_pointer(words.holder).value_or(Addr{});
  const auto locked =
      words.locked.value != 0 ? image.read<std::int32_t>(words.locked) : Read<std::int32_t>(-1);
  // -1, 3.6: there is none, as no thread was ever started; the only one runs as if it held it.
  state.locked = locked && (*locked == 1 || (*locked == -1 && state.holder.value != 0));
  return state;
}

}  // namespace coldcase::cpython
