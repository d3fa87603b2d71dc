// `ringside run`: the machine, the hub, the listeners and the console put together, until the guest ends.
#pragma once

#include "stub/cli/options.hpp"

namespace ringside::cli {

// The process's exit status (docs/ringside.1.md); errors before the start are one line on stderr and 2.
int run_command(const RunOptions& options);

}  // namespace ringside::cli
