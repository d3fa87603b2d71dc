// Which calls and signals a client wants to see.  Interim.
#pragma once

#include <string_view>

#include "arch/result.hpp"
#include "stub/strace/call.hpp"

namespace ringside::strace {

class Filter {
 public:
  Result<void> add_trace(std::string_view) { return {}; }
  Result<void> add_signal(std::string_view) { return {}; }
  Result<void> add_status(std::string_view) { return {}; }
  Result<void> add_path(std::string_view) { return {}; }
  bool wants_call(Abi, std::uint32_t) const { return true; }
  bool wants_signal(int) const { return true; }
  bool needs_result() const { return false; }
  bool wants_result(const Call&) const { return true; }
};

}  // namespace ringside::strace
