#include "disasm/step_plan.hpp"

#include <random>

#include <gtest/gtest.h>

#include "arch/x86/control.hpp"

namespace ringside::disasm {
namespace {

using namespace x86;
using Op = SimpleInsn::Op;

static_assert(std::is_trivially_copyable_v<SimpleInsn>);
static_assert(std::is_trivially_copyable_v<StepPlan>);

constexpr Gva kAt{0xffff'ffff'8100'1000}, kSlot{0xffff'ffff'bfe0'0040};

class PlanTest : public testing::Test {
 protected:
  StepPlan plan(const Bytes& code) { return planner_.plan(code, kAt); }
  RunInScratch scratch(const Bytes& code) {
    const StepPlan made = plan(code);
    const auto* copy = std::get_if<RunInScratch>(&made.how);
    EXPECT_NE(copy, nullptr) << testing::PrintToString(code);
    return copy != nullptr ? *copy : RunInScratch{};
  }
  InPlace in_place(const Bytes& code) {
    const StepPlan made = plan(code);
    const auto* place = std::get_if<StepInPlace>(&made.how);
    EXPECT_NE(place, nullptr) << testing::PrintToString(code);
    return place != nullptr ? place->why : InPlace{};
  }
  StepPlanner planner_ = std::move(StepPlanner::create()).value();
};

TEST_F(PlanTest, SimpleInstructionsAreEmulated) {
  const StepPlan made = plan({0x48, 0x89, 0xe5, 0xcc, 0xcc});
  const auto* simple = std::get_if<SimpleInsn>(&made.how);
  ASSERT_NE(simple, nullptr);
  EXPECT_EQ(simple->op, Op::kMov);
  EXPECT_EQ(simple->length, 3u);
  EXPECT_EQ(made.original.length, 3u);
}

TEST_F(PlanTest, OthersRunAsACopy) {
  const RunInScratch copy = scratch({0x89, 0x03, 0xcc});
  EXPECT_EQ(copy.at, kAt);
  EXPECT_EQ(copy.code.length, 2u);
  ASSERT_EQ(copy.accesses.list().size(), 1u);
  EXPECT_EQ(copy.accesses.list()[0].size, 4u);
}

TEST_F(PlanTest, WhatDependsOnItsAddressStaysInPlace) {
  EXPECT_EQ(in_place({0x0f, 0x05}), InPlace::kTransfer);
  EXPECT_EQ(in_place({0xe4, 0x10}), InPlace::kPort);
  EXPECT_EQ(in_place({0x66, 0xe8, 1, 2, 3, 4}), InPlace::kVendor);
}

TEST_F(PlanTest, WhatCannotBeDecodedStaysInPlaceWithoutALength) {
  const Bytes codes[] = {{}, {0x06}, {0x48, 0x8b}, {0xe8, 1, 2, 3}, Bytes(15, 0x66), Bytes(40, 0x66)};
  for (const Bytes& code : codes) {
    const StepPlan made = plan(code);
    EXPECT_TRUE(std::holds_alternative<StepInPlace>(made.how)) << testing::PrintToString(code);
    EXPECT_EQ(made.original.length, 0u);
    EXPECT_FALSE(made.is_of(code));
  }
  EXPECT_EQ(in_place({0xe8, 1, 2, 3}), InPlace::kCutOff);
  EXPECT_EQ(in_place({}), InPlace::kCutOff);
  EXPECT_EQ(in_place({0x06}), InPlace::kUndecodable);
}

TEST_F(PlanTest, WhatOnlyOneOfTheDecodersKnowsStaysInPlace) {
  ASSERT_TRUE(read_layout(Bytes{0x0f, 0x38, 0xff, 0xc0}).has_value());
  EXPECT_EQ(in_place({0x0f, 0x38, 0xff, 0xc0}), InPlace::kUndecodable);
  EXPECT_EQ(in_place({0x66, 0x0f, 0xae, 0xf1}), InPlace::kUndecodable);  // tpause
}

TEST_F(PlanTest, NoInstructionIsLongerThan15Bytes) {
  Bytes code(14, 0x66);
  code.push_back(0x90);
  EXPECT_EQ(plan(code).original.length, 15u);
  code.insert(code.begin(), 0x66);
  EXPECT_EQ(in_place(code), InPlace::kUndecodable);
}

TEST_F(PlanTest, APlanIsOfTheBytesItWasMadeFrom) {
  const StepPlan made = plan({0x48, 0x89, 0xe5, 0x90});
  EXPECT_TRUE(made.is_of(Bytes{0x48, 0x89, 0xe5}));
  EXPECT_TRUE(made.is_of(Bytes{0x48, 0x89, 0xe5, 0xcc}));
  EXPECT_FALSE(made.is_of(Bytes{0x48, 0x89, 0xe4}));
  EXPECT_FALSE(made.is_of(Bytes{0x48, 0x89}));
}

TEST_F(PlanTest, ACopyIsTheSameBytesUnlessItIsRelative) {
  const Bytes code{0x48, 0x89, 0x43, 0x10};
  const auto copy = scratch(code).encode(Gva{0x10});
  ASSERT_TRUE(copy.has_value());
  EXPECT_EQ(Bytes(copy->view().begin(), copy->view().end()), code);
}

TEST_F(PlanTest, ARelativeCopyMeansTheSameAddress) {
  const Bytes code{0xc7, 0x05, 0x00, 0x10, 0x00, 0x00, 0x78, 0x56, 0x34, 0x12};  // mov dword [rip+0x1000],…
  const auto copy = scratch(code).encode(kSlot);
  ASSERT_TRUE(copy.has_value());
  const std::uint64_t meant = kAt.value + code.size() + 0x1000;
  const auto distance =
      static_cast<std::uint64_t>(std::int64_t{load<std::int32_t>(copy->storage.data() + 2)});
  EXPECT_EQ(kSlot.value + code.size() + distance, meant);
  EXPECT_EQ(load<std::uint32_t>(copy->storage.data() + 6), 0x12345678u);
  EXPECT_EQ(copy->length, code.size());
}

TEST_F(PlanTest, ARelativeCopyReaches2GiB) {
  const RunInScratch copy = scratch({0x48, 0x89, 0x05, 0, 0, 0, 0});  // mov [rip+0],rax
  EXPECT_TRUE(copy.encode(kAt - 0x7fff'ffff).has_value());
  EXPECT_FALSE(copy.encode(kAt - 0x8000'0000).has_value());
  EXPECT_TRUE(copy.encode(kAt + 0x8000'0000).has_value());
  EXPECT_FALSE(copy.encode(kAt + 0x8000'0001).has_value());
  EXPECT_FALSE(copy.encode(kAt + (std::uint64_t{1} << 63)).has_value());
}

TEST_F(PlanTest, AVectorInstructionIsAdjustedToo) {
  const RunInScratch copy = scratch({0xc5, 0xfd, 0x6f, 0x05, 0, 0, 0, 0});
  EXPECT_EQ(copy.rip_field, 4u);
  EXPECT_TRUE(copy.accesses.unpredictable);
}

// One word of stack.
class Stack final : public DataAccess {
 public:
  bool read(Gva from, MutableByteView to) const noexcept override {
    if (from != kTop || to.size() != sizeof word || refuses_reads) return false;
    std::memcpy(to.data(), &word, sizeof word);
    return true;
  }
  bool write(Gva to, ByteView from) noexcept override {
    if (to != kTop || from.size() != sizeof word || refuses_writes) return false;
    std::memcpy(&word, from.data(), sizeof word);
    return true;
  }
  static constexpr Gva kTop{0xffff'c900'0000'3ff8};
  std::uint64_t word = 0x5a5a;
  bool refuses_reads = false, refuses_writes = false;
};

class FixUp : public PlanTest {
 protected:
  std::uint64_t rip_after(const RunInScratch& copy, Gva rip) {
    CoreRegs regs;
    regs.rip = rip.value;
    regs.gpr[kRsp] = Stack::kTop.value;
    EXPECT_TRUE(copy.fix_up(regs, kSlot, stack_));
    return regs.rip;
  }
  Stack stack_;
};

TEST_F(FixUp, TakesRipBehindTheOriginal) {
  EXPECT_EQ(rip_after(scratch({0x48, 0x89, 0x03}), kSlot + 3), kAt.value + 3);
  EXPECT_EQ(stack_.word, 0x5a5au);
}

TEST_F(FixUp, LeavesRipWhereABranchOrAHandlerIs) {
  EXPECT_EQ(rip_after(scratch({0x65, 0xff, 0x23}), Gva{0xffff'ffff'8234'5678}), 0xffff'ffff'8234'5678u);
  EXPECT_EQ(rip_after(scratch({0x48, 0x89, 0x03}), kSlot + 4), kSlot.value + 4);
}

TEST_F(FixUp, TakesAnUnfinishedRepeatBackToItsStart) {
  const RunInScratch rep = scratch({0xf3, 0xa4});
  EXPECT_TRUE(rep.repeats);
  EXPECT_EQ(rip_after(rep, kSlot), kAt.value);
  EXPECT_EQ(rip_after(rep, kSlot + 2), kAt.value + 2);
  EXPECT_FALSE(scratch({0xa4}).repeats);
  EXPECT_FALSE(scratch({0xf3, 0x0f, 0xbc, 0xc1}).repeats);
}

TEST_F(FixUp, CorrectsTheReturnAddressOfACall) {
  const RunInScratch call = scratch({0x65, 0xff, 0x13});
  EXPECT_TRUE(call.calls);
  stack_.word = kSlot.value + 3;
  EXPECT_EQ(rip_after(call, Gva{0xffff'ffff'8234'5678}), 0xffff'ffff'8234'5678u);
  EXPECT_EQ(stack_.word, kAt.value + 3);
}

TEST_F(FixUp, TouchesNoOtherWordOfTheStack) {
  const RunInScratch call = scratch({0x65, 0xff, 0x13});
  EXPECT_EQ(rip_after(call, Gva{0xffff'ffff'8234'5678}), 0xffff'ffff'8234'5678u);
  EXPECT_EQ(stack_.word, 0x5a5au);
  stack_.word = kSlot.value + 3;
  rip_after(scratch({0x65, 0xff, 0x23}), Gva{0xffff'ffff'8234'5678});  // a jmp pushes nothing
  EXPECT_EQ(stack_.word, kSlot.value + 3);
}

TEST_F(FixUp, SaysWhenTheStackCannotBeReached) {
  const RunInScratch call = scratch({0x65, 0xff, 0x13});
  CoreRegs regs;
  regs.rip = 0xffff'ffff'8234'5678;
  regs.gpr[kRsp] = Stack::kTop.value;
  const CoreRegs before = regs;
  stack_.word = kSlot.value + 3;
  stack_.refuses_writes = true;
  EXPECT_FALSE(call.fix_up(regs, kSlot, stack_));
  stack_.refuses_reads = true;
  EXPECT_FALSE(call.fix_up(regs, kSlot, stack_));
  EXPECT_EQ(regs, before);
}

class MayRun : public PlanTest {
 protected:
  CpuContext cpu_{.core = {}, .paging = {.efer = efer::kLma}, .cs = {.long_mode = true}};
};

TEST_F(MayRun, KernelCodeOf64BitsOnly) {
  const RunInScratch copy = scratch({0x89, 0x03});
  EXPECT_TRUE(copy.may_run(cpu_));
  cpu_.cs.cpl = 3;
  EXPECT_FALSE(copy.may_run(cpu_));
  cpu_.cs = {.default_big = true};
  EXPECT_FALSE(copy.may_run(cpu_));
}

TEST_F(MayRun, NotWhileTheGuestStepsItself) {
  cpu_.core.rflags |= rflags::kTf;
  EXPECT_FALSE(scratch({0x89, 0x03}).may_run(cpu_));
}

TEST_F(MayRun, NoCallBesideAShadowStack) {
  cpu_.paging.cr4 |= cr4::kCet;
  EXPECT_TRUE(scratch({0x89, 0x03}).may_run(cpu_));
  EXPECT_FALSE(scratch({0x65, 0xff, 0x13}).may_run(cpu_));
}

TEST_F(PlanTest, PushfThatIsNotEmulatedIsMarked) {
  EXPECT_TRUE(scratch({0x66, 0x9c}).stores_flags);
  EXPECT_FALSE(scratch({0x9d}).stores_flags);
}

// Whatever the bytes are: a plan has the length of its instruction, which starts the bytes, and what is
// to be emulated or copied makes sense to whoever does that.
TEST_F(PlanTest, AnyBytesGiveAPlanThatHoldsTogether) {
  std::mt19937_64 random(7);
  std::size_t planned = 0;
  for (int i = 0; i < 300000; ++i) {
    Bytes code(random() % 17);
    for (std::uint8_t& byte : code) byte = static_cast<std::uint8_t>(random());
    if (code.size() > 2 && random() % 2 == 0) code[random() % 2] = 0x0f;
    const StepPlan made = plan(code);
    ASSERT_LE(made.original.length, std::min<std::size_t>(code.size(), 15));
    ASSERT_EQ(made.is_of(code), made.original.length != 0);
    if (const auto* simple = std::get_if<SimpleInsn>(&made.how)) {
      ASSERT_EQ(simple->length, made.original.length);
      CoreRegs regs;
      for (std::uint64_t& gpr : regs.gpr) gpr = random();
      Stack nothing;
      (void)emulate(*simple, regs, nothing);
      ++planned;
    } else if (const auto* copy = std::get_if<RunInScratch>(&made.how)) {
      ASSERT_EQ(copy->code, made.original);
      ASSERT_EQ(copy->encode(kAt), made.original);
      ++planned;
    }
  }
  EXPECT_GT(planned, 100000u);
}

}  // namespace
}  // namespace ringside::disasm
