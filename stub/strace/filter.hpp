// Which calls, results and signals are to be shown: strace's expressions (-e trace=, -e status=, -z, -Z,
// -e signal=, -P), parsed once to an immutable set.
//
// Thread: parse() where options are read; the rest on any, without allocating.
#pragma once

#include <bitset>
#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "arch/result.hpp"
#include "stub/strace/call.hpp"
#include "stub/strace/syscalls.hpp"

namespace ringside::strace {

// The expressions as the user wrote them, what stands behind "trace=" and so on; none: everything.
struct FilterText {
  std::optional<std::string>
      trace;  // "openat,%network,!read", "/^sched_", "all", "none", "?statx", "open@32"
  std::optional<std::string>
      status;  // "successful" (-z), "failed" (-Z), "unfinished", "unavailable", "detached"
  std::optional<std::string> signal;  // "SIGCHLD,int", "!io", "none"
  std::vector<std::string> paths;     // -P
};

enum class Status : std::uint8_t { kSuccessful, kFailed, kUnfinished, kUnavailable, kDetached };

class Filter {
 public:
  Filter();  // lets everything through

  // The error is one line for the user.
  static Result<Filter> parse(const FilterText& text);

  bool wants_call(Abi abi, std::uint32_t number) const noexcept;
  bool wants_signal(int number) const noexcept;
  bool wants_status(Status status) const noexcept { return statuses_.test(static_cast<std::size_t>(status)); }
  // By the result of a call that has returned.
  bool wants_result(std::int64_t result) const noexcept;

  // Whether a call is shown is known only when it has returned.
  bool needs_result() const noexcept {
    return !wants_status(Status::kSuccessful) || !wants_status(Status::kFailed);
  }

  // With -P: whether one of the call's arguments is, or is a descriptor of, one of the paths.  At the entry.
  bool has_paths() const noexcept { return !paths_.empty(); }
  bool wants_paths_of(const Call& call, const Process& process) const noexcept;

 private:
  using Calls = std::bitset<kSyscallNumbers>;

  Result<void> parse_trace(std::string_view text);
  Result<void> parse_status(std::string_view text);
  Result<void> parse_signal(std::string_view text);
  Result<bool> add_calls(std::string_view word);

  Calls x64_;
  Calls i386_;
  bool unnamed_ = true;  // numbers that have no name, or are too large
  std::bitset<5> statuses_;
  std::bitset<65> signals_;
  std::vector<std::string> paths_;
};

}  // namespace ringside::strace
