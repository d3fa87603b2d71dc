// `ringside ps ADDRESS` and the like: one monitor command asked of a running monitor, its answer on stdout.
// The guest is not stopped for it.
#pragma once

#include "stub/cli/options.hpp"

namespace ringside::cli {

// Exit status: 0 when it was answered, 2 after one line when it cannot connect or there is no answer.
int ask_command(const AskOptions& options);

}  // namespace ringside::cli
