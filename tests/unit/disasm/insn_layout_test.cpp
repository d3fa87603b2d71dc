#include "disasm/insn_layout.hpp"

#include <gtest/gtest.h>

namespace ringside::disasm {
namespace {

using enum LayoutFault;

InsnLayout layout_of(const Bytes& code) {
  const auto layout = read_layout(code);
  EXPECT_TRUE(layout.has_value());
  return layout.value_or(InsnLayout{});
}

// One instruction of every form that the tables know.
const Bytes kInstructions[] = {
    {0x90},                                                              // nop
    {0x00, 0xc0},                                                        // add al,al
    {0x04, 0x12},                                                        // add al,0x12
    {0x05, 1, 2, 3, 4},                                                  // add eax,imm32
    {0x66, 0x05, 1, 2},                                                  // add ax,imm16
    {0x48, 0x05, 1, 2, 3, 4},                                            // add rax,imm32
    {0x66, 0x48, 0x05, 1, 2, 3, 4},                                      // the same: REX.W outdoes 66
    {0x68, 1, 2, 3, 4},                                                  // push imm32
    {0x6a, 1},                                                           // push imm8
    {0x69, 0xc0, 1, 2, 3, 4},                                            // imul eax,eax,imm32
    {0x6b, 0xc0, 1},                                                     // imul eax,eax,imm8
    {0x75, 0xfe},                                                        // jne
    {0x81, 0x44, 0x24, 8, 1, 2, 3, 4},                                   // add dword [rsp+8],imm32
    {0x83, 0x3d, 1, 2, 3, 4, 5},                                         // cmp dword [rip+x],imm8
    {0x8b, 0x04, 0x25, 1, 2, 3, 4},                                      // mov eax,[disp32]
    {0x8b, 0x80, 1, 2, 3, 4},                                            // mov eax,[rax+disp32]
    {0x8b, 0x40, 1},                                                     // mov eax,[rax+disp8]
    {0x8f, 0x00},                                                        // pop [rax]
    {0xa1, 1, 2, 3, 4, 5, 6, 7, 8},                                      // mov eax,[moffs64]
    {0x67, 0xa1, 1, 2, 3, 4},                                            // mov eax,[moffs32]
    {0xa8, 1},                                                           // test al,imm8
    {0xb0, 1},                                                           // mov al,imm8
    {0x66, 0xb8, 1, 2},                                                  // mov ax,imm16
    {0xb8, 1, 2, 3, 4},                                                  // mov eax,imm32
    {0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 8},                                // mov rax,imm64
    {0xc1, 0xe0, 1},                                                     // shl eax,1
    {0xc2, 1, 2},                                                        // ret imm16
    {0xc6, 0x00, 1},                                                     // mov byte [rax],imm8
    {0x66, 0xc7, 0x00, 1, 2},                                            // mov word [rax],imm16
    {0xc8, 1, 2, 3},                                                     // enter
    {0xcd, 0x80},                                                        // int
    {0xe8, 1, 2, 3, 4},                                                  // call
    {0xe3, 1},                                                           // jrcxz
    {0xf6, 0xc0, 1},                                                     // test al,imm8
    {0xf6, 0xd8},                                                        // neg al
    {0xf7, 0xc0, 1, 2, 3, 4},                                            // test eax,imm32
    {0x66, 0xf7, 0xc0, 1, 2},                                            // test ax,imm16
    {0xf7, 0xd8},                                                        // neg eax
    {0xff, 0xd0},                                                        // call rax
    {0x0f, 0x05},                                                        // syscall
    {0x0f, 0x01, 0xf8},                                                  // swapgs
    {0x0f, 0x1f, 0x84, 0, 1, 2, 3, 4},                                   // nop [rax+rax+disp32]
    {0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 1, 2, 3, 4},                 // as compilers pad
    {0x0f, 0x20, 0xd8},                                                  // mov rax,cr3
    {0x0f, 0x20, 0x18},                                                  // the same: MOD does not count
    {0x0f, 0x30},                                                        // wrmsr
    {0x0f, 0x84, 1, 2, 3, 4},                                            // je
    {0x0f, 0xba, 0xe0, 1},                                               // bt eax,1
    {0x0f, 0xb6, 0x44, 0x88, 3},                                         // movzx eax,byte [rax+rcx*4+3]
    {0x0f, 0xc8},                                                        // bswap
    {0xf0, 0x48, 0x0f, 0xb1, 0x0a},                                      // lock cmpxchg [rdx],rcx
    {0xf3, 0x0f, 0x1e, 0xfa},                                            // endbr64
    {0xf3, 0x48, 0xa5},                                                  // rep movsq
    {0x65, 0x48, 0x8b, 0x04, 0x25, 1, 2, 3, 4},                          // mov rax,gs:[disp32]
    {0x0f, 0x38, 0xf0, 0x00},                                            // movbe
    {0x66, 0x0f, 0x3a, 0x0f, 0xc1, 8},                                   // palignr
    {0x0f, 0x70, 0xc0, 1},                                               // pshufw
    {0xc5, 0xf8, 0x77},                                                  // vzeroupper
    {0xc5, 0xfd, 0x6f, 0x05, 1, 2, 3, 4},                                // vmovdqa ymm0,[rip+x]
    {0xc5, 0xf9, 0x70, 0xc0, 1},                                         // vpshufd
    {0xc4, 0xe2, 0xf9, 0xf7, 0xc0},                                      // shlx
    {0xc4, 0xe3, 0xfb, 0xf0, 0xc0, 1},                                   // rorx
    {0x62, 0xf1, 0xfe, 0x48, 0x6f, 0x40, 1},                             // vmovdqu64 zmm0,[rax+64]
    {0x64, 0x66, 0xf0, 0x48, 0x81, 0x84, 0x88, 1, 2, 3, 4, 5, 6, 7, 8},  // 15 bytes, the most there can be
};

TEST(InsnLayout, EndsWhereTheInstructionDoes) {
  for (const Bytes& code : kInstructions) {
    Bytes followed = code;
    followed.resize(kLongestInstruction, 0xcc);
    EXPECT_EQ(layout_of(followed).length, code.size()) << testing::PrintToString(code);
    EXPECT_EQ(layout_of(code).length, code.size()) << testing::PrintToString(code);
  }
}

TEST(InsnLayout, ReadsNothingBehindTheBytesGiven) {
  for (const Bytes& code : kInstructions) {
    for (std::size_t length = 0; length < code.size(); ++length) {
      const Bytes start(code.begin(), code.begin() + static_cast<std::ptrdiff_t>(length));
      EXPECT_EQ(read_layout(start).error(), kCutOff) << testing::PrintToString(start);
    }
  }
}

TEST(InsnLayout, RefusesWhatIsNoInstruction) {
  const Bytes none[] = {
      {0x06},                                // push es
      {0x9a, 1, 2, 3, 4, 5, 6},              // far call
      {0x82, 0xc0, 1},                       // add, once more
      {0xd5, 0x0a},                          // aad
      {0x0f, 0x04},                          // nothing
      {0x0f, 0x0f, 0xc0, 0xb4},              // 3DNow!
      {0x0f, 0x24, 0xc0},                    // mov from test registers
      {0x8f, 0xe8, 0x78, 0xc0, 0xc0, 1},     // XOP
      {0x66, 0xc5, 0xf8, 0x77},              // 66 before VEX
      {0x48, 0xc5, 0xf8, 0x77},              // REX before VEX
      {0xf0, 0xc5, 0xf8, 0x77},              // lock before VEX
      {0xc4, 0xe0, 0xf9, 0xf7, 0xc0},        // VEX, map 0
      {0xc4, 0xe9, 0xf9, 0xf7, 0xc0},        // VEX, map 9
      {0xc5, 0xf8, 0x84, 1, 2, 3, 4},        // VEX jcc
      {0xc5, 0xf8, 0x05},                    // VEX syscall
      {0x62, 0xf9, 0xfe, 0x48, 0x6f, 0xc0},  // EVEX with a fixed bit set
      {0x62, 0xf1, 0xfa, 0x48, 0x6f, 0xc0},  // and one clear
      {0x64, 0x65, 0x8b, 0x00},              // two segments
      {0x2e, 0x65, 0x8b, 0x00},              // two segments
      {0xf2, 0xf3, 0xa4},                    // repne rep
      {0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x66, 0x90},
      {0x64, 0x66, 0x66, 0xf0, 0x48, 0x81, 0x84, 0x88, 1, 2, 3, 4, 5, 6, 7},  // 16 bytes
  };
  for (const Bytes& code : none)
    EXPECT_EQ(read_layout(code).error(), kUnknown) << testing::PrintToString(code);
}

TEST(InsnLayout, RefusesNearBranchesThatTheVendorsCutDifferently) {
  const Bytes branches[] = {{0x66, 0xe8, 1, 2, 3, 4},
                            {0x66, 0xe9, 1, 2, 3, 4},
                            {0x66, 0x0f, 0x84, 1, 2, 3, 4},
                            {0x66, 0x74, 1},
                            {0x66, 0xeb, 1},
                            {0x66, 0xe3, 1},
                            {0x66, 0xc3},
                            {0x66, 0xc2, 1, 2},
                            {0x66, 0xff, 0xd0},
                            {0x66, 0xff, 0x20}};
  for (const Bytes& code : branches) {
    EXPECT_EQ(read_layout(code).error(), kVendor) << testing::PrintToString(code);
  }
}

TEST(InsnLayout, RexCountsOnlyRightBeforeTheOpcode) {
  EXPECT_EQ(layout_of({0x48, 0x66, 0x89, 0xc8}).operand_size(), 2u);
  EXPECT_EQ(layout_of({0x66, 0x48, 0x89, 0xc8}).operand_size(), 8u);
  EXPECT_EQ(layout_of({0x44, 0x41, 0x89, 0xc8}).rex, 0x41u);
}

TEST(InsnLayout, NumbersRegistersWithTheirRexBits) {
  const InsnLayout insn = layout_of({0x4d, 0x89, 0xc8});  // mov r8,r9
  EXPECT_EQ(insn.reg(), 9u);
  EXPECT_EQ(insn.rm(), 8u);
  EXPECT_EQ(layout_of({0x41, 0x57}).opcode_gpr(), 15u);  // push r15
}

TEST(InsnLayout, VexCarriesTheSameBitsInverted) {
  const InsnLayout insn = layout_of({0xc4, 0x42, 0xf9, 0xf7, 0xc8});  // shlx r9,r8,rax
  EXPECT_EQ(insn.reg(), 9u);
  EXPECT_EQ(insn.rm(), 8u);
  EXPECT_TRUE(insn.wide());
}

TEST(InsnLayout, ImmediatesAreSignExtended) {
  EXPECT_EQ(layout_of({0x83, 0xc0, 0xff}).immediate, -1);
  EXPECT_EQ(layout_of({0x05, 0xfe, 0xff, 0xff, 0xff}).immediate, -2);
  EXPECT_EQ(layout_of({0x48, 0xb8, 1, 2, 3, 4, 5, 6, 7, 0x88}).immediate,
            static_cast<std::int64_t>(0x8807'0605'0403'0201));
}

struct Address {
  Bytes code;
  x86::MemoryOperand memory;
};

TEST(InsnLayout, UnderstandsEveryFormOfAddress) {
  using namespace x86;
  const Address addresses[] = {
      {{0x8b, 0x03}, {.base = kRbx}},
      {{0x41, 0x8b, 0x03}, {.base = kR11}},
      {{0x8b, 0x43, 0xfc}, {.base = kRbx, .displacement = -4}},
      {{0x8b, 0x83, 0, 0, 0, 0x80}, {.base = kRbx, .displacement = INT32_MIN}},
      {{0x8b, 0x05, 4, 0, 0, 0}, {.base = kRipBase, .displacement = 4}},
      {{0x41, 0x8b, 0x05, 4, 0, 0, 0}, {.base = kRipBase, .displacement = 4}},
      {{0x8b, 0x45, 0}, {.base = kRbp}},
      {{0x41, 0x8b, 0x45, 0}, {.base = kR13}},
      {{0x8b, 0x04, 0x24}, {.base = kRsp}},
      {{0x41, 0x8b, 0x04, 0x24}, {.base = kR12}},
      {{0x8b, 0x04, 0x25, 8, 0, 0, 0}, {.displacement = 8}},
      {{0x41, 0x8b, 0x04, 0x25, 8, 0, 0, 0}, {.displacement = 8}},
      {{0x8b, 0x04, 0xcd, 8, 0, 0, 0}, {.index = kRcx, .scale = 8, .displacement = 8}},
      {{0x8b, 0x44, 0x4d, 8}, {.base = kRbp, .index = kRcx, .scale = 2, .displacement = 8}},
      {{0x42, 0x8b, 0x04, 0x23}, {.base = kRbx, .index = kR12}},
      {{0x43, 0x8b, 0x04, 0xa4}, {.base = kR12, .index = kR12, .scale = 4}},
  };
  for (const Address& address : addresses) {
    EXPECT_EQ(layout_of(address.code).memory(), address.memory) << testing::PrintToString(address.code);
  }
}

TEST(InsnLayout, KnowsWhereADisplacementStands) {
  const InsnLayout relative = layout_of({0x48, 0x83, 0x3d, 1, 2, 3, 4, 5});
  EXPECT_TRUE(relative.rip_relative());
  EXPECT_EQ(relative.displacement_at, 3u);
  EXPECT_FALSE(layout_of({0x8b, 0x04, 0x25, 1, 2, 3, 4}).rip_relative());
  EXPECT_FALSE(layout_of({0x89, 0xc5}).rip_relative());
}

}  // namespace
}  // namespace ringside::disasm
