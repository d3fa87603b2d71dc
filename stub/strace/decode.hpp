// System calls as strace prints them: arguments with their types, flags by name, structures and strings out
// of the process's memory.  What cannot be read prints as the pointer.
//
// Thread: any; on vCPU threads nothing here allocates.  Pure but for what `Process` reads.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <string_view>

#include "arch/bytes.hpp"
#include "stub/strace/call.hpp"

namespace ringside::strace {

// The call's name, which lives for ever; empty for a number that has none.
std::string_view name_of(Abi abi, std::uint32_t number) noexcept;

// The same to be shown: "syscall_0x1f3" for a number that has none.
class ShownName {
 public:
  ShownName(Abi abi, std::uint32_t number) noexcept;
  std::string_view view() const { return name_.empty() ? std::string_view(made_up_.data(), size_) : name_; }

 private:
  std::string_view name_;
  std::array<char, 20> made_up_{};
  std::size_t size_ = 0;
};

// The call that is meant by socketcall() and ipc() of i386, with its own arguments; others, and those that
// cannot be read, as they are.
Call demultiplexed(const Call& call, const VirtualMemory& memory) noexcept;

// The arguments that are known when the call is made, in order, up to the first that the kernel fills in;
// separated by Text::kNextArgument.  No parentheses.
void print_entry(const Call& call, const Process& process, const Style& style, Text& into) noexcept;

// To be kept in Call::noted from entry to return, for values that the kernel replaces: [128 => 16].
std::uint64_t note_entry(const Call& call, const Process& process) noexcept;

// The arguments that print_entry() has left, begun with the separator where one is due; at the return.
void print_return(const Call& call, const Process& process, const Style& style, Text& into) noexcept;

// A path at an address of the process, as arguments have it.
void print_path(Gva at, const Process& process, const Style& style, Text& into) noexcept;

// Whether print_return() will add nothing.  Of a call that is cut short by the end of its process strace then
// says ") = ?", and " <unfinished ...>) = ?" otherwise.
bool complete_at_entry(const Call& call) noexcept;

// What stands behind " = ": "3", "0x7f…", "-1 ENOENT (No such file or directory)", "? ERESTARTSYS (…)",
// "1 ([{fd=3, revents=POLLIN}])", "3</etc/passwd>".  Descriptors get their path with -y.
void print_result(const Call& call, const Process& process, const Style& style, Text& into) noexcept;

// exit, exit_group, a successful execve by another thread: " = ?".
bool never_returns(Abi abi, std::uint32_t number) noexcept;

// "SIGCHLD {si_signo=SIGCHLD, si_code=CLD_EXITED, …}": what stands between "--- " and " ---".  `info` is the
// kernel's siginfo as it is in memory (asm-generic/siginfo.h), or empty.
void print_signal(int number, ByteView info, Text& into) noexcept;
std::string_view signal_name(int number) noexcept;  // "SIGCHLD"; empty for a number that has none

}  // namespace ringside::strace
