// Every register of the register file through KVM and back, and refusals.
#include <algorithm>

#include <gtest/gtest.h>

#include "tests/kvm/guest_testing.hpp"

namespace ringside::test {
namespace {

using x86::Reg;
using x86::RegGroup;
using x86::RegisterFile;

struct Value {
  Reg reg;
  std::uint64_t value;
};

// Values that KVM's checks let pass in long mode, different from those that a tiny guest starts with.
constexpr Value kPlainValues[] = {
    {Reg::kRax, 0x1111111111111111},
    {Reg::kRbx, 0x2222222222222222},
    {Reg::kRcx, 0x3333333333333333},
    {Reg::kRdx, 0x4444444444444444},
    {Reg::kRsi, 0x5555555555555555},
    {Reg::kRdi, 0x6666666666666666},
    {Reg::kRbp, 0x7777777777777777},
    {Reg::kRsp, 0x0000788888888888},
    {Reg::kR8, 0x9999999999999999},
    {Reg::kR9, 0xaaaaaaaaaaaaaaaa},
    {Reg::kR10, 0xbbbbbbbbbbbbbbbb},
    {Reg::kR11, 0xcccccccccccccccc},
    {Reg::kR12, 0xdddddddddddddddd},
    {Reg::kR13, 0xeeeeeeeeeeeeeeee},
    {Reg::kR14, 0xffffffffffffffff},
    {Reg::kR15, 0x0123456789abcdef},
    {Reg::kRip, 0xffffffff81000123},
    {Reg::kEflags, 0x40cd7},
    {Reg::kCs, 0x18},
    {Reg::kSs, 0x20},
    {Reg::kDs, 0x28},
    {Reg::kEs, 0x30},
    {Reg::kFs, 0x38},
    {Reg::kGs, 0x40},
    {Reg::kFsBase, 0x00007f0012345678},
    {Reg::kGsBase, 0xffff888012345678},
    {Reg::kCr0, 0x80050033},
    {Reg::kCr2, 0xffffc90000001234},
    {Reg::kCr3, 0x0000000000002000},
    {Reg::kCr4, 0x6a8},
    {Reg::kCr8, 0x9},
    {Reg::kEfer, 0xd01},
    {Reg::kDsBase, 0x1000},
    {Reg::kEsBase, 0x2000},
    {Reg::kTr, 0x48},
    {Reg::kTrBase, 0xfffffe0000003000},
    {Reg::kLdtr, 0x50},
    {Reg::kLdtrBase, 0xfffffe0000004000},
    {Reg::kGdtrBase, 0xfffffe0000001000},
    {Reg::kGdtrLimit, 0x7f},
    {Reg::kIdtrBase, 0xfffffe0000000000},
    {Reg::kIdtrLimit, 0xfff},
    {Reg::kKGsBase, 0xffff888076543210},
    {Reg::kMsrStar, 0x0023001000000000},
    {Reg::kMsrLstar, 0xffffffff81a00000},
    {Reg::kMsrCstar, 0xffffffff81a01000},
    {Reg::kMsrSfmask, 0x257fd5},
    {Reg::kMsrSysenterCs, 0x10},
    {Reg::kMsrSysenterEsp, 0x80005000},  // AMD has 32 bits of these two
    {Reg::kMsrSysenterEip, 0x81a02000},
    {Reg::kMsrPat, 0x0407050600070106},
    {Reg::kDr0, 0x1000},
    {Reg::kDr1, 0xffffffff81000000},
    {Reg::kDr2, 0x3000},
    {Reg::kDr3, 0x4000},
    {Reg::kDr6, 0xffff4ff0},
    {Reg::kDr7, 0x402},
};

constexpr Value kFpuValues[] = {{Reg::kFctrl, 0x27f}, {Reg::kFstat, 0x4700}, {Reg::kMxcsr, 0x7fa0}};

// AMD saves and loads these only while an x87 exception is pending (APM 2 11.4.4.3): no entry in between.
constexpr Value kFpuPointers[] = {
    {Reg::kFiseg, 0x7fff},     {Reg::kFioff, 0x12345678}, {Reg::kFoseg, 0x1234},
    {Reg::kFooff, 0x87654321}, {Reg::kFop, 0x5a5},
};

class Registers : public GuestTest {
 protected:
  // With the interrupt controllers: without, CR8 is the run page's business (KVM api 5, "cr8").
  Registers() { boot({kNop, 0xe6, 0x10}); }
  using GuestTest::boot;
  void boot(const Code& code) {
    GuestTest::boot(code, {.mode = TinyGuest::Mode::kLong, .chips = TinyGuest::Chips::kIrqchip});
  }
  // The end of a guest: hlt would stay in the kernel.
  void expect_out() {
    const kvm::Exit exit = vcpu().run();
    EXPECT_TRUE(std::holds_alternative<kvm::PortIo>(exit)) << to_text(exit);
  }

  Result<void> write(Reg reg, std::uint64_t value) {
    RegisterFile file;
    file.set_u64(reg, value);
    return vcpu().write(reg, file.raw(reg));
  }
  void must_write(Reg reg, std::uint64_t value) {
    const Result<void> done = write(reg, value);
    EXPECT_TRUE(done) << x86::info(reg).name << ": " << (done ? "" : done.error().text);
  }
  RegisterFile read_all() {
    RegisterFile file;
    const Result<void> done = vcpu().read(x86::RegGroups::all(), file);
    EXPECT_TRUE(done) << (done ? "" : done.error().text);
    return file;
  }
  static bool one_of(Reg reg, Reg first, Reg last) { return first <= reg && reg <= last; }
};

// Bytes that differ from register to register and inside one.
Bytes pattern(Reg reg) {
  Bytes bytes(x86::info(reg).bytes);
  for (std::size_t i = 0; i < bytes.size(); ++i) {
    bytes[i] = static_cast<std::uint8_t>(static_cast<unsigned>(reg) * 7 + i * 3 + 1);
  }
  return bytes;
}

TEST_F(Registers, PlainOnesRoundTripOneByOne) {
  for (const auto& [reg, value] : kPlainValues) must_write(reg, value);
  pass_through_kvm();
  const RegisterFile after = read_all();
  for (const auto& [reg, value] : kPlainValues) {
    EXPECT_EQ(after.u64(reg), value) << x86::info(reg).name;
  }
}

TEST_F(Registers, X87AndItsControlWordsRoundTrip) {
  for (const auto& [reg, value] : kFpuValues) must_write(reg, value);
  const Bytes one{0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x3f};       // 1.0
  const Bytes infinity{0, 0, 0, 0, 0, 0, 0, 0x80, 0xff, 0x7f};  // a "special" tag
  const Bytes zero(10, 0);
  ASSERT_TRUE(vcpu().write(Reg::kSt0, one));
  ASSERT_TRUE(vcpu().write(Reg::kSt1, infinity));
  ASSERT_TRUE(vcpu().write(Reg::kSt2, zero));
  must_write(Reg::kFtag, 0xffd8);  // valid, special, zero, and five empty (SDM 1 8.1.7)
  pass_through_kvm();
  const RegisterFile after = read_all();
  for (const auto& [reg, value] : kFpuValues) EXPECT_EQ(after.u64(reg), value) << x86::info(reg).name;
  EXPECT_TRUE(std::ranges::equal(after.raw(Reg::kSt0), one));
  EXPECT_TRUE(std::ranges::equal(after.raw(Reg::kSt1), infinity));
  EXPECT_TRUE(std::ranges::equal(after.raw(Reg::kSt2), zero));
  EXPECT_EQ(after.u64(Reg::kFtag), 0xffd8u);
}

TEST_F(Registers, X87PointersRoundTrip) {
  for (const auto& [reg, value] : kFpuPointers) must_write(reg, value);
  const RegisterFile after = read_all();
  for (const auto& [reg, value] : kFpuPointers) EXPECT_EQ(after.u64(reg), value) << x86::info(reg).name;
}

TEST_F(Registers, VectorRegistersRoundTripWhereTheCpuHasThem) {
  const auto vector = [](Reg reg) {
    const RegGroup group = x86::info(reg).group;
    return one_of(reg, Reg::kXmm0, Reg::kXmm15) || group == RegGroup::kAvx || group == RegGroup::kAvx512;
  };
  const RegisterFile before = read_all();
  for (std::size_t i = 0; i < x86::kRegCount; ++i) {
    const auto reg = static_cast<Reg>(i);
    if (!vector(reg) || !before.available(reg)) continue;
    EXPECT_TRUE(vcpu().write(reg, pattern(reg))) << x86::info(reg).name;
  }
  pass_through_kvm();
  const RegisterFile after = read_all();
  std::size_t seen = 0;
  for (std::size_t i = 0; i < x86::kRegCount; ++i) {
    const auto reg = static_cast<Reg>(i);
    if (!vector(reg) || !after.available(reg)) continue;
    EXPECT_TRUE(std::ranges::equal(after.raw(reg), pattern(reg))) << x86::info(reg).name;
    ++seen;
  }
  RecordProperty("vector_registers", static_cast<int>(seen));
  EXPECT_GE(seen, 16u);
}

TEST_F(Registers, PkruRoundTripsWhereTheCpuHasIt) {
  if (!read_all().available(Reg::kPkru)) {
    EXPECT_FALSE(vcpu().write(Reg::kPkru, Bytes(4)));
    return;
  }
  must_write(Reg::kPkru, 0x55555554);
  pass_through_kvm();
  EXPECT_EQ(read_all().u64(Reg::kPkru), 0x55555554u);
}

TEST_F(Registers, WhatTheCpuLacksIsRefusedAndMarked) {
  const RegisterFile all = read_all();
  for (const Reg reg : {Reg::kYmm0h, Reg::kZmm0h, Reg::kPkru}) {
    if (all.available(reg)) continue;
    const Result<void> done = vcpu().write(reg, Bytes(x86::info(reg).bytes));
    ASSERT_FALSE(done);
    EXPECT_EQ(done.error().code, Errc::kUnsupported);
  }
}

TEST_F(Registers, TheGuestSeesWhatWasWritten) {
  // mov [rbx],rax; movups [rbx+16],xmm1; mov rax,cr2; mov [rbx+32],rax; out 0x10,al
  boot({0x48, 0x89, 0x03, 0x0f, 0x11, 0x4b, 0x10, 0x0f, 0x20, 0xd0, 0x48, 0x89, 0x43, 0x20, 0xe6, 0x10});
  must_write(Reg::kRax, 0x1122334455667788);
  ASSERT_TRUE(vcpu().write(Reg::kXmm1, pattern(Reg::kXmm1)));
  must_write(Reg::kCr2, 0xabcd1234);
  expect_out();
  EXPECT_EQ(qword(kData), 0x1122334455667788u);
  EXPECT_EQ(qword(kData + 16), load<std::uint64_t>(pattern(Reg::kXmm1).data()));
  EXPECT_EQ(qword(kData + 32), 0xabcd1234u);
}

TEST_F(Registers, WeSeeWhatTheGuestWrote) {
  // mov eax,0x1234; mov cr2,rax; movq xmm3,rax; fld1; out 0x10,al
  boot({0xb8, 0x34, 0x12, 0, 0, 0x0f, 0x22, 0xd0, 0x66, 0x48, 0x0f, 0x6e, 0xd8, 0xd9, 0xe8, 0xe6, 0x10});
  expect_out();
  const RegisterFile after = read_all();
  EXPECT_EQ(after.u64(Reg::kRax), 0x1234u);
  EXPECT_EQ(after.u64(Reg::kCr2), 0x1234u);
  EXPECT_EQ(after.u64(Reg::kXmm3), 0x1234u);
  EXPECT_EQ(after.u64(Reg::kSt0), 0x8000000000000000u);  // mantissa of 1.0
  EXPECT_EQ(after.u64(Reg::kFtag), 0x3fffu);             // register 7 valid, the others empty
  EXPECT_EQ(after.u64(Reg::kFstat) >> 11 & 7u, 7u);
}

TEST_F(Registers, TheTimeStampCounterRunsOnFromWhereItIsSet) {
  boot({0x0f, 0x31, 0xe6, 0x10});  // rdtsc; out 0x10,al
  must_write(Reg::kMsrTsc, 0x123400000000);
  expect_out();
  const std::uint64_t seen = gpr(x86::kRdx) << 32 | (gpr(x86::kRax) & 0xffffffff);
  EXPECT_GE(seen, 0x123400000000u);
  EXPECT_LT(seen, 0x133400000000u);
}

TEST_F(Registers, RefusedWritesAreErrorsAndChangeNothing) {
  const Value refused[] = {
      {Reg::kCr0, 0x80000000},               // paging without protection (SDM 3A 2.5)
      {Reg::kCr4, 0x8000000000000020},       // a reserved bit
      {Reg::kCr4, 0},                        // long mode without PAE
      {Reg::kMsrLstar, 0x8000000000000000},  // not canonical
      {Reg::kMsrPat, 0xff},                  // no such memory type (SDM 3A 11.12.2)
      {Reg::kMxcsr, 0xffff0000},             // reserved bits (SDM 1 10.2.3)
      {Reg::kDr6, 0x100000000},              // upper half (SDM 3B 17.2.6)
      {Reg::kDr7, 0x100000400},
  };
  const RegisterFile before = read_all();
  for (const auto& [reg, value] : refused) {
    const Result<void> done = write(reg, value);
    EXPECT_FALSE(done) << x86::info(reg).name << " took " << std::hex << value;
  }
  RegisterFile after = read_all();
  after.set_u64(Reg::kMsrTsc, before.u64(Reg::kMsrTsc));
  for (std::size_t i = 0; i < x86::kRegCount; ++i) {
    const auto reg = static_cast<Reg>(i);
    EXPECT_TRUE(std::ranges::equal(before.raw(reg), after.raw(reg))) << x86::info(reg).name;
  }
  expect_out();
}

TEST_F(Registers, AValueOfTheWrongSizeIsMalformed) {
  const Result<void> done = vcpu().write(Reg::kRax, Bytes(4));
  ASSERT_FALSE(done);
  EXPECT_EQ(done.error().code, Errc::kMalformed);
}

TEST_F(Registers, WritesToSeveralGroupsDoNotUndoOneAnother) {
  must_write(Reg::kRax, 1);
  must_write(Reg::kFsBase, 2);
  must_write(Reg::kRbx, 3);
  must_write(Reg::kGsBase, 4);
  must_write(Reg::kMsrStar, 5);
  must_write(Reg::kRip, kCode);
  const RegisterFile now = read_all();
  expect_out();
  const RegisterFile after = read_all();
  for (const RegisterFile* file : {&now, &after}) {
    EXPECT_EQ(file->u64(Reg::kRax), 1u);
    EXPECT_EQ(file->u64(Reg::kFsBase), 2u);
    EXPECT_EQ(file->u64(Reg::kRbx), 3u);
    EXPECT_EQ(file->u64(Reg::kGsBase), 4u);
    EXPECT_EQ(file->u64(Reg::kMsrStar), 5u);
  }
}

}  // namespace
}  // namespace ringside::test
