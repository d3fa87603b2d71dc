#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <stdexcept>
#include <thread>

#include <fcntl.h>
#include <poll.h>
#include <signal.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fmt/format.h>

#include "tests/bench/client.hpp"
#include "tests/bench/lines.hpp"

namespace ringside::bench {
namespace {

// A command and what it prints; its whole process group ends with this.
class Child {
 public:
  explicit Child(char* const* command) {
    int ends[2];
    if (::pipe2(ends, O_CLOEXEC) != 0) throw std::runtime_error("pipe");
    output_ = ends[0];
    pid_ = ::fork();
    if (pid_ == 0) {
      ::setpgid(0, 0);
      ::dup2(ends[1], 1);
      ::dup2(ends[1], 2);
      ::execvp(command[0], command);
      ::_exit(127);
    }
    ::close(ends[1]);
  }
  ~Child() {
    ::kill(-pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    ::close(output_);
  }
  Child(const Child&) = delete;
  Child& operator=(const Child&) = delete;

  // False when it has not printed `mark` before it ended, or `seconds` were over.
  bool prints(std::string_view mark, double seconds, Clock::time_point start) {
    while (seen_.find(mark) == seen_.npos) {
      pollfd wait{.fd = output_, .events = POLLIN, .revents = 0};
      if (seconds_since(start) > seconds) return false;
      if (::poll(&wait, 1, 100) <= 0) continue;
      std::array<char, 4096> buffer{};
      const ssize_t got = ::read(output_, buffer.data(), buffer.size());
      if (got <= 0) return false;
      seen_.append(buffer.data(), static_cast<std::size_t>(got));
    }
    return true;
  }
  const std::string& seen() const { return seen_; }

 private:
  pid_t pid_ = -1;
  int output_ = -1;
  std::string seen_;
};

Figures boot_line(Arguments arguments) {
  const auto start = Clock::now();
  Child child(arguments.data() + 2);
  const bool up = child.prints(arguments[0], std::atof(arguments[1]), start);
  const double took = seconds_since(start);
  if (!up) throw std::runtime_error(fmt::format("no \"{}\" in:\n{}", arguments[0], child.seen()));
  return {{"boot_ms", 1e3 * took}};
}

// Time on a CPU of all threads so far (/proc/PID/task/TID/schedstat; the ticks of stat are too coarse).
double cpu_seconds(const std::string& pid) {
  double nanoseconds = 0;
  for (const auto& task : std::filesystem::directory_iterator("/proc/" + pid + "/task")) {
    double one = 0;
    if (!(std::ifstream(task.path() / "schedstat") >> one)) throw std::runtime_error("no schedstat");
    nanoseconds += one;
  }
  return nanoseconds / 1e9;
}

Figures idle_line(Arguments arguments) {
  const std::string pid = arguments[0];
  const double seconds = std::atof(arguments[1]);
  const double before = cpu_seconds(pid);
  std::this_thread::sleep_for(std::chrono::duration<double>(seconds));
  return {{"idle_cpu_percent", 100 * (cpu_seconds(pid) - before) / seconds}};
}

}  // namespace

std::span<const Line> process_lines() {
  static constexpr std::array kLines = {
      Line{"boot", "MARK SECONDS COMMAND...", 3, boot_line},
      Line{"idle", "PID SECONDS", 2, idle_line},
  };
  return kLines;
}

}  // namespace ringside::bench
