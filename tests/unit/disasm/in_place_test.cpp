#include "disasm/in_place.hpp"

#include <gmock/gmock.h>

namespace ringside::disasm {
namespace {

using enum InPlace;

std::optional<InPlace> reason(const Bytes& code) {
  const auto layout = read_layout(code);
  EXPECT_TRUE(layout.has_value()) << testing::PrintToString(code);
  return layout ? in_place_reason(*layout) : std::nullopt;
}

struct Row {
  Bytes code;
  InPlace why;
};

const Row kInPlace[] = {
    {{0x6c}, kPort},                                 // insb
    {{0xf3, 0x66, 0x6f}, kPort},                     // rep outsw
    {{0xe4, 0x10}, kPort},                           // in al,imm8
    {{0xe7, 0x10}, kPort},                           // out imm8,eax
    {{0xec}, kPort},                                 // in al,dx
    {{0xef}, kPort},                                 // out dx,eax
    {{0x70, 1}, kRelative},                          // jo
    {{0x7f, 1}, kRelative},                          // jg
    {{0xe0, 1}, kRelative},                          // loopne
    {{0xe3, 1}, kRelative},                          // jrcxz
    {{0xf2, 0xe8, 1, 0, 0, 0}, kRelative},           // bnd call
    {{0xe9, 1, 0, 0, 0}, kRelative},                 // jmp
    {{0xeb, 1}, kRelative},                          // jmp
    {{0x0f, 0x80, 1, 0, 0, 0}, kRelative},           // jo
    {{0x0f, 0x8f, 1, 0, 0, 0}, kRelative},           // jg
    {{0x8e, 0xd0}, kShadow},                         // mov ss,eax
    {{0x8e, 0x13}, kShadow},                         // mov ss,[rbx]
    {{0xfb}, kShadow},                               // sti
    {{0x0f, 0xb2, 0x03}, kShadow},                   // lss
    {{0x8e, 0xc8}, kUndecodable},                    // mov cs,eax
    {{0x8e, 0xf0}, kUndecodable},                    // mov to segment 6
    {{0x9b}, kFpu},                                  // fwait
    {{0xd8, 0xc0}, kFpu},                            // fadd
    {{0xdf, 0xe0}, kFpu},                            // fnstsw
    {{0xc6, 0xf8, 1}, kTransfer},                    // xabort
    {{0xc7, 0xf8, 1, 0, 0, 0}, kTransfer},           // xbegin
    {{0xca, 1, 0}, kTransfer},                       // lret imm16
    {{0xcb}, kTransfer},                             // lret
    {{0xcc}, kTransfer},                             // int3
    {{0xcd, 0x80}, kTransfer},                       // int
    {{0x48, 0xcf}, kTransfer},                       // iretq
    {{0xf1}, kTransfer},                             // int1
    {{0xff, 0x1b}, kTransfer},                       // far call
    {{0xff, 0x2b}, kTransfer},                       // far jmp
    {{0x0f, 0x05}, kTransfer},                       // syscall
    {{0x48, 0x0f, 0x07}, kTransfer},                 // sysretq
    {{0x0f, 0x0b}, kTransfer},                       // ud2
    {{0x0f, 0xb9, 0xcc}, kTransfer},                 // ud1
    {{0x0f, 0xff, 0xc0}, kTransfer},                 // ud0
    {{0x0f, 0x34}, kTransfer},                       // sysenter
    {{0x0f, 0x35}, kTransfer},                       // sysexit
    {{0xf4}, kState},                                // hlt
    {{0x0f, 0x01, 0xc1}, kState},                    // vmcall
    {{0x0f, 0x01, 0xc8}, kState},                    // monitor
    {{0x0f, 0x01, 0xc9}, kState},                    // mwait
    {{0x0f, 0x01, 0xd1}, kState},                    // xsetbv
    {{0x0f, 0x01, 0xd5}, kState},                    // xend
    {{0x0f, 0x01, 0xd8}, kState},                    // vmrun
    {{0x0f, 0x01, 0xd9}, kState},                    // vmmcall
    {{0x0f, 0x01, 0xf0}, kState},                    // lmsw eax
    {{0x0f, 0x01, 0x33}, kState},                    // lmsw [rbx]
    {{0xf3, 0x0f, 0x01, 0x2b}, kState},              // rstorssp
    {{0xf3, 0x48, 0x0f, 0x1e, 0xc8}, kState},        // rdssp
    {{0x0f, 0x21, 0xc0}, kState},                    // mov rax,dr0
    {{0x0f, 0x22, 0xd8}, kState},                    // mov cr3,rax
    {{0x0f, 0x23, 0xc0}, kState},                    // mov dr0,rax
    {{0x0f, 0x37}, kState},                          // getsec
    {{0x0f, 0x78, 0xc0}, kState},                    // vmread
    {{0x0f, 0x79, 0xc0}, kState},                    // vmwrite
    {{0x0f, 0xaa}, kState},                          // rsm
    {{0x0f, 0xc7, 0x33}, kState},                    // vmptrld
    {{0x0f, 0xc7, 0x3b}, kState},                    // vmptrst
    {{0x66, 0x0f, 0x38, 0x80, 0x03}, kState},        // invept
    {{0xc1, 0xf0, 1}, kVendor},                      // sal, undocumented
    {{0xd3, 0xf0}, kVendor},                         // sal, undocumented
    {{0xf6, 0xc8, 1}, kVendor},                      // test, undocumented
    {{0x67, 0x8b, 0x05, 1, 0, 0, 0}, kAddress32},    // mov eax,[eip+1]
    {{0x67, 0xff, 0x15, 1, 0, 0, 0}, kAddress32},    // call [eip+1]
    {{0xf0, 0x90}, kUndecodable},                    // lock nop
    {{0xf0, 0x89, 0x03}, kUndecodable},              // lock mov
    {{0xf0, 0x01, 0xc0}, kUndecodable},              // lock, and no memory
    {{0xf0, 0x3b, 0x03}, kUndecodable},              // lock cmp
    {{0xf0, 0x03, 0x03}, kUndecodable},              // lock add to a register
    {{0xf0, 0x83, 0x3b, 1}, kUndecodable},           // lock cmp
    {{0xf0, 0x0f, 0xba, 0x23, 1}, kUndecodable},     // lock bt
    {{0xf0, 0xf7, 0x23}, kUndecodable},              // lock mul
    {{0xf0, 0xff, 0x33}, kUndecodable},              // lock push
    {{0xf0, 0x0f, 0x38, 0xf0, 0x03}, kUndecodable},  // lock movbe
};

TEST(InPlace, WhatWouldShowItsAddressOrDependOnIt) {
  for (const Row& row : kInPlace) EXPECT_EQ(reason(row.code), row.why) << testing::PrintToString(row.code);
}

TEST(InPlace, NotWhatDoesTheSameElsewhere) {
  const Bytes others[] = {
      {0x89, 0x03},                          // mov [rbx],eax
      {0x65, 0x48, 0x8b, 0x05, 1, 2, 3, 4},  // mov rax,gs:[rip+x]
      {0x67, 0x8b, 0x03},                    // mov eax,[ebx]
      {0x8e, 0xe8},                          // mov gs,eax
      {0x8c, 0xd0},                          // mov eax,ss
      {0x8f, 0x03},                          // pop [rbx]
      {0x9d},                                // popf
      {0xc6, 0x00, 1},                       // mov byte [rax],1
      {0xf3, 0xa4},                          // rep movsb
      {0xf3, 0x90},                          // pause
      {0xfa},                                // cli
      {0xfc},                                // cld
      {0xff, 0xd0},                          // call rax
      {0x65, 0xff, 0x13},                    // call gs:[rbx]
      {0xff, 0x23},                          // jmp [rbx]
      {0x0f, 0x00, 0xd8},                    // ltr
      {0x0f, 0x01, 0x13},                    // lgdt
      {0x0f, 0x01, 0x3b},                    // invlpg
      {0x0f, 0x01, 0xe0},                    // smsw
      {0x0f, 0x01, 0xca},                    // clac
      {0x0f, 0x01, 0xcb},                    // stac
      {0x0f, 0x01, 0xd0},                    // xgetbv
      {0x0f, 0x01, 0xee},                    // rdpkru
      {0x0f, 0x01, 0xf8},                    // swapgs
      {0x0f, 0x01, 0xf9},                    // rdtscp
      {0x0f, 0x06},                          // clts
      {0x0f, 0x09},                          // wbinvd
      {0x0f, 0x0d, 0x0b},                    // prefetchw
      {0x0f, 0x20, 0xd8},                    // mov rax,cr3
      {0x0f, 0x30},                          // wrmsr
      {0x0f, 0x31},                          // rdtsc
      {0x0f, 0x32},                          // rdmsr
      {0x0f, 0x45, 0xc1},                    // cmovne
      {0x0f, 0x95, 0xc0},                    // setne
      {0x0f, 0xa2},                          // cpuid
      {0x0f, 0xae, 0xf0},                    // mfence
      {0x0f, 0xc7, 0xf0},                    // rdrand
      {0x66, 0x0f, 0x38, 0x82, 0x03},        // invpcid
      {0x66, 0x0f, 0x6f, 0x05, 1, 2, 3, 4},  // movdqa xmm0,[rip+x]
      {0xc5, 0xfd, 0x6f, 0x05, 1, 2, 3, 4},  // vmovdqa ymm0,[rip+x]
      {0xc5, 0xf8, 0x79, 0xc0},              // a vector opcode that is vmwrite without VEX
      {0xf0, 0x01, 0x03},                    // lock add
      {0xf0, 0x83, 0x03, 1},                 // lock add
      {0xf0, 0xff, 0x03},                    // lock inc
      {0xf0, 0xf7, 0x1b},                    // lock neg
      {0xf0, 0x87, 0x03},                    // lock xchg
      {0xf0, 0x0f, 0xba, 0x2b, 1},           // lock bts
      {0xf0, 0x0f, 0xab, 0x03},              // lock bts
      {0xf0, 0x0f, 0xb1, 0x0a},              // lock cmpxchg
      {0xf0, 0x0f, 0xc1, 0x03},              // lock xadd
      {0xf0, 0x48, 0x0f, 0xc7, 0x0b},        // lock cmpxchg16b
  };
  for (const Bytes& code : others) EXPECT_EQ(reason(code), std::nullopt) << testing::PrintToString(code);
}

TEST(InPlace, EveryReasonHasAText) {
  for (int i = static_cast<int>(kCutOff); i <= static_cast<int>(kAddress32); ++i) {
    EXPECT_THAT(to_text(static_cast<InPlace>(i)), testing::Not(testing::StrEq("?"))) << i;
  }
}

}  // namespace
}  // namespace ringside::disasm
