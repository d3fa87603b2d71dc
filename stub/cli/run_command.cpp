#include "stub/cli/run_command.hpp"

#include <algorithm>
#include <atomic>
#include <chrono>
#include <cstdio>
#include <memory>
#include <vector>

#include <signal.h>

#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <boost/asio/steady_timer.hpp>
#include <fmt/format.h>

#include "stub/cli/dump_on.hpp"
#include "stub/cli/terminal.hpp"
#include "stub/hub/hub.hpp"
#include "stub/session/listener.hpp"
#include "vmm/run/kvm_machine.hpp"

namespace ringside::cli {
namespace {

namespace asio = boost::asio;
constexpr int kCannotStart = 2;

int exit_status(api::GuestEnd end) {
  switch (end) {
    case api::GuestEnd::kPowerOff:
      return 0;
    case api::GuestEnd::kReboot:
      return 10;
    case api::GuestEnd::kHalt:
      return 11;
    case api::GuestEnd::kTripleFault:
      return 12;
    case api::GuestEnd::kFailure:
      return 13;
    case api::GuestEnd::kQuit:
      return 14;
  }
  return 13;
}

const char* end_text(api::GuestEnd end) {
  switch (end) {
    case api::GuestEnd::kPowerOff:
      return "the guest powered off";
    case api::GuestEnd::kReboot:
      return "the guest rebooted";
    case api::GuestEnd::kHalt:
      return "the guest halted";
    case api::GuestEnd::kTripleFault:
      return "triple fault";
    case api::GuestEnd::kFailure:
      return "KVM cannot go on";
    case api::GuestEnd::kQuit:
      return "ended";
  }
  return "";
}

// Everything of one run, on one thread but for the vCPUs'.
class Run {
 public:
  explicit Run(const RunOptions& options) : options_(options) {}
  Result<int> execute();

 private:
  Result<void> listen();
  void watch_signals();
  void every_second();
  void flush_console_soon();
  void finish(api::GuestEnd end, const std::string& detail);
  void leave_when_flushed(int tries);

  const RunOptions& options_;
  asio::io_context io_{1};
  std::vector<std::unique_ptr<session::Listener>> listeners_;
  std::unique_ptr<run::KvmMachine> machine_;
  std::unique_ptr<hub::Hub> hub_;
  std::optional<DumpOn> dump_on_;
  std::unique_ptr<Terminal> terminal_;
  asio::signal_set signals_{io_};
  asio::steady_timer second_{io_};
  asio::steady_timer flush_{io_};
  std::atomic<bool> flush_armed_{false};
  int status_ = 0;
};

Result<int> Run::execute() {
  RS_TRY(listen());
  machine_ = RS_TRY(run::KvmMachine::create({.boot = options_.boot,
                                             .ram_bytes = options_.ram_bytes,
                                             .console = [](std::string_view text) { Terminal::write(text); },
                                             .console_waits = [this] { flush_console_soon(); }}));
  hub_ = std::make_unique<hub::Hub>(
      io_.get_executor(), *machine_,
      hub::Hub::Callbacks{
          .on_end = [this](api::GuestEnd end, const std::string& detail) { finish(end, detail); },
          .on_trouble = [this](const std::string& text) { dump_on_->on_trouble(text); }});
  terminal_ = std::make_unique<Terminal>(
      io_.get_executor(),
      Terminal::Callbacks{.type = [this](std::string_view text) { return machine_->type(text); },
                          .leave = [this] { hub_->on_end(api::GuestEnd::kQuit, {}); }});
  watch_signals();
  if (!options_.dump_on.empty()) {
    dump_on_.emplace(options_.dump_file);
    RS_TRY(dump_on_->attach(*hub_));
    RS_TRY(hub_->notice(options_.dump_on));
  }
  if (!options_.stop_at.empty()) RS_TRY(hub_->stop_at(options_.stop_at, false));
  if (!options_.stop_on.empty()) RS_TRY(hub_->stop_at(options_.stop_on, true));
  RS_TRY(hub_->start(options_.wait));
  for (auto& listener : listeners_) listener->start(*hub_);
  terminal_->start();
  every_second();
  io_.run();
  // vCPU threads end before what they report to.
  terminal_->stop();
  listeners_.clear();
  dump_on_.reset();
  machine_.reset();
  return status_;
}

Result<void> Run::listen() {
  for (const std::string& address : options_.gdb) {
    auto listener = RS_TRY(session::Listener::open(io_.get_executor(), address));
    fmt::print(stderr, "ringside: listening for gdb: target remote {}{}\n", listener->name(),
               listener->read_only() ? " (read-only)" : "");
    listeners_.push_back(std::move(listener));
  }
  const char* waiting = options_.wait               ? "--wait"
                        : !options_.stop_at.empty() ? "--stop-at"
                        : !options_.stop_on.empty() ? "--stop-on"
                                                    : nullptr;
  if (waiting != nullptr && listeners_.empty()) {
    return fail(Errc::kMalformed,
                fmt::format("{} waits for a gdb, but there is no --gdb to come in by", waiting));
  }
  return {};
}

void Run::watch_signals() {
  for (const int number : {SIGINT, SIGTERM, SIGHUP}) signals_.add(number);
  signals_.async_wait([this](boost::system::error_code error, int) {
    if (!error) hub_->on_end(api::GuestEnd::kQuit, {});
  });
}

void Run::every_second() {
  second_.expires_after(std::chrono::seconds(1));
  second_.async_wait([this](boost::system::error_code error) {
    if (error) return;
    machine_->look_for_halt();
    every_second();
  });
}

// Output without a newline (a prompt) is seen a moment later.  Thread: vCPU; one timer at a time.
void Run::flush_console_soon() {
  if (flush_armed_.exchange(true)) return;
  asio::post(io_, [this] {
    flush_.expires_after(std::chrono::milliseconds(20));
    flush_.async_wait([this](boost::system::error_code error) {
      flush_armed_ = false;
      if (!error) machine_->flush_console();
    });
  });
}

void Run::finish(api::GuestEnd end, const std::string& detail) {
  status_ = exit_status(end);
  machine_->flush_console();
  terminal_->stop();
  if (end != api::GuestEnd::kPowerOff) fmt::print(stderr, "ringside: {}\n", end_text(end));
  if (!detail.empty()) fmt::print(stderr, "{}\n", detail);
  for (auto& listener : listeners_) listener->close();
  leave_when_flushed(20);
}

// The last replies get a moment to go out; a peer that does not read cannot keep us.
void Run::leave_when_flushed(int tries) {
  const bool idle = std::ranges::all_of(listeners_, [](const auto& listener) { return listener->idle(); });
  if (idle || tries == 0) {
    io_.stop();
    return;
  }
  second_.expires_after(std::chrono::milliseconds(50));
  second_.async_wait([this, tries](boost::system::error_code) { leave_when_flushed(tries - 1); });
}

}  // namespace

int run_command(const RunOptions& options) {
  ::signal(SIGPIPE, SIG_IGN);
  Run run(options);
  const Result<int> status = run.execute();
  restore_terminal();
  if (!status) {
    fmt::print(stderr, "ringside: {}\n", status.error().text);
    return kCannotStart;
  }
  return *status;
}

}  // namespace ringside::cli
