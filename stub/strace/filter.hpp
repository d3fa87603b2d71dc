// Which calls and signals a client wants to see, in strace's words: -e trace=, signal=, status=, -P.
//
// Made on the hub thread; then immutable, and asked on vCPU threads without allocating.
#pragma once

#include <array>
#include <bitset>
#include <string>
#include <string_view>
#include <vector>

#include "arch/result.hpp"
#include "stub/strace/call.hpp"
#include "stub/strace/syscalls.hpp"

namespace ringside::strace {

class Filter {
 public:
  // What several name is their union; an expression that begins with ! is all but what it names.
  // Names, %classes, /regular expressions (POSIX extended), all, none; ?name need not exist.
  Result<void> add_trace(std::string_view expression);
  Result<void> add_signal(std::string_view expression);  // SIGCHLD, chld, 17
  Result<void> add_status(std::string_view expression);  // successful, failed
  Result<void> add_path(std::string_view path);

  bool wants_call(Abi abi, std::uint32_t number) const noexcept {
    const Numbers& numbers = calls_[static_cast<std::size_t>(abi)];
    return !has_calls_ || (number < numbers.size() ? numbers.test(number) : wants_unknown_);
  }
  bool wants_signal(int number) const noexcept {
    return !has_signals_ || (number > 0 && number < static_cast<int>(kSignals) && signals_.test(static_cast<std::size_t>(number)));
  }
  // Whether a call is shown is known only when it has returned.
  bool needs_result() const noexcept { return has_status_; }
  bool wants_result(const Call& call) const noexcept;

  bool has_paths() const noexcept { return !quoted_.empty(); }
  // `arguments` are the call's, with whole strings, and descriptors with their paths.
  bool wants_paths_in(std::string_view arguments) const noexcept;

 private:
  static constexpr std::size_t kSignals = 65;
  using Numbers = std::bitset<kSyscallNumbers>;
  using Calls = std::array<Numbers, 2>;  // by Abi
  static Result<void> add_item(std::string_view item, Calls& into);

  Calls calls_;
  bool has_calls_ = false;
  bool wants_unknown_ = false;
  std::bitset<kSignals> signals_;
  bool has_signals_ = false;
  bool has_status_ = false;
  bool successful_ = false;
  bool failed_ = false;
  std::vector<std::string> quoted_;  // "\"/etc\"", "</etc>"
};

}  // namespace ringside::strace
