// Lines as strace 6.1 prints them, of calls whose memory is made up.  tests/native compares many more with
// strace itself.
#include "stub/strace/decode.hpp"

#include <sys/syscall.h>

#include <gtest/gtest.h>

#include "tests/unit/strace/strace_testing.hpp"

namespace ringside::strace {
namespace {

constexpr std::uint64_t kHere = static_cast<std::uint32_t>(-100);  // AT_FDCWD

class Decode : public ::testing::Test {
 protected:
  std::string line(std::string_view name, std::initializer_list<std::uint64_t> args, std::int64_t result) {
    return line_of(make_call(name, args, result), process, style);
  }
  FakeProcess process;
  Style style;
};

TEST(SyscallTable, KnowsTheNumbersOfThisMachinesHeaders) {
  EXPECT_EQ(find_syscall_number(Abi::kX64, "openat"), SYS_openat);
  EXPECT_EQ(find_syscall_number(Abi::kX64, "futex_waitv"), SYS_futex_waitv);
  EXPECT_EQ(find_syscall_number(Abi::kI386, "mmap2"), 192);
  EXPECT_EQ(name_of(Abi::kI386, 5), "open");
}

TEST(SyscallTable, NumbersWithoutANameGetOneOfTheirNumber) {
  EXPECT_EQ(name_of(Abi::kX64, 400), "");
  EXPECT_EQ(ShownName(Abi::kX64, 400).view(), "syscall_0x190");
  EXPECT_EQ(ShownName(Abi::kX64, 0xffffffff).view(), "syscall_0xffffffff");
}

TEST_F(Decode, ModeIsShownOnlyWhereAFileMayBeMade) {
  const auto path = process.put_path("/etc/passwd");
  EXPECT_EQ(line("openat", {kHere, path, 02000000, 0644}, 3),
            "openat(AT_FDCWD, \"/etc/passwd\", O_RDONLY|O_CLOEXEC) = 3");
  EXPECT_EQ(line("open", {path, 01101, 0644}, -13),
            "open(\"/etc/passwd\", O_WRONLY|O_CREAT|O_TRUNC, 0644) = -1 EACCES (Permission denied)");
}

TEST_F(Decode, DescriptorsCarryTheirPathsWhenAsked) {
  style.fd_paths = true;
  EXPECT_EQ(line("close", {3}, 0), "close(3</etc/passwd>) = 0");
  const auto path = process.put_path("x");
  EXPECT_EQ(line("openat", {kHere, path, 0}, 3), "openat(AT_FDCWD</home>, \"x\", O_RDONLY) = 3</etc/passwd>");
}

TEST_F(Decode, MemoryThatIsNotThereIsShownAsItsAddress) {
  EXPECT_EQ(line("openat", {kHere, 0x10, 0}, -14),
            "openat(AT_FDCWD, 0x10, O_RDONLY) = -1 EFAULT (Bad address)");
  EXPECT_EQ(line("write", {1, 0x10, 5}, 5), "write(1, 0x10, 5) = 5");
  EXPECT_EQ(line("nanosleep", {0x10, 0}, 0), "nanosleep(0x10, NULL) = 0");
  EXPECT_EQ(line("rt_sigprocmask", {0, 0x10, 0, 8}, 0), "rt_sigprocmask(SIG_BLOCK, 0x10, NULL, 8) = 0");
}

TEST_F(Decode, StringsAreCutAndEscaped) {
  const auto bytes = process.put(std::string_view("\0001\001x\t\"\\\377\n", 9));
  EXPECT_EQ(line("write", {1, bytes, 9}, 9), R"(write(1, "\0001\1x\t\"\\\377\n", 9) = 9)");
  const auto longer = process.put(std::string(40, 'a'));
  EXPECT_EQ(line("write", {1, longer, 40}, 40), "write(1, \"" + std::string(32, 'a') + "\"..., 40) = 40");
}

TEST_F(Decode, HexadecimalIsForStringsOutsideAsciiOrForAll) {
  const auto plain = process.put(std::string_view("ab\n", 3));
  const auto binary = process.put(std::string_view("a\200", 2));
  style.hex = Style::Hex::kNonAscii;
  EXPECT_EQ(line("write", {1, plain, 3}, 3), R"(write(1, "ab\n", 3) = 3)");
  EXPECT_EQ(line("write", {1, binary, 2}, 2), R"(write(1, "\x61\x80", 2) = 2)");
  style.hex = Style::Hex::kAll;
  EXPECT_EQ(line("write", {1, plain, 3}, 3), R"(write(1, "\x61\x62\x0a", 3) = 3)");
}

TEST_F(Decode, WhatTheKernelFillsInIsReadAtTheReturn) {
  const auto bytes = process.put(std::string_view("hello"));
  const Call call = make_call("read", {3, bytes, 100}, 5);
  std::array<char, 256> storage;
  Text entry{storage};
  print_entry(call, process, style, entry);
  EXPECT_EQ(entry.view(), "3");
  EXPECT_FALSE(complete_at_entry(call));
  EXPECT_EQ(line_of(call, process), "read(3, \"hello\", 100) = 5");
  EXPECT_EQ(line("read", {3, bytes, 100}, -9),
            "read(3, " + fmt::format("{:#x}", bytes) + ", 100) = -1 EBADF (Bad file descriptor)");
}

TEST_F(Decode, MappingsAreInHexadecimal) {
  EXPECT_EQ(line("mmap", {0, 4096, 3, 0x22, 0xffffffff, 0}, 0x7f0000001000),
            "mmap(NULL, 4096, PROT_READ|PROT_WRITE, MAP_PRIVATE|MAP_ANONYMOUS, -1, 0) = 0x7f0000001000");
  EXPECT_EQ(line("brk", {0}, 0x5000), "brk(NULL) = 0x5000");
  EXPECT_EQ(line("mremap", {0x1000, 4096, 8192, 1}, 0x5000),
            "mremap(0x1000, 4096, 8192, MREMAP_MAYMOVE) = 0x5000");
}

TEST_F(Decode, SignalsAndTheirSets) {
  const auto action = process.put_words<std::uint64_t>({0x1234, 0x14000000, 0x5678, 1 << 13 | 1 << 16});
  EXPECT_EQ(line("rt_sigaction", {17, action, 0, 8}, 0),
            "rt_sigaction(SIGCHLD, {sa_handler=0x1234, sa_mask=[ALRM CHLD], sa_flags=SA_RESTORER|SA_RESTART, "
            "sa_restorer=0x5678}, NULL, 8) = 0");
  const auto all_but_quit = process.put_words<std::uint64_t>({~std::uint64_t{4}});
  EXPECT_EQ(line("rt_sigprocmask", {0, all_but_quit, 0, 8}, 0),
            "rt_sigprocmask(SIG_BLOCK, ~[QUIT], NULL, 8) = 0");
  EXPECT_EQ(line("kill", {0xffffffff, 9}, 0), "kill(-1, SIGKILL) = 0");
}

TEST_F(Decode, TheMaskOfASignalReturnComesFromTheStack) {
  std::vector<std::uint64_t> frame(64);
  frame[37] = 1;  // uc_sigmask: 296 bytes from the ucontext
  Call call = make_call("rt_sigreturn", {}, 0);
  call.stack = process.put({reinterpret_cast<const std::uint8_t*>(frame.data()), 512});
  EXPECT_EQ(line_of(call, process), "rt_sigreturn({mask=[HUP]}) = 0");
}

TEST_F(Decode, OfI386TheMaskLiesInEitherOfTwoFrames) {
  std::vector<std::uint32_t> frame(256);
  frame[80 / 4] = 1;          // sigcontext's oldmask
  frame[712 / 4] = 1;         // extramask
  frame[248 / 4] = 1u << 14;  // uc_sigmask
  const auto stack = process.put({reinterpret_cast<const std::uint8_t*>(frame.data()), 1024});
  for (const auto& [name, shown] : {std::pair{"sigreturn", "sigreturn({mask=[HUP RT_1]}) = 0"},
                                    std::pair{"rt_sigreturn", "rt_sigreturn({mask=[TERM]}) = 0"}}) {
    Call call = make_call(name, {}, 0, Abi::kI386);
    call.stack = stack;
    EXPECT_EQ(line_of(call, process), shown);
  }
}

TEST_F(Decode, SocketcallAndIpcAreTheCallThatIsMeant) {
  const auto line_of_meant = [&](std::string_view name, std::initializer_list<std::uint64_t> args,
                                 std::int64_t result) {
    return line_of(demultiplexed(make_call(name, args, result, Abi::kI386), process), process);
  };
  const auto socket = process.put_words<std::uint32_t>({1, 0x80001, 0});
  EXPECT_EQ(line_of_meant("socketcall", {1, socket}, 3), "socket(AF_UNIX, SOCK_STREAM|SOCK_CLOEXEC, 0) = 3");
  const auto received = process.put_words<std::uint32_t>({3, 0, 5, 0x40});
  EXPECT_EQ(line_of_meant("socketcall", {10, received}, -11),
            "recv(3, NULL, 5, MSG_DONTWAIT) = -1 EAGAIN (Resource temporarily unavailable)");
  EXPECT_EQ(line_of_meant("socketcall", {1, 16}, -14),
            "socketcall(SYS_SOCKET, 0x10) = -1 EFAULT (Bad address)");
  EXPECT_EQ(line_of_meant("ipc", {2, 0x1234, 3, 0600}, 0), "semget(0x1234, 3, 0600) = 0");
  const auto value = process.put_words<std::uint32_t>({7});
  EXPECT_EQ(line_of_meant("ipc", {3, 5, 0, 0x110, value}, 0), "semctl(5, 0, IPC_64|SETVAL, [0x7]) = 0");
  EXPECT_EQ(line_of_meant("ipc", {99, 1, 2, 3, 4, 5}, 0), "ipc(99, 0x1, 0x2, 0x3, 0x4, 0x5) = 0");
  EXPECT_EQ(demultiplexed(make_call("mmap", {}, 0), process).number, static_cast<std::uint32_t>(SYS_mmap));
}

TEST_F(Decode, WhatTheKernelFillsInOfSystemVIsShownWhenItHas) {
  std::vector<std::uint32_t> words(30);
  words[1] = 1000;       // uid
  words[5] = 0600;       // mode
  words[48 / 4] = 4096;  // size of the segment
  const auto memory = process.put({reinterpret_cast<const std::uint8_t*>(words.data()), 120});
  const std::string at = fmt::format("{:#x}", memory);
  EXPECT_EQ(
      line("shmctl", {5, 2, memory}, 0),
      "shmctl(5, IPC_STAT, {shm_perm={uid=1000, gid=0, mode=0600, key=0, cuid=0, cgid=0}, "
      "shm_segsz=4096, shm_cpid=0, shm_lpid=0, shm_nattch=0, shm_atime=0, shm_dtime=0, shm_ctime=0}) = 0");
  EXPECT_EQ(line("shmctl", {5, 2, memory}, -13),
            "shmctl(5, IPC_STAT, " + at + ") = -1 EACCES (Permission denied)");
  EXPECT_EQ(line("shmctl", {5, 1, memory}, 0),
            "shmctl(5, IPC_SET, {shm_perm={uid=1000, gid=0, mode=0600}}) = 0");
}

TEST_F(Decode, BpfIsShownAsFarAsItsSizeReaches) {
  const auto memory = process.put_words<std::uint32_t>({1, 4, 8, 16, 1, 0, 0, 0x6d616e, 0, 0, 0, 0});
  EXPECT_EQ(
      line("bpf", {0, memory, 16}, 3),
      "bpf(BPF_MAP_CREATE, {map_type=BPF_MAP_TYPE_HASH, key_size=4, value_size=8, max_entries=16}, 16) = 3");
  EXPECT_EQ(line("bpf", {0, memory, 44}, 3),
            "bpf(BPF_MAP_CREATE, {map_type=BPF_MAP_TYPE_HASH, key_size=4, value_size=8, max_entries=16, "
            "map_flags=BPF_F_NO_PREALLOC, inner_map_fd=0, map_name=\"nam\"}, 44) = 3");
  EXPECT_EQ(line("bpf", {0, 16, 44}, -14), "bpf(BPF_MAP_CREATE, 0x10, 44) = -1 EFAULT (Bad address)");
}

TEST_F(Decode, ProcessesAndTheirEnd) {
  EXPECT_EQ(line("clone", {0x1200011, 0, 0, 0x7000}, 5),
            "clone(child_stack=NULL, flags=CLONE_CHILD_CLEARTID|CLONE_CHILD_SETTID|SIGCHLD, "
            "child_tidptr=0x7000) = 5");
  const auto status = process.put_words<std::uint32_t>({0x300});
  EXPECT_EQ(line("wait4", {0xffffffff, status, 0, 0}, 7),
            "wait4(-1, [{WIFEXITED(s) && WEXITSTATUS(s) == 3}], 0, NULL) = 7");
  EXPECT_EQ(line("exit_group", {3}, 0), "exit_group(3) = ?");
  EXPECT_TRUE(never_returns(Abi::kX64, SYS_exit_group));
}

TEST_F(Decode, ExecutionShowsArgumentsAndCountsTheEnvironment) {
  const auto word = process.put_path("-l");
  const auto path = process.put_path("/bin/ls");
  const auto arguments = process.put_words<std::uint64_t>({path, word, 0});
  const auto environment = process.put_words<std::uint64_t>({word, word, 0});
  EXPECT_EQ(line("execve", {path, arguments, environment}, 0), "execve(\"/bin/ls\", [\"/bin/ls\", \"-l\"], " +
                                                                   fmt::format("{:#x}", environment) +
                                                                   " /* 2 vars */) = 0");
}

TEST_F(Decode, SocketAddressesByFamily) {
  const auto inet = process.put(std::string_view("\2\0\0\120\177\0\0\1\0\0\0\0\0\0\0\0", 16));
  EXPECT_EQ(line("connect", {3, inet, 16}, -111),
            "connect(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"127.0.0.1\")}, 16) = -1 "
            "ECONNREFUSED "
            "(Connection refused)");
  const auto local = process.put(std::string_view("\1\0/tmp/x\0", 9));
  EXPECT_EQ(line("bind", {3, local, 9}, 0), "bind(3, {sa_family=AF_UNIX, sun_path=\"/tmp/x\"}, 9) = 0");
}

TEST_F(Decode, LengthsThatTheKernelReplacesAreShownBeforeAndAfter) {
  const auto address = process.put(std::string_view("\2\0\0\120\177\0\0\1\0\0\0\0\0\0\0\0", 16));
  const auto length = process.put_words<std::uint32_t>({16});
  Call call = make_call("accept", {3, address, length}, 4);
  const std::string shown =
      "accept(3, {sa_family=AF_INET, sin_port=htons(80), sin_addr=inet_addr(\"127.0.0.1\")}, ";
  EXPECT_EQ(line_of(call, process), shown + "[16]) = 4");
  call.noted = 129;
  EXPECT_EQ(line_of(call, process), shown + "[128 => 16]) = 4");
  EXPECT_EQ(note_entry(call, process), 17u);
}

TEST_F(Decode, PollingSaysWhatIsReady) {
  const auto fds = process.put_words<std::uint64_t>({0x0001000100000003, 0x0000000400000004});
  EXPECT_EQ(line("poll", {fds, 2, 5}, 1),
            "poll([{fd=3, events=POLLIN}, {fd=4, events=POLLOUT}], 2, 5) = 1 ([{fd=3, revents=POLLIN}])");
  EXPECT_EQ(line("poll", {fds, 2, 5}, 0),
            "poll([{fd=3, events=POLLIN}, {fd=4, events=POLLOUT}], 2, 5) = 0 (Timeout)");
}

TEST_F(Decode, InternalErrorsAreTold) {
  EXPECT_EQ(line("pause", {}, -514), "pause() = ? ERESTARTNOHAND (To be restarted if no handler)");
  const auto time = process.put_words<std::uint64_t>({1, 5});
  EXPECT_EQ(line("nanosleep", {time, time}, -516),
            "nanosleep({tv_sec=1, tv_nsec=5}, {tv_sec=1, tv_nsec=5}) = ? ERESTART_RESTARTBLOCK (Interrupted "
            "by signal)");
}

TEST_F(Decode, RequestsOfDevicesByName) {
  const auto size = process.put_words<std::uint16_t>({24, 80, 0, 0});
  EXPECT_EQ(line("ioctl", {1, 0x5413, size}, 0),
            "ioctl(1, TIOCGWINSZ, {ws_row=24, ws_col=80, ws_xpixel=0, ws_ypixel=0}) = 0");
  EXPECT_EQ(line("ioctl", {3, 0xc0481234, 5}, -25),
            "ioctl(3, _IOC(_IOC_READ|_IOC_WRITE, 0x12, 0x34, 0x48), 0x5) = -1 ENOTTY (Inappropriate ioctl "
            "for device)");
}

TEST_F(Decode, CallsOf32BitProcessesHave32BitStructures) {
  const auto time = process.put_words<std::uint32_t>({1, 5});
  EXPECT_EQ(line_of(make_call("nanosleep", {time, 0}, 0, Abi::kI386), process),
            "nanosleep({tv_sec=1, tv_nsec=5}, NULL) = 0");
  EXPECT_EQ(line_of(make_call("pread64", {3, 0, 10, 1, 1}, -9, Abi::kI386), process),
            "pread64(3, NULL, 10, 4294967297) = -1 EBADF (Bad file descriptor)");
  const auto iov = process.put_words<std::uint32_t>({0x1000, 5});
  EXPECT_EQ(line_of(make_call("writev", {1, iov, 1}, 5, Abi::kI386), process),
            "writev(1, [{iov_base=0x1000, iov_len=5}], 1) = 5");
}

TEST_F(Decode, CallsWithoutANameShowAllTheirRegisters) {
  Call call;
  call.number = 400;
  call.args = {1, 2, 0, 0, 0, 6};
  call.result = -38;
  EXPECT_EQ(line_of(call, process),
            "syscall_0x190(0x1, 0x2, 0, 0, 0, 0x6) = -1 ENOSYS (Function not implemented)");
}

std::string signal_line(int number, std::initializer_list<std::uint32_t> words) {
  std::vector<std::uint32_t> info(words);
  info.resize(32);
  std::array<char, 1024> storage;
  Text text{storage};
  print_signal(number, {reinterpret_cast<const std::uint8_t*>(info.data()), 128}, text);
  return std::string(text.view());
}

TEST(SignalInfo, IsShownByItsCode) {
  EXPECT_EQ(signal_line(17, {17, 0, 1, 0, 55, 1000, 3}),
            "SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, si_pid=55, si_uid=1000, si_status=3, si_utime=0, "
            "si_stime=0}");
  EXPECT_EQ(signal_line(11, {11, 0, 1, 0, 0x10, 0}),
            "SIGSEGV {si_signo=SIGSEGV, si_code=SEGV_MAPERR, si_addr=0x10}");
  EXPECT_EQ(signal_line(10, {10, 0, 0, 0, 55, 1000}),
            "SIGUSR1 {si_signo=SIGUSR1, si_code=SI_USER, si_pid=55, si_uid=1000}");
}

TEST_F(Decode, HostileCountsEndSoon) {
  const auto page = process.put(std::string(kPageSize, '\xff'));
  for (std::uint32_t number = 0; number < kSyscallNumbers; ++number) {
    Call call;
    call.number = number;
    call.args = {page, page, page, page, page, page};
    call.result = 0x7fffffffffff;
    const std::size_t before = process.reads();
    const std::string shown = line_of(call, process);
    EXPECT_LT(process.reads() - before, 300'000u) << shown;
  }
}

}  // namespace
}  // namespace ringside::strace
