#include "stub/cli/ask_command.hpp"

#include <cstdio>

#include <signal.h>

#include <fmt/format.h>

#include "stub/cli/remote.hpp"

namespace ringside::cli {
namespace {

Result<void> ask(const AskOptions& options) {
  const auto remote = RS_TRY(Remote::connect(options.address));
  const std::string text = RS_TRY(remote->monitor(options.command));
  std::fwrite(text.data(), 1, text.size(), stdout);
  return {};
}

}  // namespace

int ask_command(const AskOptions& options) {
  ::signal(SIGPIPE, SIG_IGN);
  const Result<void> done = ask(options);
  if (done) return 0;
  fmt::print(stderr, "ringside: {}\n", done.error().text);
  return 2;
}

}  // namespace ringside::cli
