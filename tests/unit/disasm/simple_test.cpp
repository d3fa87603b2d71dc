#include "disasm/simple.hpp"

#include <gtest/gtest.h>

namespace ringside::disasm {
namespace {

using namespace x86;
using Kind = Operand::Kind;
using Op = SimpleInsn::Op;

constexpr Operand reg(std::uint8_t gpr) { return {Kind::kGpr, gpr}; }
constexpr Operand high(std::uint8_t gpr) { return {Kind::kHighByte, gpr}; }
constexpr Operand kImm{Kind::kImmediate, 0};
constexpr Operand kMem{Kind::kMemory, 0};

std::optional<SimpleInsn> simple(const Bytes& code) {
  const auto layout = read_layout(code);
  EXPECT_TRUE(layout.has_value()) << testing::PrintToString(code);
  return layout ? simple_insn(*layout) : std::nullopt;
}

struct Row {
  Bytes code;
  SimpleInsn insn;  // its length is the code's; from_size its size, unless given
};

void check(std::initializer_list<Row> rows) {
  for (const Row& row : rows) {
    SCOPED_TRACE(testing::PrintToString(row.code));
    const auto insn = simple(row.code);
    ASSERT_TRUE(insn.has_value());
    SimpleInsn expected = row.insn;
    expected.length = static_cast<std::uint8_t>(row.code.size());
    EXPECT_EQ(insn->op, expected.op);
    EXPECT_EQ(*insn, expected);
  }
}

TEST(Simple, NopsOfEveryForm) {
  const Bytes nops[] = {{0x90},
                        {0x66, 0x90},
                        {0xf3, 0x90},
                        {0x48, 0x90},
                        {0x40, 0x90},
                        {0x0f, 0x1f, 0x00},
                        {0x0f, 0x1f, 0x40, 0},
                        {0x0f, 0x1f, 0x44, 0, 0},
                        {0x66, 0x0f, 0x1f, 0x44, 0, 0},
                        {0x0f, 0x1f, 0x80, 0, 0, 0, 0},
                        {0x66, 0x66, 0x2e, 0x0f, 0x1f, 0x84, 0, 0, 0, 0, 0},
                        {0x65, 0x0f, 0x1f, 0x00},
                        {0x0f, 0x18, 0x08},
                        {0x0f, 0x19, 0xc0},
                        {0x0f, 0x1c, 0x00},
                        {0x0f, 0x1d, 0x00},
                        {0x0f, 0x1e, 0xfa}};
  for (const Bytes& code : nops) {
    SCOPED_TRACE(testing::PrintToString(code));
    const auto insn = simple(code);
    ASSERT_TRUE(insn.has_value());
    EXPECT_EQ(insn->op, Op::kNop);
    EXPECT_EQ(insn->length, code.size());
    EXPECT_FALSE(insn->touches_memory());
  }
}

TEST(Simple, EndBranches) {
  check({{{0xf3, 0x0f, 0x1e, 0xfa}, {.op = Op::kEndBranch}},
         {{0xf3, 0x0f, 0x1e, 0xfb}, {.op = Op::kEndBranch}}});
}

TEST(Simple, Moves) {
  check({
      {{0x48, 0x89, 0xe5}, {.op = Op::kMov, .to = reg(kRbp), .from = reg(kRsp)}},
      {{0x4c, 0x8b, 0xc7}, {.op = Op::kMov, .to = reg(kR8), .from = reg(kRdi)}},
      {{0x89, 0xc1}, {.op = Op::kMov, .size = 4, .from_size = 4, .to = reg(kRcx), .from = reg(kRax)}},
      {{0x66, 0x89, 0xc1}, {.op = Op::kMov, .size = 2, .from_size = 2, .to = reg(kRcx), .from = reg(kRax)}},
      {{0x88, 0xe1}, {.op = Op::kMov, .size = 1, .from_size = 1, .to = reg(kRcx), .from = high(kRax)}},
      {{0x8a, 0xfc}, {.op = Op::kMov, .size = 1, .from_size = 1, .to = high(kRbx), .from = high(kRax)}},
      {{0x40, 0x88, 0xe1}, {.op = Op::kMov, .size = 1, .from_size = 1, .to = reg(kRcx), .from = reg(kRsp)}},
      {{0xb4, 7},
       {.op = Op::kMov, .size = 1, .from_size = 1, .to = high(kRax), .from = kImm, .immediate = 7}},
      {{0x41, 0xb4, 7},
       {.op = Op::kMov, .size = 1, .from_size = 1, .to = reg(kR12), .from = kImm, .immediate = 7}},
      {{0xbf, 0xff, 0xff, 0xff, 0xff},
       {.op = Op::kMov, .size = 4, .from_size = 4, .to = reg(kRdi), .from = kImm, .immediate = -1}},
      {{0x49, 0xbf, 1, 0, 0, 0, 1, 0, 0, 0},
       {.op = Op::kMov, .to = reg(kR15), .from = kImm, .immediate = 0x1'0000'0001}},
      {{0x48, 0xc7, 0xc0, 0xfe, 0xff, 0xff, 0xff},
       {.op = Op::kMov, .to = reg(kRax), .from = kImm, .immediate = -2}},
      {{0xc6, 0xc4, 1},
       {.op = Op::kMov, .size = 1, .from_size = 1, .to = high(kRax), .from = kImm, .immediate = 1}},
      {{0x48, 0x8b, 0x43, 0x10},
       {.op = Op::kMov, .to = reg(kRax), .from = kMem, .memory = {.base = kRbx, .displacement = 0x10}}},
      {{0x8a, 0x23},
       {.op = Op::kMov, .size = 1, .from_size = 1, .to = high(kRax), .from = kMem, .memory = {.base = kRbx}}},
  });
}

TEST(Simple, MovesThatExtend) {
  check({
      {{0x0f, 0xb6, 0xc4}, {.op = Op::kMov, .size = 4, .from_size = 1, .to = reg(kRax), .from = high(kRax)}},
      {{0x48, 0x0f, 0xb6, 0xc4},
       {.op = Op::kMov, .size = 8, .from_size = 1, .to = reg(kRax), .from = reg(kRsp)}},
      {{0x0f, 0xb7, 0xf8}, {.op = Op::kMov, .size = 4, .from_size = 2, .to = reg(kRdi), .from = reg(kRax)}},
      {{0x66, 0x0f, 0xbe, 0xc1},
       {.op = Op::kMovSigned, .size = 2, .from_size = 1, .to = reg(kRax), .from = reg(kRcx)}},
      {{0x48, 0x0f, 0xbf, 0xc1},
       {.op = Op::kMovSigned, .size = 8, .from_size = 2, .to = reg(kRax), .from = reg(kRcx)}},
      {{0x48, 0x63, 0xc7},
       {.op = Op::kMovSigned, .size = 8, .from_size = 4, .to = reg(kRax), .from = reg(kRdi)}},
      {{0x63, 0xc7}, {.op = Op::kMov, .size = 4, .from_size = 4, .to = reg(kRax), .from = reg(kRdi)}},
      {{0x0f, 0xb6, 0x07},
       {.op = Op::kMov, .size = 4, .from_size = 1, .to = reg(kRax), .from = kMem, .memory = {.base = kRdi}}},
  });
}

TEST(Simple, Lea) {
  check({
      {{0x48, 0x8d, 0x05, 1, 0, 0, 0},
       {.op = Op::kLea, .to = reg(kRax), .memory = {.base = kRipBase, .displacement = 1}}},
      {{0x8d, 0x04, 0x8f},
       {.op = Op::kLea,
        .size = 4,
        .from_size = 4,
        .to = reg(kRax),
        .memory = {.base = kRdi, .index = kRcx, .scale = 4}}},
      {{0x65, 0x48, 0x8d, 0x03}, {.op = Op::kLea, .to = reg(kRax), .memory = {.base = kRbx}}},
  });
}

TEST(Simple, ArithmeticOfEachKind) {
  const Op ops[] = {Op::kAdd, Op::kOr, Op::kAdc, Op::kSbb, Op::kAnd, Op::kSub, Op::kXor, Op::kCmp};
  for (std::uint8_t i = 0; i < 8; ++i) {
    const auto base = static_cast<std::uint8_t>(8 * i), modrm = static_cast<std::uint8_t>(0xc1 | base);
    check({
        {{base, 0xc1}, {.op = ops[i], .size = 1, .from_size = 1, .to = reg(kRcx), .from = reg(kRax)}},
        {{static_cast<std::uint8_t>(base + 1), 0xc1},
         {.op = ops[i], .size = 4, .from_size = 4, .to = reg(kRcx), .from = reg(kRax)}},
        {{0x48, static_cast<std::uint8_t>(base + 3), 0xc1},
         {.op = ops[i], .to = reg(kRax), .from = reg(kRcx)}},
        {{0x48, static_cast<std::uint8_t>(base + 3), 0x01},
         {.op = ops[i], .to = reg(kRax), .from = kMem, .memory = {.base = kRcx}}},
        {{static_cast<std::uint8_t>(base + 4), 5},
         {.op = ops[i], .size = 1, .from_size = 1, .to = reg(kRax), .from = kImm, .immediate = 5}},
        {{0x66, static_cast<std::uint8_t>(base + 5), 5, 0},
         {.op = ops[i], .size = 2, .from_size = 2, .to = reg(kRax), .from = kImm, .immediate = 5}},
        {{0x80, modrm, 0x80},
         {.op = ops[i], .size = 1, .from_size = 1, .to = reg(kRcx), .from = kImm, .immediate = -128}},
        {{0x49, 0x83, modrm, 0x80}, {.op = ops[i], .to = reg(kR9), .from = kImm, .immediate = -128}},
        {{0x81, modrm, 0, 1, 0, 0},
         {.op = ops[i], .size = 4, .from_size = 4, .to = reg(kRcx), .from = kImm, .immediate = 256}},
    });
  }
}

TEST(Simple, ComparingReadsMemoryOnEitherSide) {
  check({
      {{0x38, 0x23},
       {.op = Op::kCmp, .size = 1, .from_size = 1, .to = kMem, .from = high(kRax), .memory = {.base = kRbx}}},
      {{0x48, 0x83, 0x3b, 1},
       {.op = Op::kCmp, .to = kMem, .from = kImm, .memory = {.base = kRbx}, .immediate = 1}},
      {{0x48, 0x85, 0x03}, {.op = Op::kTest, .to = kMem, .from = reg(kRax), .memory = {.base = kRbx}}},
      {{0xf6, 0x43, 4, 2},
       {.op = Op::kTest,
        .size = 1,
        .from_size = 1,
        .to = kMem,
        .from = kImm,
        .memory = {.base = kRbx, .displacement = 4},
        .immediate = 2}},
  });
}

TEST(Simple, ArithmeticWithOneOperand) {
  check({
      {{0x48, 0x85, 0xc0}, {.op = Op::kTest, .to = reg(kRax), .from = reg(kRax)}},
      {{0xa8, 1},
       {.op = Op::kTest, .size = 1, .from_size = 1, .to = reg(kRax), .from = kImm, .immediate = 1}},
      {{0xf7, 0xc6, 1, 0, 0, 0},
       {.op = Op::kTest, .size = 4, .from_size = 4, .to = reg(kRsi), .from = kImm, .immediate = 1}},
      {{0xf6, 0xd4}, {.op = Op::kNot, .size = 1, .from_size = 1, .to = high(kRax)}},
      {{0x48, 0xf7, 0xd8}, {.op = Op::kNeg, .to = reg(kRax)}},
      {{0xfe, 0xc0}, {.op = Op::kInc, .size = 1, .from_size = 1, .to = reg(kRax)}},
      {{0xff, 0xc8}, {.op = Op::kDec, .size = 4, .from_size = 4, .to = reg(kRax)}},
  });
}

TEST(Simple, TheStack) {
  check({
      {{0x55}, {.op = Op::kPush, .from = reg(kRbp)}},
      {{0x41, 0x57}, {.op = Op::kPush, .from = reg(kR15)}},
      {{0x68, 0, 0, 0, 0x80}, {.op = Op::kPush, .from = kImm, .immediate = INT32_MIN}},
      {{0x6a, 0xff}, {.op = Op::kPush, .from = kImm, .immediate = -1}},
      {{0xff, 0x33}, {.op = Op::kPush, .from = kMem, .memory = {.base = kRbx}}},
      {{0x9c}, {.op = Op::kPushFlags}},
      {{0x5d}, {.op = Op::kPop, .to = reg(kRbp)}},
      {{0x41, 0x8f, 0xc7}, {.op = Op::kPop, .to = reg(kR15)}},
      {{0xc9}, {.op = Op::kLeave}},
  });
}

TEST(Simple, Branches) {
  check({
      {{0xeb, 0xfe}, {.op = Op::kJump, .from = kImm, .immediate = -2}},
      {{0xe9, 0, 1, 0, 0}, {.op = Op::kJump, .from = kImm, .immediate = 0x100}},
      {{0x75, 5}, {.op = Op::kJumpIf, .condition = 5, .from = kImm, .immediate = 5}},
      {{0x0f, 0x8f, 0, 0, 0, 0x80},
       {.op = Op::kJumpIf, .condition = 15, .from = kImm, .immediate = INT32_MIN}},
      {{0x2e, 0x74, 5}, {.op = Op::kJumpIf, .condition = 4, .from = kImm, .immediate = 5}},
      {{0xe8, 0xfb, 0xff, 0xff, 0xff}, {.op = Op::kCall, .from = kImm, .immediate = -5}},
      {{0x2e, 0xe8, 1, 0, 0, 0}, {.op = Op::kCall, .from = kImm, .immediate = 1}},
      {{0x41, 0xff, 0xd3}, {.op = Op::kCall, .from = reg(kR11)}},
      {{0xff, 0x15, 4, 0, 0, 0},
       {.op = Op::kCall, .from = kMem, .memory = {.base = kRipBase, .displacement = 4}}},
      {{0x3e, 0xff, 0xe0}, {.op = Op::kJump, .from = reg(kRax)}},
      {{0xff, 0x63, 8}, {.op = Op::kJump, .from = kMem, .memory = {.base = kRbx, .displacement = 8}}},
      {{0xc3}, {.op = Op::kReturn}},
      {{0xc2, 0xf8, 0xff}, {.op = Op::kReturn, .immediate = 0xfff8}},
  });
}

TEST(Simple, NotWhatCannotBeDoneExactly) {
  const Bytes others[] = {
      {0x48, 0x89, 0x03},              // a store
      {0xc7, 0x03, 1, 0, 0, 0},        // a store
      {0x48, 0x01, 0x03},              // add to memory
      {0x83, 0x03, 1},                 // add to memory
      {0xff, 0x03},                    // inc in memory
      {0xf7, 0x1b},                    // neg in memory
      {0xf7, 0x13},                    // not in memory
      {0x8f, 0x03},                    // pop to memory
      {0x65, 0x48, 0x8b, 0x03},        // gs:
      {0x64, 0x48, 0x3b, 0x03},        // fs:
      {0x65, 0xff, 0x13},              // call through gs:
      {0x65, 0xff, 0x33},              // push from gs:
      {0x67, 0x8b, 0x03},              // 32-bit address
      {0x67, 0x8d, 0x03},              // 32-bit address
      {0xf0, 0x01, 0x03},              // lock
      {0xf3, 0x41, 0x90},              // pause, or xchg r8,rax
      {0x41, 0x90},                    // xchg r8,rax
      {0x66, 0x50},                    // 16-bit push
      {0x66, 0x58},                    // 16-bit pop
      {0x66, 0x6a, 1},                 // 16-bit push
      {0x66, 0x9c},                    // 16-bit pushf
      {0x66, 0xc9},                    // 16-bit leave
      {0x66, 0x63, 0xc7},              // 16-bit movsxd
      {0xf3, 0xc3},                    // rep ret
      {0xf2, 0xe8, 1, 0, 0, 0},        // bnd call
      {0xf3, 0x48, 0x0f, 0x1e, 0xc8},  // rdssp
      {0xf3, 0x0f, 0x1e, 0x00},        // f3 before another hint
      {0x66, 0xf3, 0x0f, 0x1e, 0xfa},  // endbr64 with one prefix more
      {0x0f, 0x1a, 0x03},              // bndldx
      {0x0f, 0x1b, 0x03},              // bndstx
      {0x8d, 0xc0},                    // lea of a register
      {0xf6, 0xc8, 1},                 // test, undocumented
      {0xf7, 0xe0},                    // mul
      {0xf7, 0xf0},                    // div
      {0xc6, 0xf8, 1},                 // xabort
      {0xff, 0x1b},                    // far call
      {0xff, 0x2b},                    // far jmp
      {0xfe, 0xd0},                    // nothing
      {0xcc},                          // int3
      {0x0f, 0x05},                    // syscall
      {0x0f, 0xaf, 0xc0},              // imul
      {0x0f, 0x38, 0xf0, 0x00},        // movbe
      {0xc5, 0xf8, 0x77},              // vzeroupper
      {0xc4, 0xe2, 0xf9, 0xf7, 0xc0},  // shlx
  };
  for (const Bytes& code : others) EXPECT_FALSE(simple(code).has_value()) << testing::PrintToString(code);
}

}  // namespace
}  // namespace ringside::disasm
