// The options of `ringside strace`: strace's names and meaning, as far as they apply.  Pure.
#pragma once

#include <memory>

#include <CLI/CLI.hpp>

#include "arch/result.hpp"
#include "stub/cli/strace_command.hpp"

namespace ringside::cli {

class StraceArguments {
 public:
  explicit StraceArguments(CLI::App& app);
  Result<StraceOptions> finish() const;

 private:
  Result<void> add_times(StraceOptions& options) const;

  StraceOptions options_;
  std::vector<std::string> expressions_, paths_;
  std::vector<std::string> pids_;
  std::string comm_, cpu_, overflow_, ring_, trigger_, sort_ = "time", limit_;
  int clock_ = 0, hex_ = 0;
  bool relative_ = false, took_ = false, count_ = false, count_too_ = false, stack_ = false,
       fd_paths_ = false;
  bool successful_ = false, failed_ = false, json_ = false, quiet_ = false, comms_ = false, follow_ = false;
  std::size_t column_ = 40;
};

}  // namespace ringside::cli
