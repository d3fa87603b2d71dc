#include "stub/cli/strace_options.hpp"

#include <fmt/format.h>

namespace ringside::cli {

using strace::LineStyle;
using strace::SortBy;

StraceArguments::StraceArguments(CLI::App& app) {
  app.add_option("address", options_.address, ":PORT, HOST:PORT or unix:PATH, as given to --gdb")->required();
  app.add_flag("-f", follow_, "children, too: always so");
  app.add_option("-p", pids_, "these processes and what descends from them; without it all")->delimiter(',');
  app.add_option("--comm", comm_, "only while a task has this name");
  app.add_option("--cpu", cpu_, "only what this CPU does");
  app.add_option("-e", expressions_,
                 "trace=openat,%file,/^get,!close  signal=SIGCHLD,!all  status=successful,failed; trace= may "
                 "be left out")
      ->allow_extra_args(false);
  app.add_option("-P", paths_, "only calls that have to do with this path")->allow_extra_args(false);
  app.add_flag("-z", successful_, "only calls that succeed");
  app.add_flag("-Z", failed_, "only calls that fail");
  app.add_option("-o", options_.output, "into this file");
  app.add_option("-s", limit_, "so many bytes of a string (32)");
  app.add_flag("-x", hex_, "strings that are no text in hex; -xx: all");
  app.add_flag("-y", fd_paths_, "descriptors with what they are open on");
  app.add_flag("-Y", comms_, "pids with the name of their task");
  app.add_flag("-t", clock_, "the time of day; -tt: with microseconds; -ttt: since 1970");
  app.add_flag("-r", relative_, "the time since the call before");
  app.add_flag("-T", took_, "how long each call took");
  app.add_flag("-c", count_, "only count calls, errors and time");
  app.add_flag("-C", count_too_, "count them as well");
  app.add_option("-S", sort_, "of -c: time, calls, errors, name or nothing")
      ->check(CLI::IsMember({"time", "calls", "errors", "name", "nothing"}));
  app.add_flag("-k", stack_, "the stack of each call");
  app.add_option("-a", column_, "where results begin (40)");
  app.add_flag("-q", quiet_, "do not say when a process is there");
  app.add_flag("--json", json_, "one object a line");
  app.add_option(
         "--overflow", overflow_,
         "when reading does not keep up: drop (and say how much), overwrite (keep the newest, show them on "
         "^C, at the trigger or when the guest ends) or block (the guest waits)")
      ->check(CLI::IsMember({"drop", "overwrite", "block"}));
  app.add_option("--ring", ring_, "bytes that are kept until they are read (8M)");
  app.add_option("--trigger", trigger_, "a kernel function, such as panic, that ends the recording");
}

Result<void> StraceArguments::add_times(StraceOptions& options) const {
  if (clock_ > 3) return fail(Errc::kMalformed, "-t: at most three");
  if (clock_ > 0 && relative_) return fail(Errc::kMalformed, "-t and -r: use one of them");
  constexpr LineStyle::Time kTimes[] = {LineStyle::Time::kNone, LineStyle::Time::kClock,
                                        LineStyle::Time::kMicroseconds, LineStyle::Time::kEpoch};
  options.lines.time = relative_ ? LineStyle::Time::kRelative : kTimes[clock_];
  return {};
}

Result<StraceOptions> StraceArguments::finish() const {
  StraceOptions options = options_;
  const auto wish = [&](std::string_view key, const std::string& value) {
    if (!value.empty()) options.wishes.push_back(fmt::format("{}={}", key, value));
  };
  for (const std::string& expression : expressions_) {
    const std::size_t equals = expression.find('=');
    const std::string key = equals == std::string::npos ? "trace" : expression.substr(0, equals);
    const std::string value = expression.substr(equals == std::string::npos ? 0 : equals + 1);
    if (key == "t" || key == "trace") {
      options.wishes.push_back("trace=" + value);
    } else if (key == "s" || key == "signal" || key == "signals") {
      options.wishes.push_back("signal=" + value);
    } else if (key == "status") {
      options.wishes.push_back("status=" + value);
    } else {
      return fail(Errc::kMalformed, fmt::format("-e {}: use trace=, signal= or status=", expression));
    }
  }
  if (successful_ && failed_)
    return fail(Errc::kMalformed, "-z and -Z together leave nothing: use one of them");
  if (successful_) wish("status", "successful");
  if (failed_) wish("status", "failed");
  for (const std::string& pid : pids_) wish("pid", pid);
  for (const std::string& path : paths_) wish("path", path);
  wish("comm", comm_);
  wish("cpu", cpu_);
  wish("string", limit_);
  wish("hex", hex_ == 0 ? "" : std::to_string(hex_));
  wish("paths", fd_paths_ ? "1" : "");
  wish("overflow", overflow_);
  wish("ring", ring_);
  wish("trigger", trigger_);
  wish("stack", stack_ ? "1" : "");
  if (count_) wish("mode", "count");
  for (const std::string& one : options.wishes) {
    if (one.find('\n') != std::string::npos) return fail(Errc::kMalformed, "an option has a newline in it");
  }
  RS_TRY(add_times(options));
  options.lines.took = took_;
  options.lines.comm = comms_;
  options.lines.attached = !quiet_;
  options.lines.column = column_;
  options.lines.pid = options.output.empty() ? LineStyle::Pid::kBrackets : LineStyle::Pid::kPlain;
  using Show = StraceOptions::Show;
  options.show = json_ ? Show::kJson : count_ ? Show::kSummary : count_too_ ? Show::kBoth : Show::kLines;
  options.sort = sort_ == "calls"     ? SortBy::kCalls
                 : sort_ == "errors"  ? SortBy::kErrors
                 : sort_ == "name"    ? SortBy::kName
                 : sort_ == "nothing" ? SortBy::kNothing
                                      : SortBy::kTime;
  return options;
}

}  // namespace ringside::cli
