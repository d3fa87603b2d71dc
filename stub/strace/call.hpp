// One system call of one task, and what its decoder may ask about the process that makes it.
#pragma once

#include <array>
#include <cstdint>

#include "arch/addr.hpp"
#include "arch/guest_view.hpp"
#include "stub/strace/text.hpp"

namespace ringside::strace {

enum class Abi : std::uint8_t {
  kX64,   // syscall with 64-bit numbers and arguments (asm/unistd_64.h)
  kI386,  // int 0x80, sysenter, syscall of a 32-bit process: 32-bit numbers, arguments and structures
};

struct Call {
  Abi abi = Abi::kX64;
  std::uint32_t number = 0;
  std::array<std::uint64_t, 6> args{};
  std::int64_t result =
      0;  // as left in rax, at the return: -4095 … -1 are errors (Linux: include/linux/err.h)

  std::uint64_t stack = 0;  // rsp at the entry, for rt_sigreturn's mask; 0: not known
  // What the return wants to know of the entry, such as the length of an address that accept() was given: the
  // answer of note_entry() (decode.hpp).  0: not known.
  std::uint64_t noted = 0;
};

// How strings and descriptors are shown; names are strace's.
struct Style {
  std::uint32_t string_limit = 32;                                            // -s
  enum class Hex : std::uint8_t { kNone, kNonAscii, kAll } hex = Hex::kNone;  // -x, -xx
  bool fd_paths = false;                                                      // -y
};

// The calling process.  Every answer may be hostile.
class Process {
 public:
  virtual ~Process() = default;
  virtual const VirtualMemory& memory() const noexcept = 0;
  // The path of an open file, as /proc/PID/fd shows it: appended to `into`; false, and nothing, when not
  // known.
  virtual bool fd_path(int fd, Text& into) const noexcept = 0;
  // The working directory, for AT_FDCWD with -y.
  virtual bool working_directory(Text& into) const noexcept = 0;
};

}  // namespace ringside::strace
