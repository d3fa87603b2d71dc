#include "stub/cli/attach_command.hpp"

#include <cstdio>

#include <signal.h>
#include <unistd.h>

#include <fmt/format.h>

#include "stub/cli/connect.hpp"
#include "stub/cli/pump.hpp"

namespace ringside::cli {
namespace {

Result<void> attach(const AttachOptions& options) {
  boost::asio::io_context io{1};
  Socket socket = RS_TRY(connect_to(io, options.address));
  return pump(STDIN_FILENO, STDOUT_FILENO, socket.native_handle());
}

}  // namespace

int attach_command(const AttachOptions& options) {
  ::signal(SIGPIPE, SIG_IGN);
  const Result<void> done = attach(options);
  if (done) return 0;
  fmt::print(stderr, "ringside: {}\n", done.error().text);
  return 2;
}

}  // namespace ringside::cli
