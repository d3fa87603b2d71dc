#include "stub/guestos/unwind.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/guestos/orc_image.hpp"

namespace ringside::guestos {
namespace {

using test::NewerOrc;
using test::OrcImage;
using testing::ElementsAre;
using Reg = OrcEntry::Reg;
using End = StackWalk::End;
using Table = std::vector<std::pair<std::uint64_t, NewerOrc>>;

// Functions of different kinds; what a call returns to is at 0x10 in each.
const NewerOrc kCalled{.sp_offset = 8, .sp_reg = Reg::kSp};
const NewerOrc kPushedBp{.sp_offset = 16, .bp_offset = -16, .sp_reg = Reg::kSp, .bp_reg = Reg::kPreviousSp};
const NewerOrc kByBp{.sp_offset = 16, .bp_offset = -16, .sp_reg = Reg::kBp, .bp_reg = Reg::kPreviousSp};
const NewerOrc kRegs{.sp_offset = 0, .sp_reg = Reg::kSp, .type = 3, .signal = true};
const NewerOrc kPartial{.sp_offset = 0, .sp_reg = Reg::kSp, .type = 4, .signal = true};
const NewerOrc kTop{.type = 1};
const NewerOrc kOtherStack{.sp_offset = 8, .sp_reg = Reg::kSpIndirect};
const NewerOrc kAligned{.sp_offset = 0, .sp_reg = Reg::kR10};

struct Walked {
  StackWalk walk;
  std::vector<Gva> ips;
};

Walked walk(const OrcImage& image, const StackRegisters& from, std::size_t most = 64) {
  const Btf btf = test::orc_btf(0);
  const Unwinder unwinder(image.symbols(), &btf, std::nullopt, const_cast<OrcImage&>(image).memory());
  std::vector<StackFrame> frames(most);
  Walked out{unwinder.walk(from, const_cast<OrcImage&>(image).memory(), frames), {}};
  for (std::size_t i = 0; i < out.walk.frames; ++i) out.ips.push_back(frames[i].ip);
  return out;
}

void put_regs(OrcImage& image, std::uint64_t at, Gva ip, std::uint64_t cs, Gva sp, std::uint64_t bp) {
  image.put(at + 4, bp);
  image.put(at + 16, ip);
  image.put(at + 17, cs);
  image.put(at + 19, sp);
}

constexpr std::uint64_t kUserCs = 0x33, kKernelCs = 0x10;
const Gva kBack0 = OrcImage::function(0, 0x10), kBack1 = OrcImage::function(1, 0x10),
          kBack2 = OrcImage::function(2, 0x10), kBack3 = OrcImage::function(3, 0x10);

TEST(Unwinder, GoesFromCallToCallUpToUserMode) {
  OrcImage image(Table{{0x0, kCalled}, {0x100, kPushedBp}, {0x200, kByBp}, {0x300, kRegs}});
  image.put(0, kBack1);
  image.put(1, OrcImage::stack(10).value);  // bp of function 2
  image.put(2, kBack2);
  image.put(10, 0x77);
  image.put(11, kBack3);
  put_regs(image, 12, Gva{0x401000}, kUserCs, Gva{0x7ffe0000}, 0);
  const auto [walk_, ips] = walk(image, {.ip = kBack0, .sp = OrcImage::stack(0), .bp = 1});
  EXPECT_THAT(ips, ElementsAre(kBack0, kBack1, kBack2, kBack3));
  EXPECT_EQ(walk_.end, End::kUser);
  EXPECT_EQ(walk_.user_regs, OrcImage::stack(12));
}

TEST(Unwinder, GoesThroughAnInterruptOfTheKernelAndEndsWhereAThreadBegins) {
  OrcImage image(Table{{0x0, kRegs}, {0x100, kTop}, {0x108, kByBp}, {0x110, kTop}});
  put_regs(image, 0, OrcImage::function(1, 0x108 - 0x100), kKernelCs, OrcImage::stack(30),
           OrcImage::stack(40).value);
  image.put(41, OrcImage::function(1, 0x18));
  const auto [walk_, ips] = walk(image, {.ip = kBack0, .sp = OrcImage::stack(0)});
  EXPECT_THAT(ips, ElementsAre(kBack0, OrcImage::function(1, 8), OrcImage::function(1, 0x18)));
  EXPECT_EQ(walk_.end, End::kTop);
}

TEST(Unwinder, TakesARegisterOnlyWhereItIsKnown) {
  OrcImage image(Table{{0x0, kAligned}, {0x100, kTop}});
  image.put(5, kBack1);
  StackRegisters from{.ip = kBack0, .sp = OrcImage::stack(0)};
  EXPECT_EQ(walk(image, from).walk.end, End::kLost);
  from.others = StackRegisters::Others{.r10 = OrcImage::stack(6).value};
  EXPECT_THAT(walk(image, from).ips, ElementsAre(kBack0, kBack1));
}

TEST(Unwinder, AFrameOfTheCpuAloneLeavesTheOtherRegisters) {
  OrcImage image(Table{{0x0, kPartial}, {0x100, kByBp}, {0x200, kTop}});
  image.put(0, kBack1);
  image.put(1, kKernelCs);
  image.put(3, OrcImage::stack(20));
  image.put(31, kBack2);
  const auto found = walk(image, {.ip = kBack0, .sp = OrcImage::stack(0), .bp = OrcImage::stack(30).value});
  EXPECT_THAT(found.ips, ElementsAre(kBack0, kBack1, kBack2));
  EXPECT_EQ(found.walk.end, End::kTop);
}

TEST(Unwinder, AReturnAddressIsLookedUpByItsCall) {
  OrcImage image(Table{{0x0, kCalled}, {0x100, kTop}, {0x200, kCalled}});
  image.put(0, OrcImage::function(2));  // behind the last instruction of function 1
  const auto found = walk(image, {.ip = kBack0, .sp = OrcImage::stack(0)});
  EXPECT_EQ(found.walk.end, End::kTop);
  EXPECT_EQ(found.walk.frames, 2u);
}

TEST(Unwinder, ChangesStacksAFewTimesOnly) {
  OrcImage image(Table{{0x0, kOtherStack}});
  image.put(0, OrcImage::stack(9).value);  // two stacks, each of which says that the other is above it
  image.put(9, kBack0);
  image.put(10, OrcImage::stack(0).value - 8);
  const auto found = walk(image, {.ip = kBack0, .sp = OrcImage::stack(0)});
  EXPECT_EQ(found.walk.end, End::kLost);
  EXPECT_LE(found.walk.frames, 20u);
}

TEST(Unwinder, AStackThatDoesNotAdvanceEnds) {
  OrcImage image(
      Table{{0x0, {.sp_offset = 0, .sp_reg = Reg::kSp}}, {0x100, {.sp_offset = -64, .sp_reg = Reg::kSp}}});
  image.put(0, kBack0);
  image.put(9, kBack0);
  image.put(10, kBack0);
  EXPECT_EQ(walk(image, {.ip = kBack0, .sp = OrcImage::stack(10)}).walk.end, End::kLost);
  EXPECT_EQ(walk(image, {.ip = kBack1, .sp = OrcImage::stack(10)}).walk.end, End::kLost);
}

TEST(Unwinder, GivesNoMoreFramesThanThereIsRoomFor) {
  OrcImage image(Table{{0x0, kCalled}});
  for (std::uint64_t i = 0; i < 1000; ++i) image.put(i, kBack0);
  const auto found = walk(image, {.ip = kBack0, .sp = OrcImage::stack(0)}, 17);
  EXPECT_EQ(found.walk.end, End::kFull);
  EXPECT_EQ(found.walk.frames, 17u);
}

TEST(Unwinder, AStackPointerThatLeadsNowhereIsTheEnd) {
  OrcImage image(Table{{0x0, kCalled}, {0x100, kByBp}, {0x200, kRegs}});
  for (const Gva ip : {kBack0, kBack1, kBack2}) {
    const auto found = walk(image, {.ip = ip, .sp = Gva{UINT64_MAX - 3}, .bp = UINT64_MAX - 20});
    EXPECT_EQ(found.walk.end, End::kLost);
    EXPECT_THAT(found.ips, ElementsAre(ip));
  }
}

TEST(Unwinder, AWordThatIsNoCodeIsNoFrame) {
  OrcImage image(Table{{0x0, kCalled}});
  image.put(0, 0xdead);
  const auto found = walk(image, {.ip = kBack0, .sp = OrcImage::stack(0)});
  EXPECT_THAT(found.ips, ElementsAre(kBack0));
  EXPECT_EQ(found.walk.end, End::kLost);
}

TEST(Unwinder, CodeOfNobodysIsPassedByItsFramePointer) {
  OrcImage image(Table{{0x0, kCalled}, {0x100, kTop}});
  const Gva program{0xffffffffc0001000};
  image.put(0, program);
  image.put(20, 0x99);
  image.put(21, kBack1);
  const auto found = walk(image, {.ip = kBack0, .sp = OrcImage::stack(0), .bp = OrcImage::stack(20).value});
  EXPECT_THAT(found.ips, ElementsAre(kBack0, program, kBack1));
  EXPECT_EQ(found.walk.end, End::kTop);
}

TEST(Unwinder, WithoutTablesFollowsFramePointers) {
  OrcImage image(Table{});
  image.put(0, kBack1);  // at a function's begin its caller is on top of the stack
  image.put(10, OrcImage::stack(20).value);
  image.put(11, kBack2);
  image.put(20, OrcImage::stack(30).value + 1);  // registers are kept there
  image.put(21, kBack3);
  put_regs(image, 30, Gva{0x401000}, kUserCs, Gva{0x7ffe0000}, 0);
  const auto found = walk(
      image, {.ip = OrcImage::function(0, 4), .sp = OrcImage::stack(0), .bp = OrcImage::stack(10).value});
  EXPECT_THAT(found.ips, ElementsAre(OrcImage::function(0, 4), kBack1, kBack2, kBack3));
  EXPECT_EQ(found.walk.end, End::kUser);
  EXPECT_EQ(found.walk.user_regs, OrcImage::stack(30));
}

TEST(Unwinder, FramePointersInACircleEnd) {
  OrcImage image(Table{});
  image.put(10, OrcImage::stack(20).value);
  image.put(11, kBack2);
  image.put(20, OrcImage::stack(10).value);
  image.put(21, kBack3);
  const auto found = walk(
      image, {.ip = OrcImage::function(0, 0x40), .sp = OrcImage::stack(0), .bp = OrcImage::stack(10).value},
      1000);
  EXPECT_EQ(found.walk.end, End::kLost);
  EXPECT_LE(found.walk.frames, 20u);
}

TEST(Unwinder, ATaskThatSleepsBeginsAtItsSwitch) {
  OrcImage image(Table{{0x0, kCalled}});
  const Unwinder unwinder(image.symbols(), nullptr, std::nullopt, image.memory());
  const SleepLayout layout{
      .saved_sp = 16, .frame_bp = 8, .frame_ret_addr = 16, .on_cpu = 0, .frame_bytes = 24, .on_cpu_bytes = 4};
  image.put(2, OrcImage::stack(8));
  image.put(9, 0x1234);
  image.put(10, kBack0);
  const auto found = unwinder.sleeping(layout, OrcImage::stack(0), image.memory());
  ASSERT_TRUE(found);
  EXPECT_EQ(found->ip, kBack0);
  EXPECT_EQ(found->sp, OrcImage::stack(11));
  EXPECT_EQ(found->bp, 0x1234u);
  EXPECT_TRUE(found->behind_call);
  image.put(10, OrcImage::function(0));
  EXPECT_FALSE(unwinder.sleeping(layout, OrcImage::stack(0), image.memory())->behind_call);
  EXPECT_FALSE(unwinder.sleeping(layout, Gva{0x10}, image.memory()));
}

}  // namespace
}  // namespace ringside::guestos
