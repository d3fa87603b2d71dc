// The composition root's door: options, log sinks, the last catch.
#include <cstdio>
#include <exception>

#include <fmt/format.h>
#include <spdlog/sinks/basic_file_sink.h>
#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include "stub/cli/ask_command.hpp"
#include "stub/cli/attach_command.hpp"
#include "stub/cli/doctor_command.hpp"
#include "stub/cli/options.hpp"
#include "stub/cli/run_command.hpp"
#include "stub/cli/strace_command.hpp"
#include "stub/cli/terminal.hpp"

namespace {

using namespace ringside;

// stdout is the user's; the log goes to stderr.
void set_up_log(const cli::RunOptions& options) {
  auto logger = options.log_file.empty() ? spdlog::stderr_logger_mt("ringside")
                                         : spdlog::basic_logger_mt("ringside", options.log_file);
  logger->set_level(spdlog::level::from_str(options.log_level));
  logger->set_pattern("%H:%M:%S.%e %^%L%$ %v");
  logger->flush_on(spdlog::level::info);
  spdlog::set_default_logger(std::move(logger));
}

int run(int argc, char** argv) {
  Result<cli::Options> options = cli::parse_options(argc, argv);
  if (!options) {
    fmt::print(stderr, "ringside: {}\n", options.error().text);
    return 2;
  }
  if (const auto* text = std::get_if<cli::ShowText>(&*options)) {
    fmt::print("{}", text->text);
    return 0;
  }
  if (const auto* attach = std::get_if<cli::AttachOptions>(&*options)) return cli::attach_command(*attach);
  if (const auto* strace = std::get_if<cli::StraceOptions>(&*options)) return cli::strace_command(*strace);
  if (const auto* ask = std::get_if<cli::AskOptions>(&*options)) return cli::ask_command(*ask);
  if (const auto* dump = std::get_if<cli::DumpOptions>(&*options)) return cli::dump_command(*dump);
  if (std::holds_alternative<cli::DoctorOptions>(*options)) return cli::doctor_command();
  const auto& run_options = std::get<cli::RunOptions>(*options);
  set_up_log(run_options);
  return cli::run_command(run_options);
}

}  // namespace

int main(int argc, char** argv) {
  try {
    return run(argc, argv);
  } catch (const std::exception& error) {
    ringside::cli::restore_terminal();
    fmt::print(stderr, "ringside: {}\n", error.what());
    return 2;
  }
}
