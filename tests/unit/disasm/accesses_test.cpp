#include "disasm/accesses.hpp"

#include <gtest/gtest.h>

#include "arch/x86/control.hpp"
#include "tests/fakes/array_memory.hpp"

namespace ringside::disasm {
namespace {

using namespace x86;
using Segment = InsnLayout::Segment;

Accesses accesses(const Bytes& code, std::uint8_t operand_bytes = 0) {
  const auto layout = read_layout(code);
  EXPECT_TRUE(layout.has_value()) << testing::PrintToString(code);
  return accesses_of(*layout, operand_bytes);
}

TEST(Accesses, AnInstructionOnRegistersHasNone) {
  const Accesses none = accesses({0x48, 0x0f, 0x45, 0xc1});  // cmovne rax,rcx
  EXPECT_EQ(none.list().size(), 0u);
  EXPECT_FALSE(none.unpredictable);
}

TEST(Accesses, AreWritesUnlessTheOpcodeOnlyReads) {
  const Bytes readers[] = {{0x03, 0x03},              // add eax,[rbx]
                           {0x39, 0x03},              // cmp [rbx],eax
                           {0x3b, 0x03},              // cmp eax,[rbx]
                           {0x63, 0x03},              // movsxd
                           {0x6b, 0x03, 1},           // imul eax,[rbx],1
                           {0x83, 0x3b, 1},           // cmp dword [rbx],1
                           {0x85, 0x03},              // test
                           {0x8b, 0x03},              // mov eax,[rbx]
                           {0xf7, 0x03, 1, 0, 0, 0},  // test dword [rbx],1
                           {0xf7, 0x23},              // mul dword [rbx]
                           {0x0f, 0x45, 0x03},        // cmovne
                           {0x0f, 0xa3, 0x03},        // bt
                           {0x0f, 0xba, 0x23, 1},     // bt dword [rbx],1
                           {0x0f, 0xaf, 0x03},        // imul
                           {0x0f, 0xb6, 0x03},        // movzx
                           {0x0f, 0xbc, 0x03},        // bsf
                           {0xf3, 0x0f, 0xb8, 0x03},  // popcnt
                           {0x0f, 0xbf, 0x03},        // movsx
                           {0x0f, 0x01, 0x3b},        // invlpg
                           {0x0f, 0xae, 0x3b}};       // clflush
  for (const Bytes& code : readers) {
    const Accesses one = accesses(code, 4);
    ASSERT_EQ(one.list().size(), 1u) << testing::PrintToString(code);
    EXPECT_EQ(one.list()[0].how, Access::kRead) << testing::PrintToString(code);
    EXPECT_FALSE(one.unpredictable) << testing::PrintToString(code);
  }
  const Bytes writers[] = {{0x01, 0x03},               // add [rbx],eax
                           {0x83, 0x03, 1},            // add dword [rbx],1
                           {0x87, 0x03},               // xchg
                           {0x89, 0x03},               // mov [rbx],eax
                           {0xc1, 0x23, 1},            // shl dword [rbx],1
                           {0xc7, 0x03, 1, 0, 0, 0},   // mov dword [rbx],1
                           {0xf7, 0x1b},               // neg
                           {0xff, 0x03},               // inc
                           {0x0f, 0x92, 0x03},         // setb
                           {0x0f, 0xab, 0x03},         // bts
                           {0x0f, 0xba, 0x2b, 1},      // bts dword [rbx],1
                           {0xf0, 0x0f, 0xb1, 0x0b},   // lock cmpxchg
                           {0x0f, 0xc1, 0x03},         // xadd
                           {0x0f, 0xc7, 0x0b},         // cmpxchg8b
                           {0x0f, 0xc3, 0x03},         // movnti
                           {0x0f, 0x38, 0xf1, 0x03}};  // movbe [rbx],eax
  for (const Bytes& code : writers) {
    const Accesses one = accesses(code, 4);
    ASSERT_EQ(one.list().size(), 1u) << testing::PrintToString(code);
    EXPECT_EQ(one.list()[0].how, Access::kWrite) << testing::PrintToString(code);
    EXPECT_FALSE(one.unpredictable) << testing::PrintToString(code);
  }
}

TEST(Accesses, OfStringsAreOneElementOnEachSide) {
  const Accesses movs = accesses({0xf3, 0x65, 0x48, 0xa5});  // rep movsq, from gs:
  ASSERT_EQ(movs.list().size(), 2u);
  EXPECT_EQ(movs.list()[0].where.base, kRsi);
  EXPECT_EQ(movs.list()[0].how, Access::kRead);
  EXPECT_EQ(movs.list()[0].size, 8u);
  EXPECT_EQ(movs.list()[0].segment, Segment::kGs);
  EXPECT_EQ(movs.list()[1].where.base, kRdi);
  EXPECT_EQ(movs.list()[1].how, Access::kWrite);
  EXPECT_EQ(movs.list()[1].segment, Segment::kFlat);

  const Accesses stos = accesses({0xaa});
  ASSERT_EQ(stos.list().size(), 1u);
  EXPECT_EQ(stos.list()[0].where.base, kRdi);
  EXPECT_EQ(stos.list()[0].how, Access::kWrite);
  EXPECT_EQ(stos.list()[0].size, 1u);

  const Accesses lods = accesses({0x66, 0xad});
  ASSERT_EQ(lods.list().size(), 1u);
  EXPECT_EQ(lods.list()[0].where.base, kRsi);
  EXPECT_EQ(lods.list()[0].size, 2u);

  const Accesses cmps = accesses({0xa6});
  ASSERT_EQ(cmps.list().size(), 2u);
  EXPECT_EQ(cmps.list()[1].how, Access::kRead);

  const Accesses scas = accesses({0xaf});
  ASSERT_EQ(scas.list().size(), 1u);
  EXPECT_EQ(scas.list()[0].where.base, kRdi);
  EXPECT_EQ(scas.list()[0].how, Access::kRead);
}

TEST(Accesses, OfTheStackAreBelowOrAtItsPointer) {
  const Bytes pushes[] = {{0x66, 0x50}, {0x66, 0x6a, 1}, {0x66, 0x9c}, {0xf2, 0xff, 0xd0}, {0x0f, 0xa0}};
  for (const Bytes& code : pushes) {
    const Accesses push = accesses(code);
    ASSERT_EQ(push.list().size(), 1u) << testing::PrintToString(code);
    EXPECT_EQ(push.list()[0].where, (MemoryOperand{.base = kRsp, .displacement = -8}));
    EXPECT_EQ(push.list()[0].how, Access::kWrite);
  }
  const Bytes pops[] = {{0x9d}, {0xf3, 0xc3}, {0x66, 0x58}};
  for (const Bytes& code : pops) {
    const Accesses pop = accesses(code);
    ASSERT_EQ(pop.list().size(), 1u) << testing::PrintToString(code);
    EXPECT_EQ(pop.list()[0].where, (MemoryOperand{.base = kRsp}));
    EXPECT_EQ(pop.list()[0].how, Access::kRead);
  }
}

TEST(Accesses, WhatMayFaultOtherwiseIsUnpredictable) {
  const Bytes others[] = {
      {0xf7, 0xf1},                          // div
      {0xf6, 0xf9},                          // idiv
      {0x8e, 0xe8},                          // mov gs,eax
      {0x8f, 0x03},                          // pop [rbx]
      {0xc8, 0, 0, 0},                       // enter
      {0x66, 0xc9},                          // leave
      {0xd7},                                // xlat
      {0xa1, 0, 0, 0, 0, 0, 0, 0, 0},        // mov eax,[moffs]
      {0x65, 0xff, 0x13},                    // call gs:[rbx]
      {0x65, 0xff, 0x33},                    // push gs:[rbx]
      {0x0f, 0x00, 0xd8},                    // ltr
      {0x0f, 0x01, 0x13},                    // lgdt
      {0x0f, 0x01, 0xd0},                    // xgetbv
      {0x0f, 0x02, 0xc0},                    // lar
      {0x0f, 0x30},                          // wrmsr
      {0x0f, 0x32},                          // rdmsr
      {0x0f, 0xa1},                          // pop fs
      {0x0f, 0xae, 0x03},                    // fxsave
      {0xf3, 0x0f, 0xae, 0xd8},              // wrgsbase
      {0x0f, 0xb5, 0x03},                    // lgs
      {0x0f, 0xc7, 0x23},                    // xsavec
      {0x66, 0x0f, 0x6f, 0x03},              // movdqa
      {0x0f, 0x28, 0xc1},                    // movaps
      {0x0f, 0xc6, 0xc1, 1},                 // shufps
      {0x0f, 0xf7, 0xc1},                    // maskmovq
      {0x66, 0x0f, 0x38, 0x82, 0x03},        // invpcid
      {0x66, 0x0f, 0x3a, 0x0f, 0xc1, 8},     // palignr
      {0xc5, 0xfd, 0x6f, 0xc0},              // vmovdqa
      {0xc4, 0xe2, 0x79, 0x90, 0x04, 0x08},  // vpgatherdd
  };
  for (const Bytes& code : others)
    EXPECT_TRUE(accesses(code, 8).unpredictable) << testing::PrintToString(code);
}

TEST(Accesses, AnOperandOfUnknownSizeIsUnpredictable) {
  EXPECT_TRUE(accesses({0x0f, 0x0d, 0x0b}, 0).unpredictable);
  EXPECT_FALSE(accesses({0x0f, 0x0d, 0x0b}, 8).unpredictable);
}

TEST(MemoryAccess, AddsTheSegmentAfterCuttingTo32Bits) {
  CoreRegs regs;
  regs.gpr[kRbx] = 0xffff'ffff'0000'0010;
  MemoryAccess access{.where = {.base = kRbx}, .segment = Segment::kGs, .size = 8};
  const SegmentBases bases{.fs = 0x1000, .gs = 0xffff'8880'0000'0000};
  EXPECT_EQ(access.address(regs, bases, Gva{0}), Gva{0xffff'887f'0000'0010});
  access.address32 = true;
  EXPECT_EQ(access.address(regs, bases, Gva{0}), Gva{0xffff'8880'0000'0010});
  access.segment = Segment::kFs;
  EXPECT_EQ(access.address(regs, bases, Gva{0}), Gva{0x1010});
}

TEST(MemoryAccess, BitNumbersReachOnBothSides) {
  const Accesses bts = accesses({0x48, 0x0f, 0xab, 0x0b}, 8);  // bts [rbx],rcx
  ASSERT_EQ(bts.list().size(), 1u);
  CoreRegs regs;
  regs.gpr[kRbx] = 0x1000;
  const auto reaches = [&](std::int64_t bit_number) {
    regs.gpr[kRcx] = static_cast<std::uint64_t>(bit_number);
    return bts.list()[0].address(regs, {}, Gva{0}).value;
  };
  EXPECT_EQ(reaches(0), 0x1000u);
  EXPECT_EQ(reaches(63), 0x1000u);
  EXPECT_EQ(reaches(64), 0x1008u);
  EXPECT_EQ(reaches(-1), 0xff8u);
  EXPECT_EQ(reaches(-64), 0xff8u);
  EXPECT_EQ(reaches(-65), 0xff0u);
  EXPECT_EQ(reaches(0x4'0000), 0x1000u + 0x8000);
}

TEST(MemoryAccess, ABitNumberHasTheOperandsSize) {
  const Accesses bt = accesses({0x0f, 0xa3, 0x0b}, 4);  // bt [rbx],ecx
  CoreRegs regs;
  regs.gpr[kRbx] = 0x1000;
  regs.gpr[kRcx] = 0x1234'0000'0020;
  EXPECT_EQ(bt.list()[0].address(regs, {}, Gva{0}), Gva{0x1004});
}

// Page 0x10 at 0x5000: mapped read-only; page 0x11 not at all.
class WillNotFault : public testing::Test {
 protected:
  WillNotFault() {
    memory_.put(0x1000, std::uint64_t{0x2003});
    memory_.put(0x2000, std::uint64_t{0x3003});
    memory_.put(0x3000, std::uint64_t{0x4003});
    memory_.put(0x4000 + 0x10 * 8, std::uint64_t{0x5001});
    cpu_.core.gpr[kRbx] = 0x10000;
  }
  bool ask(const Bytes& code, std::uint8_t operand_bytes) {
    return will_not_fault(accesses(code, operand_bytes), cpu_, {}, Gva{0x10100}, memory_);
  }
  fakes::ArrayMemory memory_{0x8000};
  CpuContext cpu_{.core = {},
                  .paging = {.cr0 = cr0::kPe | cr0::kPg | cr0::kWp,
                             .cr3 = 0x1000,
                             .cr4 = cr4::kPae,
                             .efer = efer::kLme | efer::kLma | efer::kNxe},
                  .cs = {.long_mode = true}};
};

TEST_F(WillNotFault, WhatTheTablesAllow) {
  EXPECT_TRUE(ask({0x3b, 0x03}, 4));
  EXPECT_FALSE(ask({0x01, 0x03}, 4));
  cpu_.paging.cr0 &= ~cr0::kWp;
  EXPECT_TRUE(ask({0x01, 0x03}, 4));
  cpu_.core.gpr[kRbx] = 0x10ffd;
  EXPECT_FALSE(ask({0x3b, 0x03}, 4));
}

TEST_F(WillNotFault, RelativeToTheNextInstruction) {
  EXPECT_TRUE(ask({0x3b, 0x05, 0, 0, 0, 0}, 4));
  EXPECT_FALSE(ask({0x3b, 0x05, 0, 0x10, 0, 0}, 4));
}

TEST_F(WillNotFault, NotWhatIsUnpredictable) {
  EXPECT_TRUE(ask({0xf7, 0xe1}, 0));   // mul ecx
  EXPECT_FALSE(ask({0xf7, 0xf1}, 0));  // div ecx
}

TEST_F(WillNotFault, WideOperandsMustBeAligned) {
  cpu_.paging.cr0 &= ~cr0::kWp;
  EXPECT_TRUE(ask({0x48, 0x0f, 0xc7, 0x0b}, 16));
  cpu_.core.gpr[kRbx] += 8;
  EXPECT_FALSE(ask({0x48, 0x0f, 0xc7, 0x0b}, 16));
}

}  // namespace
}  // namespace ringside::disasm
