#include "stub/agent/program.hpp"

#include <algorithm>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/unit/agent/agent_testing.hpp"

namespace ringside::agent {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

struct Row {
  std::uint8_t code;
  unsigned operand, takes, gives;
};

#define OPCODE(code, id, name, operand, takes, gives) Row{code, operand, takes, gives},
#define REFUSED(...)
constexpr Row kRows[] = {
#include "stub/agent/opcodes.def"
};
#undef OPCODE
#undef REFUSED

#define OPCODE(...)
#define REFUSED(code, name, why) std::pair<std::uint8_t, std::string>{code, name},
const std::pair<std::uint8_t, std::string> kRefusedRows[] = {
#include "stub/agent/opcodes.def"
};
#undef OPCODE
#undef REFUSED

Bytes pushes(std::size_t count) {
  Bytes code;
  for (std::size_t i = 0; i < count; ++i) code.insert(code.end(), {0x22, 1});
  return code;
}

Bytes operator+(Bytes a, const Bytes& b) {
  a.insert(a.end(), b.begin(), b.end());
  return a;
}

TEST(Verify, TheShortestProgramIsEndAndLeavesNoValue) {
  const Program end = program("27");

  EXPECT_FALSE(end.facts().gives_value);
  EXPECT_EQ(end.listing(), "end");
}

TEST(Verify, NothingAtAllIsNoProgram) { EXPECT_THAT(complaint(""), HasSubstr("empty")); }

TEST(Verify, ErrorsNameOffsetAndOpcode) {
  EXPECT_EQ(complaint("22 01 28 31 27"), "bytecode @3 (0x31): no such opcode");
  EXPECT_EQ(complaint("22 01 02 27"), "bytecode @2 (add): takes 2 values from a stack of 1");
  EXPECT_EQ(complaint("22 01 20 0003 27"), "bytecode @2 (if_goto): @3 is not the place of an opcode");
  EXPECT_EQ(complaint("22 01"), "bytecode @0 (const8): the program goes on past its end");
  EXPECT_EQ(complaint("25 01 02"), "bytecode @0 (const64): its operand reaches past the end");
}

TEST(Verify, EveryByteThatIsNoOpcodeIsRefused) {
  for (unsigned code = 0; code < 256; ++code) {
    if (find_opcode(static_cast<std::uint8_t>(code)) != nullptr) continue;
    EXPECT_THAT(complaint(Bytes{static_cast<std::uint8_t>(code), 0x27}), HasSubstr("no such opcode")) << code;
  }
}

TEST(Verify, OpcodesThatNobodyGeneratesAreRefusedByName) {
  for (const auto& [code, name] : kRefusedRows) {
    const auto verified = Program::verify(pushes(2) + Bytes{code, 0x27});
    ASSERT_FALSE(verified.has_value()) << name;
    EXPECT_EQ(verified.error().code, Errc::kUnsupported);
    EXPECT_THAT(verified.error().text, HasSubstr("@4 (" + name + "): not supported"));
  }
}

TEST(Verify, EveryOpcodeThatTakesValuesIsRefusedWithOneTooFew) {
  for (const Row& row : kRows) {
    if (row.takes == 0) continue;
    Bytes tail(row.operand, 0);
    if (row.code == 0x34) tail = {0, 0, 1, 0};  // no arguments, an empty text
    const Bytes code = Bytes{row.code} + tail + Bytes{0x27};
    EXPECT_THAT(complaint(pushes(row.takes - 1) + code), HasSubstr("from a stack of")) << unsigned{row.code};
    const Bytes enough = pushes(row.takes);
    const auto target = static_cast<std::uint8_t>(enough.size() + code.size() - 1);
    const Bytes fits = row.code == 0x20 ? enough + Bytes{0x20, 0, target, 0x27} : enough + code;
    EXPECT_EQ(complaint(fits), "") << unsigned{row.code};
  }
}

TEST(Verify, EveryOperandThatIsCutOffIsRefused) {
  for (const Row& row : kRows) {
    for (unsigned there = 0; there < row.operand; ++there) {
      const Bytes code = pushes(3) + Bytes{row.code} + Bytes(there, 0);
      EXPECT_THAT(complaint(code), HasSubstr("past the end")) << unsigned{row.code};
    }
  }
}

TEST(Verify, PickReachesAsDeepAsTheStack) {
  EXPECT_EQ(complaint("22 01 22 02 32 01 27"), "");
  EXPECT_THAT(complaint("22 01 22 02 32 02 27"), HasSubstr("takes 3 values from a stack of 2"));
  EXPECT_THAT(complaint("22 01 32 ff 27"), HasSubstr("takes 256 values"));
}

TEST(Verify, TheStackHasItsBoundAndNotOneMore) {
  const auto deepest = Program::verify(pushes(kMaxStack) + Bytes{0x27});
  const auto deeper = Program::verify(pushes(kMaxStack + 1) + Bytes{0x27});

  ASSERT_TRUE(deepest.has_value());
  EXPECT_EQ(deepest->facts().max_depth, kMaxStack);
  ASSERT_FALSE(deeper.has_value());
  EXPECT_EQ(deeper.error().code, Errc::kExhausted);
  EXPECT_THAT(deeper.error().text, HasSubstr("@256 (const8): more than 128"));
}

TEST(Verify, ALoopThatGrowsTheStackIsRefused) {
  EXPECT_EQ(complaint("22 01 21 0000"),
            "bytecode @0 (const8): reached with 0 and with 1 values on the stack");
}

TEST(Verify, PathsThatMeetMustBringTheSameDepth) {
  // 1; if_goto @7; const8 2; (@7) end: with one value, or with none.
  EXPECT_THAT(complaint("22 01 20 0007 22 02 27"), HasSubstr("@7 (end): reached with"));
  EXPECT_EQ(complaint("22 01 20 0008 22 02 27 27"), "");
}

TEST(Verify, JumpsLandOnOpcodesOfTheProgramOnly) {
  EXPECT_THAT(complaint("21 0001 27"), HasSubstr("@1 is not the place"));
  EXPECT_THAT(complaint("21 0004 27"), HasSubstr("@4 is not the place"));
  EXPECT_THAT(complaint("21 ffff 27"), HasSubstr("@65535 is not the place"));
  EXPECT_EQ(complaint("21 0003 27"), "");
  EXPECT_EQ(complaint("21 0000"), "");
}

TEST(Verify, JumpsThatAreNeverReachedAreCheckedAllTheSame) {
  EXPECT_THAT(complaint("27 21 0009"), HasSubstr("@1 (goto)"));
}

TEST(Verify, EveryPathEndsInEnd) {
  EXPECT_THAT(complaint("22 01 20 0006 27 28"), HasSubstr("from a stack of 0"));
  EXPECT_THAT(complaint("22 01 22 01 20 0008 27 28"), HasSubstr("goes on past its end"));
}

TEST(Verify, SixtyFourKibibytesAreAProgramAndOneByteMoreIsNot) {
  const Bytes longest(kMaxCode, 0x27);
  const auto longer = Program::verify(Bytes(kMaxCode + 1, 0x27));

  EXPECT_TRUE(Program::verify(longest).has_value());
  ASSERT_FALSE(longer.has_value());
  EXPECT_EQ(longer.error().code, Errc::kExhausted);
}

TEST(Verify, FormatsAreCheckedWithTheProgram) {
  EXPECT_THAT(complaint(printing("%d", {})), HasSubstr("@4 (printf): format: 1 conversions for 0 arguments"));
  EXPECT_THAT(complaint(printing("%f", {1})), HasSubstr("floating point"));
  EXPECT_THAT(complaint("22 00 22 00 34 00 0001 41 27"), HasSubstr("a NUL must end it"));
  EXPECT_THAT(complaint("22 00 22 00 34 00 0003 410000 27"), HasSubstr("a NUL must end it"));
  EXPECT_THAT(complaint("22 00 22 00 34 00 0000 27"), HasSubstr("a NUL must end it"));
  EXPECT_THAT(complaint("22 00 22 00 34 00 0009 4100 27"), HasSubstr("past the end"));
  EXPECT_THAT(complaint("22 00 22 00 34 01 0003 256400 27"), HasSubstr("takes 3 values from a stack of 2"));
}

TEST(Facts, TellTheRegistersOnceAndInOrder) {
  const Facts facts = program("26 0005 26 0025 26 0005 26 ffff 27").facts();

  EXPECT_THAT(facts.registers, ElementsAre(5, 0x25, 0xffff));
  EXPECT_FALSE(facts.reads_memory || facts.prints || facts.records || facts.has_loops);
  EXPECT_TRUE(facts.gives_value);
}

TEST(Facts, TellWhatTouchesMemoryAndVariables) {
  EXPECT_TRUE(program("22 08 17 27").facts().reads_memory);
  EXPECT_TRUE(program(printing("%s", {0})).facts().reads_memory);
  EXPECT_FALSE(program(printing("%d", {0})).facts().reads_memory);
  EXPECT_TRUE(program(printing("%d", {0})).facts().prints);
  EXPECT_TRUE(program("22 08 0d 04 27").facts().records);
  EXPECT_THAT(program("2c 0007 2d 0009 2e 0003 27").facts().variables_read, ElementsAre(3, 7));
  EXPECT_THAT(program("2c 0007 2d 0009 27").facts().variables_written, ElementsAre(9));
}

TEST(Facts, DoNotCountWhatCannotBeReached) {
  EXPECT_THAT(program("27 26 0005 1a 27").facts().registers, IsEmpty());
  EXPECT_FALSE(program("27 26 0005 1a 27").facts().reads_memory);
}

TEST(Facts, TellLoopsAndEndsWithoutValue) {
  EXPECT_TRUE(program("21 0000").facts().has_loops);
  EXPECT_FALSE(program("21 0003 27").facts().has_loops);
  EXPECT_FALSE(program("22 01 20 0008 22 02 27 27").facts().gives_value);
}

TEST(Listing, ReadsAsOneLine) {
  EXPECT_EQ(program("26 0005 16 40 22 00 13 27").listing(), "reg 5; ext 64; const8 0; equal; end");
  EXPECT_EQ(program("24 82a1aa40 16 20 1a 27").listing(), "const32 0x82a1aa40; ext 32; ref64; end");
}

TEST(Listing, NamesPlacesWhereJumpsLand) {
  EXPECT_EQ(program("22 01 20 0008 22 02 27 22 03 27").listing(),
            "const8 1; if_goto @8; const8 2; end; @8: const8 3; end");
}

TEST(Listing, GivesFormatsAsSourceThatATerminalSurvives) {
  EXPECT_EQ(program(printing("a\\n\\\"%d\"\x1b\n", {1})).listing(),
            "const64 1; const8 0; const8 0; printf \"a\\n\\\"%d\\\"\\033\\012\"; end");
}

}  // namespace
}  // namespace ringside::agent
