#include "stub/strace/stack_text.hpp"

#include <array>

#include "stub/strace/process_view.hpp"

namespace ringside::strace {
namespace {

constexpr std::size_t kMostKernelFrames = 64;  // as the kernel shows in /proc/PID/stack
constexpr int kMostUserFrames = 32;

using guestos::StackFrame;
using guestos::StackRegisters;
using guestos::StackWalk;

// The guest chose it; a frame is a line.
void add_name(std::string_view name, Text& into) noexcept {
  for (const char c : name) into.add(c > ' ' && c < '\x7f' ? c : '?');
}

void add_frame(const guestos::Kernel& kernel, const StackFrame& frame, const VirtualMemory& memory,
               Text& into) noexcept {
  std::array<char, 576> names;
  const std::uint64_t back = frame.behind_call ? 1 : 0;
  const auto place = kernel.place(frame.ip - back, memory, names);
  if (!place) {
    into.format("{:#x}\n", frame.ip.value);
    return;
  }
  add_name(place->name, into);
  into.format("+{:#x}", place->offset + back);
  if (!place->module.empty()) {
    into.add(" [");
    add_name(place->module, into);
    into.add(']');
  }
  into.add('\n');
}

// A program without frame pointers has anything there; what cannot be an address of a program's is no frame.
template <typename Word>
void add_callers(std::uint64_t frame, const VirtualMemory& memory, Text& into) noexcept {
  constexpr std::uint64_t kUserEnd = std::uint64_t{1} << 56;  // with five levels of page tables
  const UserMemory own(memory);
  for (int i = 0; i < kMostUserFrames; ++i) {
    const auto link = own.load_at<std::array<Word, 2>>({frame});
    if (!link || (*link)[0] <= frame || (*link)[1] == 0 || (*link)[1] >= kUserEnd) break;
    into.format("{:#x}\n", (*link)[1]);
    frame = (*link)[0];
  }
}

StackRegisters registers_of(const x86::CoreRegs& core) {
  using namespace x86;
  return {.ip = Gva{core.rip},
          .sp = Gva{core.gpr[kRsp]},
          .bp = core.gpr[kRbp],
          .others = StackRegisters::Others{.ax = core.gpr[kRax],
                                           .dx = core.gpr[kRdx],
                                           .di = core.gpr[kRdi],
                                           .r10 = core.gpr[kR10],
                                           .r13 = core.gpr[kR13]}};
}

}  // namespace

void add_stack(const guestos::Kernel& kernel, const tracer::Hit& hit, const PtRegs* user,
               Text& into) noexcept {
  std::array<StackFrame, kMostKernelFrames> frames;
  StackRegisters from = registers_of(hit.core());
  from.ip = hit.at();
  const StackWalk walk = kernel.walk_stack(from, hit.memory(), frames);
  for (std::size_t i = 0; i < walk.frames; ++i) add_frame(kernel, frames[i], hit.memory(), into);
  if (walk.end == StackWalk::End::kLost) into.add("?\n");
  if (walk.end == StackWalk::End::kFull) into.add("...\n");
  std::optional<PtRegs> found;
  if (user != nullptr) {
    found = *user;
  } else if (walk.end == StackWalk::End::kUser) {
    found = hit.memory().load_at<PtRegs>(walk.user_regs);
  }
  if (!found) return;
  into.format("{:#x}\n", found->ip);
  if (found->is_64_bit()) {
    add_callers<std::uint64_t>(found->bp, hit.memory(), into);
  } else {
    add_callers<std::uint32_t>(found->bp, hit.memory(), into);
  }
}

}  // namespace ringside::strace
