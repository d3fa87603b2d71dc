// Bytes both ways between a program's stdin and stdout and a socket, for as long as both ends are there.
#pragma once

#include "arch/result.hpp"

namespace ringside::cli {

// Copies `in` to `socket` and `socket` to `out` until the socket's peer has said all and it is written, or
// until nobody reads `out` any more.  The end of `in` is passed on (shutdown), and what still comes back is
// copied. Blocks; an error when the connection breaks.  SIGPIPE must be ignored.
Result<void> pump(int in, int out, int socket);

}  // namespace ringside::cli
