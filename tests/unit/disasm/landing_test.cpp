#include "disasm/landing.hpp"

#include <map>
#include <vector>

#include <gmock/gmock.h>

#include "arch/x86/control.hpp"
#include "tests/fakes/array_memory.hpp"

namespace ringside::disasm {
namespace {

using testing::ElementsAre;
using testing::IsEmpty;
using testing::SizeIs;
using x86::Reg;
using Code = std::vector<std::uint8_t>;
using Way = Landings::Way;

constexpr std::uint64_t kRip = 0x8000, kStack = 0x9000, kIdt = 0x5000, kGdt = 0x6000;

// One to one: 2 MiB by a large page in long mode; without paging elsewhere.
class LandingTest : public testing::Test, public SystemRegisters {
 protected:
  LandingTest() {
    memory_.put(0x1000, std::uint64_t{0x2007});
    memory_.put(0x2000, std::uint64_t{0x3007});
    memory_.put(0x3000, std::uint64_t{0xe7});
    memory_.put(kGdt + 0x10, std::uint64_t{0x00af9b000000ffff});  // flat 64-bit code
    cpu_.paging = {.cr0 = x86::cr0::kPe | x86::cr0::kPg,
                   .cr3 = 0x1000,
                   .cr4 = x86::cr4::kPae,
                   .efer = x86::efer::kLme | x86::efer::kLma};
    cpu_.cs = {.selector = 0x10, .long_mode = true};
    cpu_.core.rip = kRip;
    cpu_.core.gpr[x86::kRsp] = kStack;
    cpu_.core.gpr[x86::kRbx] = 0xa000;
    values_ = {{Reg::kIdtrBase, kIdt},  {Reg::kIdtrLimit, 0xfff}, {Reg::kGdtrBase, kGdt},
               {Reg::kMsrLstar, 0x111}, {Reg::kMsrCstar, 0x222},  {Reg::kMsrSysenterEip, 0x333},
               {Reg::kMsrStar, 0x444}};
  }
  std::uint64_t value(Reg reg) noexcept override { return values_[reg]; }

  void long_gate(std::uint8_t vector, std::uint64_t to, std::uint8_t type = 0x8e) {
    memory_.put(kIdt + vector * 16u,
                (to & 0xffff) | 0x100000 | std::uint64_t{type} << 40 | (to >> 16 & 0xffff) << 48);
    memory_.put(kIdt + vector * 16u + 8, to >> 32);
  }
  void protected_mode() {
    cpu_.paging = {.cr0 = x86::cr0::kPe};
    cpu_.cs = {.selector = 0x10, .default_big = true};
    memory_.put(kGdt + 0x10, std::uint64_t{0x00cf9b000000ffff});
  }
  void short_gate(std::uint8_t vector, std::uint32_t to, std::uint8_t type = 0x8e) {
    memory_.put(kIdt + vector * 8u,
                (to & 0xffffull) | 0x100000 | std::uint64_t{type} << 40 | std::uint64_t{to >> 16} << 48);
  }
  Landings find(const Code& code) { return find_landings(code, cpu_, *this, memory_); }
  static std::vector<std::uint64_t> places(const Landings& landings) {
    std::vector<std::uint64_t> out;
    for (const Landing& landing : landings.list()) out.push_back(landing.at.value);
    return out;
  }

  fakes::ArrayMemory memory_{0x20000};
  x86::CpuContext cpu_;
  std::map<Reg, std::uint64_t> values_;
};

constexpr std::uint64_t kPage = 0xffffffff81000e00, kProtection = 0xffffffff81000d00,
                        kUndefined = 0xffffffff81000600, kOther = 0xffffffff81001000;

TEST_F(LandingTest, SyscallLeadsToTheEntryOfItsMode) {
  const Landings landings = find({0x0f, 0x05});
  EXPECT_EQ(landings.way, Way::kToFirst);
  ASSERT_THAT(places(landings), ElementsAre(0x111));
  EXPECT_EQ(landings.storage[0].kind, Landing::Kind::kEntry);
  cpu_.cs = {.selector = 0x23, .default_big = true, .cpl = 3};
  EXPECT_THAT(places(find({0x0f, 0x05})), ElementsAre(0x222));
  EXPECT_THAT(places(find({0x0f, 0x34})), ElementsAre(0x333));
  protected_mode();
  EXPECT_THAT(places(find({0x0f, 0x05})), ElementsAre(0x444));
}

TEST_F(LandingTest, SysretAndSysexitGoWhereARegisterSays) {
  cpu_.core.gpr[x86::kRcx] = 0x1'0000'7000;
  cpu_.core.gpr[x86::kRdx] = 0x2'0000'6000;
  EXPECT_THAT(places(find({0x48, 0x0f, 0x07})), ElementsAre(0x1'0000'7000));
  EXPECT_THAT(places(find({0x0f, 0x07})), ElementsAre(0x7000));
  EXPECT_THAT(places(find({0x48, 0x0f, 0x35})), ElementsAre(0x2'0000'6000));
  EXPECT_THAT(places(find({0x0f, 0x35})), ElementsAre(0x6000));
}

TEST_F(LandingTest, AGateIsReadInFull) {
  long_gate(0x80, 0xffffffff81234567);
  const Landings landings = find({0xcd, 0x80});
  EXPECT_EQ(landings.way, Way::kToFirst);
  EXPECT_EQ(landings.storage[0],
            (Landing{Gva{0xffffffff81234567}, Landing::Kind::kGate, 8, /*error_code=*/false}));
}

TEST_F(LandingTest, AnErrorCodeComesWithAnExceptionNotWithAnInstruction) {
  long_gate(14, kPage);
  EXPECT_TRUE(find({0x8b, 0x03}).storage[0].error_code);
  EXPECT_FALSE(find({0xcd, 0x0e}).storage[0].error_code);
}

TEST_F(LandingTest, GatesThatCannotBeTakenAreNone) {
  long_gate(0x80, kOther, 0x0e);  // not present
  EXPECT_EQ(find({0xcd, 0x80}).way, Way::kUnknown);
  long_gate(0x80, kOther, 0x85);  // a task gate
  EXPECT_EQ(find({0xcd, 0x80}).way, Way::kUnknown);
  long_gate(0x80, kOther);
  values_[Reg::kIdtrLimit] = 0x80 * 16 + 14;
  EXPECT_EQ(find({0xcd, 0x80}).way, Way::kUnknown);
  values_[Reg::kIdtrLimit] = 0x80 * 16 + 15;
  EXPECT_EQ(find({0xcd, 0x80}).way, Way::kToFirst);
  values_[Reg::kIdtrBase] = 0xfffffffffffffff8;  // wraps, and is not mapped
  EXPECT_THAT(find({0xcd, 0x80}).list(), IsEmpty());
}

TEST_F(LandingTest, GatesOfProtectedAndRealMode) {
  protected_mode();
  short_gate(3, 0x123456);
  EXPECT_EQ(find({0xcc}).storage[0], (Landing{Gva{0x123456}, Landing::Kind::kGate, 4, false}));
  short_gate(3, 0xabc123456 & 0xffffffff, 0x86);
  EXPECT_EQ(find({0xcc}).storage[0], (Landing{Gva{0x3456}, Landing::Kind::kGate, 2, false}));
  memory_.put(kGdt + 0x10, std::uint64_t{0x12cf9b345678ffff});  // base 0x12345678
  EXPECT_EQ(find({0xcc}).storage[0].at, Gva{0x12345678 + 0x3456});
  cpu_.paging = {};
  cpu_.cs = {};
  values_[Reg::kIdtrBase] = 0;
  memory_.put(3 * 4, std::uint32_t{0xf000'0123});
  EXPECT_EQ(find({0xcc}).storage[0], (Landing{Gva{0xf0123}, Landing::Kind::kGate, 2, false}));
}

TEST_F(LandingTest, IretGoesWhereTheStackSays) {
  memory_.put(kStack, std::uint64_t{0x7f00'1234'5678});
  memory_.put(kStack + 8, std::uint64_t{0x10});
  const Landings landings = find({0x48, 0xcf});
  EXPECT_EQ(landings.way, Way::kToFirst);
  EXPECT_EQ(landings.storage[0].at, Gva{0x7f00'1234'5678});
  EXPECT_EQ(landings.storage[0].kind, Landing::Kind::kReturn);
  memory_.put(kStack + 4, std::uint32_t{0x10});
  EXPECT_EQ(find({0xcf}).storage[0].at, Gva{0x1234'5678});
  cpu_.core.gpr[x86::kRsp] = 0x7f00'0000'0000;  // nothing there
  EXPECT_EQ(find({0x48, 0xcf}).way, Way::kUnknown);
}

TEST_F(LandingTest, AFarReturnKeepsItsTrap) {
  memory_.put(kStack, std::uint64_t{0x4567});
  memory_.put(kStack + 8, std::uint64_t{0x10});
  const Landings landings = find({0x48, 0xcb});
  EXPECT_EQ(landings.way, Way::kTrapFollows);
  EXPECT_THAT(places(landings), ElementsAre(0x4567));
}

TEST_F(LandingTest, PlainInstructionsHaveTheLikelyFaultsAsCandidates) {
  long_gate(14, kPage), long_gate(13, kProtection), long_gate(6, kUndefined);
  const Landings landings = find({0x8b, 0x03});
  EXPECT_EQ(landings.way, Way::kTrapFollows);
  EXPECT_THAT(places(landings), ElementsAre(kPage, kProtection, kUndefined));
  long_gate(0, kOther);
  EXPECT_EQ(places(find({0xf7, 0xf1}))[0], kOther);                            // div ecx
  EXPECT_EQ(places(find({0xe4, 0x10}))[0], kProtection);                       // in
  EXPECT_EQ(places(find({0x0f, 0x0b}))[0], kUndefined);                        // ud2
  EXPECT_EQ(places(find({0x48, 0xf7, 0x34, 0x25, 0, 0, 0, 0x40}))[0], kPage);  // div qword [0x40000000]
}

TEST_F(LandingTest, AnAddressThatIsNoneIsProtectionOrStack) {
  long_gate(14, kPage), long_gate(13, kProtection), long_gate(12, kOther);
  cpu_.core.gpr[x86::kRbx] = cpu_.core.gpr[x86::kRbp] = 0x8000'0000'0000'0000;
  EXPECT_EQ(places(find({0x8b, 0x03}))[0], kProtection);   // mov eax,[rbx]
  EXPECT_EQ(places(find({0x8b, 0x45, 0x00}))[0], kOther);  // mov eax,[rbp]
}

TEST_F(LandingTest, WithoutPagingThereAreNoPageFaultsButOneCandidateIsEnough) {
  protected_mode();
  short_gate(13, 0x1300), short_gate(14, 0x1400);
  EXPECT_THAT(places(find({0x8b, 0x03})), testing::Contains(0x1300));
}

TEST_F(LandingTest, NeverMoreThanThereAreDebugRegisters) {
  for (unsigned vector = 0; vector < 32; ++vector)
    long_gate(static_cast<std::uint8_t>(vector), kOther + vector);
  EXPECT_THAT(find({0x48, 0xcf}).list(), SizeIs(4));
  EXPECT_THAT(find({0x8b, 0x03}).list(), SizeIs(4));
  EXPECT_THAT(find({0xd9, 0x03}).list(), SizeIs(4));
}

TEST_F(LandingTest, TheSameHandlerIsOneCandidate) {
  for (unsigned vector = 0; vector < 32; ++vector) long_gate(static_cast<std::uint8_t>(vector), kOther);
  EXPECT_THAT(find({0x8b, 0x03}).list(), SizeIs(1));
}

TEST_F(LandingTest, PushfIsMarkedWithItsEndAndItsWidth) {
  EXPECT_EQ(find({0x9c}).pushf_end, 1);
  EXPECT_EQ(find({0x9c}).pushf_word, 8);
  EXPECT_EQ(find({0x66, 0x9c}).pushf_end, 2);
  EXPECT_EQ(find({0x66, 0x9c}).pushf_word, 2);
  EXPECT_EQ(find({0x90}).pushf_end, 0);
  protected_mode();
  EXPECT_EQ(find({0x9c}).pushf_word, 4);
  EXPECT_EQ(find({0x48, 0x9c}).pushf_end, 0);  // dec eax; pushf
}

TEST_F(LandingTest, WhatStandsInAShadowCountsToo) {
  long_gate(0x80, kOther);
  EXPECT_EQ(find({0x8e, 0xd0, 0x9c}).pushf_end, 3);            // mov ss,eax; pushf
  EXPECT_EQ(places(find({0xfb, 0xcd, 0x80}))[0], kOther);      // sti; int 0x80
  EXPECT_EQ(find({0xfb, 0xcd, 0x80}).way, Way::kTrapFollows);  // but not for sure
  EXPECT_EQ(find({0x8e, 0xd8, 0x9c}).pushf_end, 0);            // mov ds,eax holds nothing back
  EXPECT_EQ(find({0x8e, 0xd0}).pushf_end, 0);                  // nothing known behind it
}

TEST_F(LandingTest, CodeThatCannotBeReadIsAPageFault) {
  EXPECT_EQ(find({}).way, Way::kUnknown);
  long_gate(14, kPage);
  EXPECT_EQ(find({}).way, Way::kToFirst);
  EXPECT_THAT(places(find({})), ElementsAre(kPage));
  EXPECT_THAT(places(find({0x48, 0x8b})), testing::Contains(kPage));  // cut off
}

// Every start of every instruction of two bytes, in all code sizes: nothing is read that is not there.
TEST_F(LandingTest, AnyBytesAreTaken) {
  for (const bool long_mode : {true, false}) {
    if (!long_mode) protected_mode();
    for (unsigned value = 0; value < 0x10000; ++value) {
      const Code code{static_cast<std::uint8_t>(value), static_cast<std::uint8_t>(value >> 8)};
      EXPECT_LE(find(code).count, 4);
      EXPECT_LE(find({0x0f, code[0], code[1]}).count, 4);
      EXPECT_LE(find({0x66, 0x8e, code[0], code[1]}).count, 4);
    }
  }
  EXPECT_THAT(find(Code(30, 0x66)).list(), IsEmpty());
}

}  // namespace
}  // namespace ringside::disasm
