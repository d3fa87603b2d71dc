// `ringside strace`: a guest's system calls, as lines, as a table, as JSON.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "stub/strace/lines.hpp"
#include "stub/strace/summary.hpp"

namespace ringside::cli {

struct StraceOptions {
  std::string address;              // of a monitor's --gdb
  std::vector<std::string> wishes;  // key=value, for the monitor (stub/strace/trace_options.hpp)
  std::string output;               // -o; empty: stdout
  strace::LineStyle lines;
  enum class Show : std::uint8_t { kLines, kSummary, kBoth, kJson } show = Show::kLines;
  strace::SortBy sort = strace::SortBy::kTime;
};

// The exit status: 0, or 2 with one line on stderr.
int strace_command(const StraceOptions& options);

}  // namespace ringside::cli
