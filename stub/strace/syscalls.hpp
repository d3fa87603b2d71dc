// The table of system calls (syscalls.def): names, classes, results, kinds of arguments.
//
// Thread: any; constant.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <span>
#include <string_view>

#include "stub/strace/arguments.hpp"
#include "stub/strace/call.hpp"

namespace ringside::strace {

// What a result means, beside errors.
enum class ResultKind : std::uint8_t {
  kInt,
  kHex,
  kOctal,
  kFd,
  kNever,
  kAffinity,
  kBpf,
  kFcntl,
  kIoctl,
  kIoprio,
  kMembarrier,
  kMask,
  kOldMask,
  kPersonality,
  kPolicy,
  kPoll,
  kPrctl,
  kRecvmmsg,
  kSelect,
  kShmat,
  kSignal,
  kSocketcall,
  kTime,
  kTimes,
  kTimex,
};

// strace's classes (-e trace=%file), as bits.
enum Class : std::uint32_t {
  kFile = 1u << 0,
  kDesc = 1u << 1,
  kNetwork = 1u << 2,
  kProcess = 1u << 3,
  kSignal = 1u << 4,
  kIpc = 1u << 5,
  kMemory = 1u << 6,
  kStat = 1u << 7,
  kLstat = 1u << 8,
  kFstat = 1u << 9,
  kStatfs = 1u << 10,
  kFstatfs = 1u << 11,
  kClock = 1u << 12,
  kCreds = 1u << 13,
  kPure = 1u << 14,
  kAnyStat = 1u << 15,    // %%stat
  kAnyStatfs = 1u << 16,  // %%statfs
};

struct Syscall {
  std::string_view name;
  ResultKind result = ResultKind::kInt;
  std::uint32_t classes = 0;
  std::size_t argument_count = 0;
  std::array<const Kind*, 6> arguments{};
};

// One more than the highest number of each ABI; those up to it that are not there have no name.
inline constexpr std::size_t kSyscallNumbers = 1024;

// Numbers of our own, for calls that i386 has by way of socketcall and ipc only, or with a difference.
enum : std::uint32_t {
  kAcceptOfSocketcall = 1016,
  kSend = 1017,
  kRecv = 1018,
  kSemopOfIpc = 1019,
  kSemtimedopOfIpc = 1020,
  kSemctlOfIpc = 1021,  // the last argument is the address of what it would be
  kMsgrcvOfIpc = 1022,  // its second argument leads to the message's address and type
  kShmatOfIpc = 1023,   // the address goes where its fourth argument says
};

// Null for a number that has no name.
const Syscall* find_syscall(Abi abi, std::uint32_t number) noexcept;
// No call of that name on that ABI: nothing.
std::optional<std::uint32_t> find_syscall_number(Abi abi, std::string_view name) noexcept;
// "file" or "%file" without its %: the bit; 0 for no such class.
std::uint32_t find_class(std::string_view name) noexcept;

}  // namespace ringside::strace
