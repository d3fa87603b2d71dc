// `ringside attach`: a monitor's socket on stdin and stdout, for gdb's `target remote | ringside attach
// ADDRESS`.
#pragma once

#include "stub/cli/options.hpp"

namespace ringside::cli {

// Exit status: 0 when either side has ended it, 2 after one line when it cannot connect or the connection
// breaks.
int attach_command(const AttachOptions& options);

}  // namespace ringside::cli
