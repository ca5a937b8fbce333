// The registers of one frame, as far as they are known.
#pragma once

#include <coldcase/registers.hpp>
#include <optional>

#include "threads/rules.hpp"

namespace coldcase {

struct Context {
  std::array<std::uint64_t, register_count> values{};
  std::uint32_t known = 0;  // bit i: values[i] is known

  std::optional<std::uint64_t> get(std::size_t number) const {
    if (number >= register_count || (known >> number & 1) == 0) return std::nullopt;
    return values[number];
  }
  void set(std::size_t number, std::uint64_t value) {
    values[number] = value;
    known |= 1u << number;
  }
  Addr pc() const { return Addr{values[dw_ra]}; }
  Addr sp() const { return Addr{values[dw_rsp]}; }
};

Context context_of(const Registers& registers);

}  // namespace coldcase
