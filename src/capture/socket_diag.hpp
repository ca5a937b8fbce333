// Asks the kernel's socket diagnosis, which is what `ss` asks (Linux
// include/uapi/linux/sock_diag.h). It answers for this program's own network namespace alone.
#pragma once

#include <cstddef>
#include <cstring>
#include <functional>
#include <span>

namespace coldcase::capture {

using Answer = std::span<const std::byte>;

// Sends the request (a struct of the kernel's, for one family) and gives each socket's answer to
// `take`. Silence, refusal and an answer without end are the same as no more answers.
void ask_sockets(Answer request, const std::function<void(Answer)>& take);

// The attributes behind an answer's fixed part: type and content. What is damaged ends them.
void each_attribute(Answer answer, std::size_t fixed,
                    const std::function<void(unsigned, Answer)>& take);

// The value at `offset`, 0 where the bytes end before it.
template <class T>
T read_at(Answer bytes, std::size_t offset) {
  T value{};
  if (offset <= bytes.size() && bytes.size() - offset >= sizeof value)
    std::memcpy(&value, bytes.data() + offset, sizeof value);
  return value;
}

}  // namespace coldcase::capture
