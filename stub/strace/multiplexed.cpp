// The two calls of i386 that stand for many: socketcall (linux/net.h) and ipc (ipc/syscall.c).
#include <array>
#include <optional>

#include "stub/strace/decode.hpp"
#include "stub/strace/syscalls.hpp"

namespace ringside::strace {

namespace {

constexpr std::uint32_t kSocketcallNumber = 102;
constexpr std::uint32_t kIpcNumber = 117;

std::optional<std::uint32_t> word_at(const VirtualMemory& memory, std::uint64_t at) {
  return memory.load_at<std::uint32_t>(Gva{at});
}

// The second argument is the address of the call's own.
Call of_socketcall(const Call& call, const VirtualMemory& memory) {
  struct Row {
    std::uint32_t number;
    std::uint32_t arguments;
  };
  constexpr Row kCalls[] = {{},       {359, 3}, {361, 3}, {362, 3},   {363, 2},   {kAcceptOfSocketcall, 3},
                            {367, 3}, {368, 3}, {360, 4}, {kSend, 4}, {kRecv, 4}, {369, 6},
                            {371, 6}, {373, 2}, {366, 5}, {365, 5},   {370, 3},   {372, 3},
                            {364, 4}, {337, 5}, {345, 4}};
  const auto which = static_cast<std::uint32_t>(call.args[0]);
  if (which == 0 || which >= std::size(kCalls)) return call;
  Call meant = call;
  meant.number = kCalls[which].number;
  meant.args = {};
  for (std::uint32_t i = 0; i < kCalls[which].arguments; ++i) {
    const auto word = word_at(memory, call.args[1] + std::uint64_t{4} * i);
    if (!word) return call;
    meant.args[i] = *word;
  }
  return meant;
}

// Its arguments: the call and a version, three numbers, a pointer, and a fifth.
Call of_ipc(const Call& call) {
  const auto [which, first, second, third, pointer, fifth] = call.args;
  const auto meant = [&](std::uint32_t number, std::array<std::uint64_t, 6> args) {
    Call other = call;
    other.number = number;
    other.args = args;
    return other;
  };
  switch (which & 0xffff) {
    case 1:
      return meant(kSemopOfIpc, {first, pointer, second});
    case 2:  // SEMGET
      return meant(393, {first, second, third});
    case 3:
      return meant(kSemctlOfIpc, {first, second, third, pointer});
    case 4:
      return meant(kSemtimedopOfIpc, {first, pointer, second, fifth});
    case 11:  // MSGSND
      return meant(400, {first, pointer, second, third});
    case 12:  // MSGRCV
      if (which >> 16 != 0) return meant(401, {first, pointer, second, fifth, third});
      return meant(kMsgrcvOfIpc, {first, pointer, second, third});
    case 13:  // MSGGET
      return meant(399, {first, second});
    case 14:  // MSGCTL
      return meant(402, {first, second, pointer});
    case 21:  // SHMAT: the third argument is where the address goes
      return meant(kShmatOfIpc, {first, pointer, second, third});
    case 22:  // SHMDT
      return meant(398, {pointer});
    case 23:  // SHMGET
      return meant(395, {first, second, third});
    case 24:  // SHMCTL
      return meant(396, {first, second, pointer});
    default:
      return call;
  }
}

}  // namespace

Call demultiplexed(const Call& call, const VirtualMemory& memory) noexcept {
  if (call.abi != Abi::kI386) return call;
  if (call.number == kSocketcallNumber) return of_socketcall(call, memory);
  if (call.number == kIpcNumber) return of_ipc(call);
  return call;
}

}  // namespace ringside::strace
