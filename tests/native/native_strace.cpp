// Our decoders on a program of this machine, by ptrace: what strace -f -ff -o PREFIX does, to be compared
// with it.
//
//   native_strace [-s N] [-x | -xx] [-y] [-i NUMBERS:RESULT] -o PREFIX (PROGRAM [ARGUMENT…] | -p PID)
//
// Each process's calls go to PREFIX.PID, one line each.  With -i the calls of these numbers (commas between
// them) are not made but have that result, as with strace's --inject.
#include <array>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <map>
#include <memory>
#include <set>
#include <string>

#include <linux/audit.h>
#include <signal.h>
#include <sys/ptrace.h>
#include <sys/wait.h>
#include <unistd.h>

#include "stub/strace/decode.hpp"
#include "tests/native/ptrace_process.hpp"

namespace ringside::strace::native {

namespace {

struct Options {
  Style style;
  std::string prefix;
  std::set<std::uint32_t> injected;
  std::int64_t injected_result = 0;
  pid_t attach_to = 0;
};

struct FileCloser {
  void operator()(std::FILE* file) const { std::fclose(file); }
};

class Tracee {
 public:
  Tracee(pid_t pid, const Options& options)
      : pid_(pid),
        options_(options),
        process_(pid),
        file_(std::fopen((options.prefix + "." + std::to_string(pid)).c_str(), "w")) {
    if (!file_) std::abort();
  }

  // Whether what follows is for a call that has begun.
  bool in_call() const { return in_call_; }
  void start_writing() { writing_ = true; }

  void entered(const __ptrace_syscall_info& info) {
    in_call_ = true;
    call_ = Call{};
    call_.abi = info.arch == AUDIT_ARCH_I386 ? Abi::kI386 : Abi::kX64;
    call_.number = static_cast<std::uint32_t>(info.entry.nr);
    for (std::size_t i = 0; i < 6; ++i) call_.args[i] = info.entry.args[i];
    call_.stack = info.stack_pointer;
    number_ = call_.number;
    call_ = demultiplexed(call_, process_.memory());
    call_.noted = note_entry(call_, process_);
    Text text{storage_};
    text.add(ShownName(call_.abi, call_.number).view());
    text.add("(");
    print_entry(call_, process_, options_.style, text);
    line_ = text.view();
    if (never_returns(call_.abi, call_.number)) finish(") = ?");
  }

  void left(std::int64_t result) {
    if (!in_call_) return;
    in_call_ = false;
    call_.result = result;
    Text text{storage_};
    print_return(call_, process_, options_.style, text);
    text.add(") = ");
    print_result(call_, process_, options_.style, text);
    finish(text.view());
  }

  void signalled(int number, ByteView info) {
    Text text{storage_};
    text.add("--- ");
    print_signal(number, info, text);
    text.add(" ---");
    line_.clear();
    finish(text.view());
  }

  void ended(int status) {
    if (in_call_) finish(complete_at_entry(call_) ? ") = ?" : " <unfinished ...>) = ?");
    std::string end = "+++ exited with " + std::to_string(WEXITSTATUS(status)) + " +++";
    if (WIFSIGNALED(status)) {
      end = "+++ killed by " + std::string(signal_name(WTERMSIG(status))) +
            (WCOREDUMP(status) ? " (core dumped) +++" : " +++");
    }
    line_.clear();
    finish(end);
  }

  std::uint32_t number() const { return number_; }  // of the call, whatever it means

 private:
  void finish(std::string_view rest) {
    in_call_ = false;
    line_ += rest;
    std::string shown;
    for (const char c : line_) c == Text::kNextArgument ? shown += ", " : shown += c;
    if (writing_) std::fprintf(file_.get(), "%s\n", shown.c_str());
    line_.clear();
  }

  pid_t pid_;
  const Options& options_;
  PtraceProcess process_;
  std::unique_ptr<std::FILE, FileCloser> file_;
  std::array<char, 1 << 16> storage_;
  std::string line_;
  Call call_;
  std::uint32_t number_ = 0;
  bool in_call_ = false;
  bool writing_ = false;
};

class Tracer {
 public:
  explicit Tracer(const Options& options) : options_(options) {}

  void start(pid_t child) {
    int status = 0;
    ::waitpid(child, &status, 0);
    const long wanted = PTRACE_O_TRACESYSGOOD | PTRACE_O_TRACEFORK | PTRACE_O_TRACEVFORK |
                        PTRACE_O_TRACECLONE | PTRACE_O_TRACEEXEC | PTRACE_O_EXITKILL;
    ::ptrace(PTRACE_SETOPTIONS, child, nullptr, wanted);
    tracees_[child] = std::make_unique<Tracee>(child, options_);
    if (options_.attach_to != 0) tracees_[child]->start_writing();
    ::ptrace(PTRACE_SYSCALL, child, nullptr, nullptr);
  }

  int run(pid_t first) {
    int result = 0;
    while (!tracees_.empty()) {
      int status = 0;
      const pid_t pid = ::waitpid(-1, &status, __WALL);
      if (pid < 0) break;
      if (WIFEXITED(status) || WIFSIGNALED(status)) {
        if (pid == first) result = WIFEXITED(status) ? WEXITSTATUS(status) : 128 + WTERMSIG(status);
        if (const auto found = tracees_.find(pid); found != tracees_.end()) found->second->ended(status);
        tracees_.erase(pid);
      } else {
        stopped(pid, status);
      }
    }
    return result;
  }

 private:
  Tracee& tracee(pid_t pid) {
    auto& slot = tracees_[pid];
    if (!slot) {
      slot = std::make_unique<Tracee>(pid, options_);
      slot->start_writing();
      fresh_.insert(pid);
    }
    return *slot;
  }

  void stopped(pid_t pid, int status) {
    Tracee& who = tracee(pid);
    const int signal = WSTOPSIG(status);
    int deliver = 0;
    if (signal == (SIGTRAP | 0x80)) {
      at_syscall(pid, who);
    } else if (status >> 16 != 0) {
      // Events of ptrace need nothing: new tasks stop by themselves.
    } else if (signal == SIGSTOP && fresh_.erase(pid) != 0) {
    } else {
      siginfo_t info{};
      if (::ptrace(PTRACE_GETSIGINFO, pid, nullptr, &info) == 0) {
        who.signalled(signal, bytes_of(info));
        deliver = signal;
      }
    }
    ::ptrace(PTRACE_SYSCALL, pid, nullptr, deliver);
  }

  void at_syscall(pid_t pid, Tracee& who) {
    __ptrace_syscall_info info{};
    ::ptrace(PTRACE_GET_SYSCALL_INFO, pid, sizeof info, &info);
    if (info.op == PTRACE_SYSCALL_INFO_ENTRY) {
      if (info.entry.nr == kExecve) who.start_writing();
      who.entered(info);
      if (options_.injected.contains(who.number())) skip(pid);
    } else if (info.op == PTRACE_SYSCALL_INFO_EXIT) {
      const bool skipped = options_.injected.contains(who.number()) && who.in_call();
      if (skipped) ::ptrace(PTRACE_POKEUSER, pid, kRax, options_.injected_result);
      who.left(skipped ? options_.injected_result : info.exit.rval);
    }
  }

  static constexpr std::uint64_t kExecve = 59;
  static constexpr long kRax = 10 * 8;  // offsets in struct user
  static constexpr long kOrigRax = 15 * 8;
  static void skip(pid_t pid) { ::ptrace(PTRACE_POKEUSER, pid, kOrigRax, -1L); }

  const Options& options_;
  std::map<pid_t, std::unique_ptr<Tracee>> tracees_;
  std::set<pid_t> fresh_;  // whose first SIGSTOP is ptrace's
};

void parse_injection(Options& options, const char* text) {
  char* end = nullptr;
  while (true) {
    options.injected.insert(static_cast<std::uint32_t>(std::strtoul(text, &end, 0)));
    if (*end != ',') break;
    text = end + 1;
  }
  if (*end == ':') options.injected_result = std::strtoll(end + 1, nullptr, 0);
}

int main_of(int argc, char** argv) {
  Options options;
  int option = 0;
  while ((option = ::getopt(argc, argv, "+s:xyi:o:p:")) != -1) {
    switch (option) {
      case 's':
        options.style.string_limit = static_cast<std::uint32_t>(std::atoi(optarg));
        break;
      case 'x':
        options.style.hex = options.style.hex == Style::Hex::kNone ? Style::Hex::kNonAscii : Style::Hex::kAll;
        break;
      case 'y':
        options.style.fd_paths = true;
        break;
      case 'i':
        parse_injection(options, optarg);
        break;
      case 'p':
        options.attach_to = std::atoi(optarg);
        break;
      case 'o':
        options.prefix = optarg;
        break;
      default:
        return 2;
    }
  }
  if (options.prefix.empty() || (optind >= argc && options.attach_to == 0)) return 2;
  Tracer tracer(options);
  if (options.attach_to != 0) {
    if (::ptrace(PTRACE_ATTACH, options.attach_to, nullptr, nullptr) != 0) return 1;
    tracer.start(options.attach_to);
    std::fprintf(stderr, "attached\n");
    return tracer.run(options.attach_to);
  }
  const pid_t child = ::fork();
  if (child == 0) {
    ::ptrace(PTRACE_TRACEME, 0, nullptr, nullptr);
    ::raise(SIGSTOP);
    ::execvp(argv[optind], argv + optind);
    ::_exit(127);
  }
  tracer.start(child);
  return tracer.run(child);
}

}  // namespace

}  // namespace ringside::strace::native

int main(int argc, char** argv) { return ringside::strace::native::main_of(argc, argv); }
