#include "vmm/run/doctor.hpp"

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstring>

#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "vmm/kvm/fd.hpp"
#include "vmm/run/probes.hpp"

namespace ringside::run {
namespace {

using Clock = std::chrono::steady_clock;

// Generous for a KVM that is itself emulated; a probe takes some milliseconds on a real one.
constexpr auto kPatience = std::chrono::seconds(5);
constexpr int kMissing = 1;

// In the probe's own process: the answer goes to stderr, where a failed check of ours would go as well.
[[noreturn]] void answer(const Probe& probe, int pipe) {
  ::dup2(pipe, STDERR_FILENO);
  const Result<void> result = probe.attempt();
  if (!result) fmt::print(stderr, "{}", result.error().text);
  std::fflush(stderr);
  ::_exit(result ? 0 : kMissing);
}

// Everything that comes out of the pipe, up to its end; false when patience ends first.
bool listen(const kvm::Fd& pipe, std::string& text) {
  const auto deadline = Clock::now() + kPatience;
  for (;;) {
    const auto left = std::chrono::duration_cast<std::chrono::milliseconds>(deadline - Clock::now());
    pollfd wait{.fd = pipe.number(), .events = POLLIN, .revents = 0};
    const int ready = ::poll(&wait, 1, static_cast<int>(std::max<std::int64_t>(left.count(), 0)));
    if (ready < 0 && errno == EINTR) continue;
    if (ready <= 0) return false;
    char buffer[512];
    const ssize_t size = ::read(pipe.number(), buffer, sizeof buffer);
    if (size <= 0) return true;
    text.append(buffer, static_cast<std::size_t>(size));
  }
}

std::string first_line(const std::string& text) { return text.substr(0, text.find('\n')); }

// What the probe's process left behind, as what is missing; nothing when all is well.
std::optional<std::string> judge(bool in_time, int status, const std::string& text) {
  if (!in_time) {
    return fmt::format("the guest did not come back within {} s", std::chrono::seconds(kPatience).count());
  }
  if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return std::nullopt;
  if (WIFEXITED(status) && WEXITSTATUS(status) == kMissing) return text;
  return fmt::format("this KVM breaks a rule: {}", text.empty() ? "signal" : first_line(text));
}

std::optional<std::string> attempt(const Probe& probe) {
  int ends[2];
  if (::pipe(ends) != 0) return fmt::format("no pipe: {}", std::strerror(errno));
  const kvm::Fd reading(ends[0]);
  kvm::Fd writing(ends[1]);
  const pid_t child = ::fork();
  if (child < 0) return fmt::format("no process: {}", std::strerror(errno));
  if (child == 0) answer(probe, writing.number());
  writing = kvm::Fd();
  std::string text;
  const bool in_time = listen(reading, text);
  if (!in_time) ::kill(child, SIGKILL);
  int status = 0;
  while (::waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  return judge(in_time, status, text);
}

std::string list_of(const std::vector<Finding>& findings, bool needed) {
  std::string text;
  for (const Finding& finding : findings) {
    if (!finding.missing || finding.needed != needed) continue;
    text += fmt::format("{}{}", text.empty() ? "" : ", ", finding.what);
  }
  return text;
}

}  // namespace

std::vector<Finding> examine(const std::function<void(const Finding&)>& tell) {
  std::vector<Finding> findings;
  for (const Probe& probe : probes()) {
    findings.push_back({.what = probe.what, .needed = probe.needed, .missing = attempt(probe)});
    tell(findings.back());
    if (probe.vital && findings.back().missing) break;
  }
  return findings;
}

bool can_run(const std::vector<Finding>& findings) {
  return std::ranges::none_of(findings, [](const Finding& f) { return f.needed && f.missing; });
}

std::string verdict(const std::vector<Finding>& findings) {
  if (can_run(findings)) {
    const std::string without = list_of(findings, false);
    if (without.empty()) return "ringside run will work on this machine.";
    return fmt::format("ringside run will work on this machine, but without: {}.", without);
  }
  const Finding& last = findings.back();
  if (findings.size() == 1) return fmt::format("ringside run will not work here: {}.", *last.missing);
  return fmt::format(
      "ringside run will not work here, because this KVM lacks: {}; use a machine with hardware "
      "virtualisation, "
      "or the lab, an emulated machine with a KVM that can do it (tests/lab/README.md).",
      list_of(findings, true));
}

}  // namespace ringside::run
