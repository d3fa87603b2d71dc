#include "stub/cli/strace_command.hpp"

#include <cerrno>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <memory>

#include <fmt/format.h>

#include "stub/cli/remote.hpp"
#include "stub/rsp/hex.hpp"
#include "stub/strace/json.hpp"
#include "stub/strace/record.hpp"

namespace ringside::cli {
namespace {

constexpr std::size_t kMostRecords = 0x10000;  // bytes of them in one answer

volatile std::sig_atomic_t interrupts = 0;
void on_interrupt(int) { interrupts = interrupts + 1; }

void catch_interrupts() {
  struct sigaction action {};
  action.sa_handler = on_interrupt;
  ::sigaction(SIGINT, &action, nullptr);
  ::sigaction(SIGTERM, &action, nullptr);
  sigset_t blocked;
  ::sigemptyset(&blocked);
  ::sigaddset(&blocked, SIGINT);
  ::sigaddset(&blocked, SIGTERM);
  ::sigprocmask(SIG_BLOCK, &blocked, nullptr);
  ::signal(SIGPIPE, SIG_IGN);
}

struct CloseFile {
  void operator()(std::FILE* file) const {
    if (file != stdout) std::fclose(file);
  }
};
using File = std::unique_ptr<std::FILE, CloseFile>;

Result<File> open_output(const std::string& path) {
  if (path.empty()) return File(stdout);
  File file(std::fopen(path.c_str(), "we"));
  if (!file) return fail(Errc::kSystem, fmt::format("cannot write {}: {}", path, std::strerror(errno)));
  return file;
}

class Show {
 public:
  Show(const StraceOptions& options, std::FILE* out)
      : options_(options), out_(out), lines_(options.lines, [this](std::string_view text) { write(text); }) {}

  // False when it cannot be written.
  bool add(ByteView records) {
    while (const auto record = strace::decode(records)) add(*record);
    return std::fflush(out_) == 0;
  }
  bool end() {
    using enum StraceOptions::Show;
    if (options_.show == kLines || options_.show == kBoth) lines_.end();
    if (options_.show == kSummary || options_.show == kBoth) write(summary_.table(options_.sort));
    return std::fflush(out_) == 0;
  }

 private:
  void add(const strace::Record& record) {
    using enum StraceOptions::Show;
    if (options_.show == kLines || options_.show == kBoth) lines_.add(record);
    if (options_.show == kSummary || options_.show == kBoth) summary_.add(record);
    if (options_.show == kJson) write(json_.add(record));
    if (options_.show == kSummary && record.kind == strace::Record::Kind::kNote)
      fmt::print(stderr, "ringside: {}\n", record.text);
  }
  void write(std::string_view text) { std::fwrite(text.data(), 1, text.size(), out_); }

  const StraceOptions& options_;
  std::FILE* out_;
  strace::Lines lines_;
  strace::Summary summary_;
  strace::JsonLines json_;
};

// "ringside.strace=1;unknown=a,b": an older monitor leaves out what it does not know, and says so.
Result<void> start(Remote& remote, const StraceOptions& options) {
  std::string text;
  for (const std::string& wish : options.wishes) text += wish + '\n';
  const std::string answer = RS_TRY(remote.ask("QRingside.Strace:" + rsp::to_hex(text)));
  if (answer.starts_with("E.")) return fail(Errc::kMalformed, answer.substr(2));
  if (!answer.starts_with("ringside.strace="))
    return fail(Errc::kUnsupported, "this monitor cannot trace system calls; update it");
  const std::size_t unknown = answer.find("unknown=");
  if (unknown != std::string::npos && unknown + 8 < answer.size())
    fmt::print(stderr, "ringside: the monitor is older and ignores: {}\n", answer.substr(unknown + 8));
  return {};
}

// The answer to the read that is out.  The first ^C ends the recording, the second us.
Result<std::string> next_answer(Remote& remote, bool& halted) {
  int owed = 1;
  std::string records;
  while (owed > 0) {
    std::optional<std::string> answer = RS_TRY(remote.receive());
    if (answer && *answer == "OK") {
      --owed;
      continue;
    }
    if (answer) {
      records = std::move(*answer);
      --owed;
      continue;
    }
    if (interrupts > 1) return fail(Errc::kGone, "interrupted");
    if (interrupts == 1 && !std::exchange(halted, true)) {
      RS_TRY(remote.send("QRingside.Halt"));
      ++owed;
    }
  }
  return records;
}

Unexpected<Error> cannot_write(const StraceOptions& options) {
  return fail_errno("write " + (options.output.empty() ? "to stdout" : options.output), errno);
}

Result<void> trace(const StraceOptions& options) {
  const File out = RS_TRY(open_output(options.output));
  const auto remote = RS_TRY(Remote::connect(options.address));
  RS_TRY(start(*remote, options));
  Show show(options, out.get());
  bool halted = false;
  for (bool more = true; more;) {
    RS_TRY(remote->send(fmt::format("qRingside.Records:{:x}", kMostRecords)));
    Result<std::string> answer = next_answer(*remote, halted);
    if (!answer) {
      show.end();
      return fail(answer.error().code, answer.error().text);
    }
    const auto records = rsp::unescape(std::string_view(*answer).substr(answer->empty() ? 0 : 1));
    if (!records) return fail(Errc::kMalformed, "records that cannot be read");
    if (!show.add(*records)) return cannot_write(options);
    more = answer->starts_with('m');
  }
  return show.end() ? Result<void>() : cannot_write(options);
}

}  // namespace

int strace_command(const StraceOptions& options) {
  catch_interrupts();
  const Result<void> done = trace(options);
  if (done) return 0;
  fmt::print(stderr, "ringside: {}\n", done.error().text);
  return 2;
}

}  // namespace ringside::cli
