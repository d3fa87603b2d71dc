#include "stub/strace/stack_text.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "tests/fakes/plain_hit.hpp"
#include "tests/unit/guestos/small_kernel.hpp"

namespace ringside::strace {
namespace {

using guestos::test::SmallKernel;

PtRegs in_program(std::uint64_t ip) {
  PtRegs regs{};
  regs.ip = ip;
  regs.cs = 0x33;
  return regs;
}

constexpr Gva kProgramStack{0x7ffd0000};

class StackText : public testing::Test {
 protected:
  // Stands in filler_16, which filler_32 has called, and that filler_48.
  StackText() {
    context_.core.gpr[x86::kRsp] = guest_.place(0x9038).value;
    context_.core.gpr[x86::kRbp] = guest_.place(0x9100).value;
  }
  std::string shown(const PtRegs* user) {
    const auto kernel = guest_.kernel();
    const guestos::test::TwoMemories memory(program_, guest_.memory());
    const fakes::PlainHit hit(SmallKernel::kText + 0x104, context_, memory);
    Text text(storage_);
    add_stack(**kernel, hit, user, text);
    return std::string(text.finish());
  }

  SmallKernel guest_;
  guestos::test::FlatMemory program_{kProgramStack, 4096};
  x86::CpuContext context_;
  std::array<char, 8192> storage_;
};

TEST_F(StackText, GoesFromTheHitUpToTheProgram) {
  EXPECT_EQ(shown(nullptr), "filler_16+0x4\nfiller_32+0x8\nfiller_48+0x8\n0x401000\n");
}

TEST_F(StackText, FollowsTheProgramsFramePointers) {
  const Gva frame = kProgramStack, caller = kProgramStack + 0x40;
  program_.put(frame, caller.value);
  program_.put(frame + 8, std::uint64_t{0x402000});
  program_.put(caller, std::uint64_t{0});
  program_.put(caller + 8, std::uint64_t{0x403000});
  PtRegs user = in_program(0x401234);
  user.bp = frame.value;
  EXPECT_EQ(shown(&user), "filler_16+0x4\nfiller_32+0x8\nfiller_48+0x8\n0x401234\n0x402000\n");
}

TEST_F(StackText, ShowsNoFrameOfAProgramThatHasNone) {
  program_.put(kProgramStack, (kProgramStack + 16).value);
  program_.put_text(kProgramStack + 8, "greeting");
  PtRegs user = in_program(0x401234);
  user.bp = kProgramStack.value;
  EXPECT_TRUE(shown(&user).ends_with("\n0x401234\n"));
}

TEST_F(StackText, DoesNotFollowAProgramIntoTheKernel) {
  const Gva frame = guest_.place(0xa000);
  guest_.word(frame, frame + 0x40);
  guest_.word(frame + 8, Gva{0x402000});
  PtRegs user = in_program(0x401234);
  user.bp = frame.value;
  EXPECT_TRUE(shown(&user).ends_with("\n0x401234\n"));
}

TEST_F(StackText, SaysWhereTheKernelsWayIsLost) {
  context_.core.gpr[x86::kRsp] = 0x1000;
  const PtRegs user = in_program(0x401234);
  EXPECT_EQ(shown(&user), "filler_16+0x4\n?\n0x401234\n");
  EXPECT_EQ(shown(nullptr), "filler_16+0x4\n?\n");
}

TEST_F(StackText, SaysThatThereIsMore) {
  for (std::uint64_t i = 0; i < 100; ++i)
    guest_.word(guest_.place(0xb000) + 8 * i, SmallKernel::kText + 0x108);
  context_.core.gpr[x86::kRsp] = guest_.place(0xb000).value;
  const std::string text = shown(nullptr);
  EXPECT_EQ(std::ranges::count(text, '\n'), 65);
  EXPECT_TRUE(text.ends_with("filler_16+0x8\n...\n"));
}

}  // namespace
}  // namespace ringside::strace
