#include "arch/x86/emulate.hpp"

#include <map>
#include <optional>

#include <gtest/gtest.h>

#include "arch/x86/control.hpp"

namespace ringside::x86 {
namespace {

using Kind = Operand::Kind;
using Op = SimpleInsn::Op;

static_assert(std::is_trivially_copyable_v<SimpleInsn>);

constexpr std::uint64_t kRip = 0xffff'ffff'8100'0000, kStack = 0xffff'c900'0000'8000;

constexpr Operand reg(std::uint8_t gpr) { return {Kind::kGpr, gpr}; }
constexpr Operand high(std::uint8_t gpr) { return {Kind::kHighByte, gpr}; }
constexpr Operand kImm{Kind::kImmediate, 0};
constexpr Operand kMem{Kind::kMemory, 0};

// A few words of memory; anything else is refused.
class Words final : public DataAccess {
 public:
  bool read(Gva from, MutableByteView to) const noexcept override {
    const auto word = words.find(from.value);
    if (word == words.end()) return false;
    std::memcpy(to.data(), &word->second, to.size());
    return true;
  }
  bool write(Gva to, ByteView from) noexcept override {
    const auto word = words.find(to.value);
    if (word == words.end() || read_only) return false;
    std::memcpy(&word->second, from.data(), from.size());
    return true;
  }
  std::map<std::uint64_t, std::uint64_t> words;
  bool read_only = false;
};

class Emulate : public testing::Test {
 protected:
  Emulate() {
    regs_.rip = kRip;
    regs_.gpr[kRsp] = kStack;
    regs_.gpr[kRax] = 0x1122'3344'5566'7788;
    regs_.gpr[kRcx] = 0x99aa'bbcc'ddee'ff01;
    regs_.rflags = kFlags;
  }
  void run(const SimpleInsn& insn) { EXPECT_EQ(emulate(insn, regs_, memory_), EmulateResult::kDone); }
  void expect_untouched(const SimpleInsn& insn, EmulateResult why) {
    const CoreRegs before = regs_;
    const auto words = memory_.words;
    EXPECT_EQ(emulate(insn, regs_, memory_), why);
    EXPECT_EQ(regs_, before);
    EXPECT_EQ(memory_.words, words);
  }
  std::uint64_t status() const {
    return regs_.rflags & (rflags::kCf | rflags::kPf | rflags::kAf | rflags::kZf | rflags::kSf | rflags::kOf);
  }
  // Every flag that no instruction here may change.
  static constexpr std::uint64_t kFlags =
      rflags::kAlways1 | rflags::kIf | rflags::kDf | rflags::kIopl | rflags::kNt | rflags::kAc | rflags::kId;
  CoreRegs regs_;
  Words memory_;
};

TEST_F(Emulate, ANopOnlyMovesRip) {
  CoreRegs expected = regs_;
  expected.rip = kRip + 9;
  run({.op = Op::kNop, .length = 9});
  EXPECT_EQ(regs_, expected);
  expected.rip += 4;
  run({.op = Op::kEndBranch, .length = 4});
  EXPECT_EQ(regs_, expected);
}

TEST_F(Emulate, TheResumeFlagIsUsedUp) {
  regs_.rflags |= rflags::kRf;
  run({.op = Op::kNop});
  EXPECT_EQ(regs_.rflags, kFlags);
}

TEST_F(Emulate, AMoveOf32BitsClearsTheUpperHalf) {
  run({.op = Op::kMov, .length = 2, .size = 4, .from_size = 4, .to = reg(kRcx), .from = reg(kRax)});
  EXPECT_EQ(regs_.gpr[kRcx], 0x5566'7788u);
}

TEST_F(Emulate, AMoveOf16Or8BitsKeepsTheRest) {
  run({.op = Op::kMov, .length = 3, .size = 2, .from_size = 2, .to = reg(kRcx), .from = reg(kRax)});
  EXPECT_EQ(regs_.gpr[kRcx], 0x99aa'bbcc'ddee'7788u);
  run({.op = Op::kMov, .length = 2, .size = 1, .from_size = 1, .to = high(kRcx), .from = reg(kRax)});
  EXPECT_EQ(regs_.gpr[kRcx], 0x99aa'bbcc'ddee'8888u);
  run({.op = Op::kMov, .length = 2, .size = 1, .from_size = 1, .to = reg(kRcx), .from = high(kRax)});
  EXPECT_EQ(regs_.gpr[kRcx], 0x99aa'bbcc'ddee'8877u);
}

TEST_F(Emulate, AnImmediateIsSignExtendedTo64Bits) {
  run({.op = Op::kMov, .length = 7, .to = reg(kRax), .from = kImm, .immediate = -2});
  EXPECT_EQ(regs_.gpr[kRax], ~std::uint64_t{1});
  run({.op = Op::kMov,
       .length = 5,
       .size = 4,
       .from_size = 4,
       .to = reg(kRax),
       .from = kImm,
       .immediate = -2});
  EXPECT_EQ(regs_.gpr[kRax], 0xffff'fffeu);
}

TEST_F(Emulate, AMoveExtendsTheSmallerSource) {
  run({.op = Op::kMov, .length = 3, .size = 4, .from_size = 1, .to = reg(kRdx), .from = reg(kRax)});
  EXPECT_EQ(regs_.gpr[kRdx], 0x88u);
  run({.op = Op::kMovSigned, .length = 3, .size = 4, .from_size = 1, .to = reg(kRdx), .from = reg(kRax)});
  EXPECT_EQ(regs_.gpr[kRdx], 0xffff'ff88u);
  run({.op = Op::kMovSigned, .length = 3, .size = 8, .from_size = 4, .to = reg(kRdx), .from = reg(kRcx)});
  EXPECT_EQ(regs_.gpr[kRdx], 0xffff'ffff'ddee'ff01u);
}

TEST_F(Emulate, ALoadReadsAsManyBytesAsItMoves) {
  memory_.words[0x1010] = 0xffee'ddcc'bbaa'9988;
  regs_.gpr[kRbx] = 0x1000;
  run({.op = Op::kMov,
       .length = 3,
       .size = 2,
       .from_size = 2,
       .to = reg(kRax),
       .from = kMem,
       .memory = {.base = kRbx, .displacement = 0x10}});
  EXPECT_EQ(regs_.gpr[kRax], 0x1122'3344'5566'9988u);
}

TEST_F(Emulate, ALoadThatIsRefusedChangesNothing) {
  expect_untouched({.op = Op::kMov, .length = 3, .to = reg(kRax), .from = kMem, .memory = {.base = kRbx}},
                   EmulateResult::kNoData);
}

TEST_F(Emulate, LeaTakesEveryFormOfAddress) {
  const auto lea = [this](const MemoryOperand& memory, std::uint8_t size = 8) {
    regs_.rip = kRip;
    run({.op = Op::kLea, .length = 7, .size = size, .to = reg(kRdx), .memory = memory});
    return regs_.gpr[kRdx];
  };
  regs_.gpr[kRbx] = 0x1'0000'0000;
  regs_.gpr[kRsi] = 3;
  EXPECT_EQ(lea({.displacement = -1}), ~std::uint64_t{0});
  EXPECT_EQ(lea({.base = kRbx, .displacement = 16}), 0x1'0000'0010u);
  EXPECT_EQ(lea({.base = kRbx, .index = kRsi, .scale = 8, .displacement = -8}), 0x1'0000'0010u);
  EXPECT_EQ(lea({.index = kRsi, .scale = 4, .displacement = 0x100}), 0x10cu);
  EXPECT_EQ(lea({.base = kRipBase, .displacement = -7}), kRip);
  EXPECT_EQ(lea({.base = kRbx, .displacement = 5}, 4), 5u);
}

TEST_F(Emulate, ArithmeticSetsTheStatusFlagsAndNoOthers) {
  regs_.gpr[kRax] = 0x7fff'ffff;
  run({.op = Op::kAdd, .length = 3, .size = 4, .to = reg(kRax), .from = kImm, .immediate = 1});
  EXPECT_EQ(regs_.gpr[kRax], 0x8000'0000u);
  EXPECT_EQ(regs_.rflags, kFlags | rflags::kOf | rflags::kSf | rflags::kAf | rflags::kPf);
  run({.op = Op::kXor, .length = 2, .size = 4, .to = reg(kRax), .from = reg(kRax)});
  EXPECT_EQ(regs_.gpr[kRax], 0u);
  EXPECT_EQ(regs_.rflags, kFlags | rflags::kZf | rflags::kPf);
}

struct Row {
  Op op;
  std::uint8_t a, b;
  bool carry;
  std::uint8_t result;
  std::uint64_t flags;
};

TEST_F(Emulate, EachOperationComputesItsOwn) {
  using namespace rflags;
  const Row rows[] = {
      {Op::kAdd, 0xf0, 0x11, true, 0x01, kCf},
      {Op::kAdc, 0xf0, 0x0f, true, 0x00, kCf | kZf | kPf | kAf},
      {Op::kSub, 0x10, 0x01, true, 0x0f, kAf | kPf},
      {Op::kSbb, 0x10, 0x10, true, 0xff, kCf | kSf | kPf | kAf},
      {Op::kCmp, 0x10, 0x11, true, 0x10, kCf | kSf | kPf | kAf},
      {Op::kAnd, 0xcc, 0xaa, true, 0x88, kSf | kPf},
      {Op::kOr, 0xc0, 0x0a, true, 0xca, kSf | kPf},
      {Op::kXor, 0xff, 0x0f, true, 0xf0, kSf | kPf},
      {Op::kTest, 0x0f, 0xf0, true, 0x0f, kZf | kPf},
  };
  for (const Row& row : rows) {
    SCOPED_TRACE(static_cast<int>(row.op));
    regs_.rip = kRip;
    regs_.gpr[kRax] = row.a;
    regs_.gpr[kRcx] = row.b;
    regs_.rflags = row.carry ? kFlags | kCf : kFlags;
    run({.op = row.op, .length = 2, .size = 1, .to = reg(kRax), .from = reg(kRcx)});
    EXPECT_EQ(regs_.gpr[kRax], row.result);
    EXPECT_EQ(status(), row.flags);
  }
}

TEST_F(Emulate, ComparingWithMemoryReadsIt) {
  memory_.words[0x1000] = 5;
  run({.op = Op::kCmp,
       .length = 8,
       .size = 4,
       .to = kMem,
       .from = kImm,
       .memory = {.displacement = 0x1000},
       .immediate = 5});
  EXPECT_EQ(status(), rflags::kZf | rflags::kPf);
  EXPECT_EQ(memory_.words[0x1000], 5u);
}

TEST_F(Emulate, IncAndDecLeaveTheCarryAlone) {
  regs_.gpr[kRax] = 0xff;
  run({.op = Op::kInc, .length = 2, .size = 1, .to = reg(kRax)});
  EXPECT_EQ(status(), rflags::kZf | rflags::kPf | rflags::kAf);
  regs_.rflags |= rflags::kCf;
  run({.op = Op::kDec, .length = 2, .size = 1, .to = reg(kRax)});
  EXPECT_EQ(regs_.gpr[kRax], 0xffu);
  EXPECT_EQ(status(), rflags::kSf | rflags::kPf | rflags::kAf | rflags::kCf);
}

TEST_F(Emulate, NotLeavesTheFlagsAndNegSetsThem) {
  regs_.gpr[kRax] = 1;
  regs_.rflags |= rflags::kZf;
  run({.op = Op::kNot, .length = 3, .to = reg(kRax)});
  EXPECT_EQ(regs_.gpr[kRax], ~std::uint64_t{1});
  EXPECT_EQ(status(), rflags::kZf);
  run({.op = Op::kNeg, .length = 3, .to = reg(kRax)});
  EXPECT_EQ(regs_.gpr[kRax], 2u);
  EXPECT_EQ(status(), rflags::kCf | rflags::kAf);
}

TEST_F(Emulate, PushStoresBelowTheStackPointer) {
  memory_.words[kStack - 8] = 0;
  run({.op = Op::kPush, .length = 2, .from = reg(kRcx)});
  EXPECT_EQ(memory_.words[kStack - 8], 0x99aa'bbcc'ddee'ff01u);
  EXPECT_EQ(regs_.gpr[kRsp], kStack - 8);
  EXPECT_EQ(regs_.rip, kRip + 2);
}

TEST_F(Emulate, PushRspStoresItsOldValue) {
  memory_.words[kStack - 8] = 0;
  run({.op = Op::kPush, .length = 1, .from = reg(kRsp)});
  EXPECT_EQ(memory_.words[kStack - 8], kStack);
}

TEST_F(Emulate, PushedImmediatesHave64Bits) {
  memory_.words[kStack - 8] = 0;
  run({.op = Op::kPush, .length = 2, .from = kImm, .immediate = -1});
  EXPECT_EQ(memory_.words[kStack - 8], ~std::uint64_t{0});
}

TEST_F(Emulate, PushedFlagsHaveNoResumeFlag) {
  memory_.words[kStack - 8] = 0;
  regs_.rflags |= rflags::kRf | rflags::kZf;
  run({.op = Op::kPushFlags, .length = 1});
  EXPECT_EQ(memory_.words[kStack - 8], kFlags | rflags::kZf);
}

TEST_F(Emulate, APushThatIsRefusedChangesNothing) {
  expect_untouched({.op = Op::kPush, .length = 1, .from = reg(kRax)}, EmulateResult::kNoData);
}

TEST_F(Emulate, PopLoadsFromTheStackPointer) {
  memory_.words[kStack] = 0x1234;
  run({.op = Op::kPop, .length = 1, .to = reg(kRbx)});
  EXPECT_EQ(regs_.gpr[kRbx], 0x1234u);
  EXPECT_EQ(regs_.gpr[kRsp], kStack + 8);
}

TEST_F(Emulate, PopRspKeepsWhatWasPopped) {
  memory_.words[kStack] = 0x1234;
  run({.op = Op::kPop, .length = 1, .to = reg(kRsp)});
  EXPECT_EQ(regs_.gpr[kRsp], 0x1234u);
}

TEST_F(Emulate, LeaveTakesTheFrameDown) {
  regs_.gpr[kRbp] = kStack + 0x40;
  memory_.words[kStack + 0x40] = 0x1234;
  run({.op = Op::kLeave, .length = 1});
  EXPECT_EQ(regs_.gpr[kRsp], kStack + 0x48);
  EXPECT_EQ(regs_.gpr[kRbp], 0x1234u);
}

TEST_F(Emulate, JumpsAreRelativeToTheNextInstruction) {
  run({.op = Op::kJump, .length = 2, .from = kImm, .immediate = -2});
  EXPECT_EQ(regs_.rip, kRip);
  run({.op = Op::kJump, .length = 5, .from = kImm, .immediate = 0x1000});
  EXPECT_EQ(regs_.rip, kRip + 0x1005);
}

TEST_F(Emulate, AnIndirectJumpGoesWhereTheRegisterSays) {
  regs_.gpr[kRax] = kRip + 0x77;
  run({.op = Op::kJump, .length = 2, .from = reg(kRax)});
  EXPECT_EQ(regs_.rip, kRip + 0x77);
}

TEST_F(Emulate, AConditionalJumpIsTakenWhenItsConditionHolds) {
  const SimpleInsn je{.op = Op::kJumpIf, .length = 2, .condition = 4, .from = kImm, .immediate = 0x10};
  run(je);
  EXPECT_EQ(regs_.rip, kRip + 2);
  regs_.rflags |= rflags::kZf;
  run(je);
  EXPECT_EQ(regs_.rip, kRip + 2 + 0x12);
}

TEST_F(Emulate, ACallPushesTheAddressBehindIt) {
  memory_.words[kStack - 8] = 0;
  run({.op = Op::kCall, .length = 5, .from = kImm, .immediate = 0x100});
  EXPECT_EQ(regs_.rip, kRip + 0x105);
  EXPECT_EQ(memory_.words[kStack - 8], kRip + 5);
}

TEST_F(Emulate, ACallThroughTheStackPointerUsesItsOldValue) {
  memory_.words[kStack - 8] = 0;
  memory_.words[kStack] = kRip + 0x200;
  run({.op = Op::kCall, .length = 3, .from = kMem, .memory = {.base = kRsp}});
  EXPECT_EQ(regs_.rip, kRip + 0x200);
  EXPECT_EQ(regs_.gpr[kRsp], kStack - 8);
}

TEST_F(Emulate, AReturnTakesItsArgumentsOffTheStack) {
  memory_.words[kStack] = kRip + 0x300;
  run({.op = Op::kReturn, .length = 3, .immediate = 0x10});
  EXPECT_EQ(regs_.rip, kRip + 0x300);
  EXPECT_EQ(regs_.gpr[kRsp], kStack + 0x18);
}

TEST_F(Emulate, WhatCannotReachTheStackChangesNothing) {
  memory_.read_only = true;
  memory_.words[kStack - 8] = 0;
  expect_untouched({.op = Op::kCall, .length = 5, .from = kImm}, EmulateResult::kNoData);
  expect_untouched({.op = Op::kPop, .length = 1, .to = reg(kRax)}, EmulateResult::kNoData);
  expect_untouched({.op = Op::kReturn, .length = 1}, EmulateResult::kNoData);
  expect_untouched({.op = Op::kLeave, .length = 1}, EmulateResult::kNoData);
  expect_untouched({.op = Op::kPushFlags, .length = 1}, EmulateResult::kNoData);
}

TEST_F(Emulate, NothingJumpsToAnAddressThatIsNone) {
  memory_.words[kStack - 8] = 0x77;
  memory_.words[kStack] = 0x0000'8000'0000'0000;
  regs_.gpr[kRax] = 0x0000'8000'0000'0000;
  expect_untouched({.op = Op::kCall, .length = 2, .from = reg(kRax)}, EmulateResult::kBadTarget);
  expect_untouched({.op = Op::kJump, .length = 2, .from = reg(kRax)}, EmulateResult::kBadTarget);
  expect_untouched({.op = Op::kReturn, .length = 1}, EmulateResult::kBadTarget);
  regs_.rip = 0x0000'7fff'ffff'fffe;
  expect_untouched({.op = Op::kNop, .length = 2}, EmulateResult::kBadTarget);
  expect_untouched({.op = Op::kPush, .length = 2, .from = reg(kRax)}, EmulateResult::kBadTarget);
}

TEST(EffectiveAddress, WrapsAsTheCpuDoes) {
  CoreRegs regs;
  regs.gpr[kRbx] = ~std::uint64_t{0};
  EXPECT_EQ(effective_address({.base = kRbx, .displacement = 3}, regs, Gva{0}), Gva{2});
}

TEST(SimpleInsn, KnowsWhetherItTouchesMemory) {
  EXPECT_FALSE((SimpleInsn{.op = Op::kMov, .to = reg(kRax), .from = reg(kRcx)}.touches_memory()));
  EXPECT_FALSE((SimpleInsn{.op = Op::kLea, .to = reg(kRax)}.touches_memory()));
  EXPECT_FALSE((SimpleInsn{.op = Op::kJump, .from = kImm}.touches_memory()));
  EXPECT_TRUE((SimpleInsn{.op = Op::kMov, .to = reg(kRax), .from = kMem}.touches_memory()));
  EXPECT_TRUE((SimpleInsn{.op = Op::kCmp, .to = kMem, .from = kImm}.touches_memory()));
  for (const Op op : {Op::kPush, Op::kPushFlags, Op::kPop, Op::kLeave, Op::kCall, Op::kReturn}) {
    EXPECT_TRUE((SimpleInsn{.op = op}.touches_memory()));
  }
}

class MayEmulate : public testing::Test {
 protected:
  CpuContext cpu_{.core = {}, .paging = {.efer = efer::kLma}, .cs = {.long_mode = true}};
};

TEST_F(MayEmulate, In64BitCodeOnly) {
  EXPECT_TRUE(may_emulate({}, cpu_));
  cpu_.cs.long_mode = false;
  cpu_.cs.default_big = true;
  EXPECT_FALSE(may_emulate({}, cpu_));
}

TEST_F(MayEmulate, NotWhileTheGuestStepsItself) {
  cpu_.core.rflags |= rflags::kTf;
  EXPECT_FALSE(may_emulate({}, cpu_));
}

TEST_F(MayEmulate, NoBranchThatCetLooksAt) {
  cpu_.paging.cr4 |= cr4::kCet;
  EXPECT_TRUE(may_emulate({.op = Op::kNop}, cpu_));
  EXPECT_TRUE(may_emulate({.op = Op::kJump, .from = kImm}, cpu_));
  EXPECT_TRUE(may_emulate({.op = Op::kJumpIf, .from = kImm}, cpu_));
  EXPECT_FALSE(may_emulate({.op = Op::kJump, .from = reg(kRax)}, cpu_));
  EXPECT_FALSE(may_emulate({.op = Op::kJump, .from = kMem}, cpu_));
  EXPECT_FALSE(may_emulate({.op = Op::kCall, .from = kImm}, cpu_));
  EXPECT_FALSE(may_emulate({.op = Op::kReturn}, cpu_));
  EXPECT_FALSE(may_emulate({.op = Op::kEndBranch}, cpu_));
}

}  // namespace
}  // namespace ringside::x86
