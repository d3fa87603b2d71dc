#include "stub/agent/machine.hpp"

#include <set>

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "tests/fakes/fake_environment.hpp"
#include "tests/unit/agent/agent_testing.hpp"

namespace ringside::agent {
namespace {

using fakes::FakeEnvironment;
using testing::ElementsAre;
using testing::IsEmpty;

// Register 5 is rdi; 0x1100 holds the bytes 1 to 8 and then f8; variable 7 exists.
FakeEnvironment guest_of_tests() {
  FakeEnvironment guest;
  guest.registers = {{5, 0}, {3, 0x123456789abcdef0}, {0x19, 0x1000}};
  guest.variables = {{7, 4660}};
  guest.put(0x1100, "\x01\x02\x03\x04\x05\x06\x07\x08\xf8");
  return guest;
}

struct Case {
  const char* what;
  const char* code;  // without `end`
  std::uint64_t value;
};

constexpr Case kCases[] = {
    {"add", "22 02 22 03 02", 5},
    {"add wraps", "25 ffffffffffffffff 22 02 02", 1},
    {"sub takes the upper from the lower", "22 05 22 03 03", 2},
    {"sub wraps", "22 00 22 01 03", ~0ull},
    {"mul", "22 06 22 07 04", 42},
    {"mul wraps", "25 8000000000000001 22 02 04", 2},
    {"div_signed rounds to zero", "22 f9 16 08 22 02 05", static_cast<std::uint64_t>(-3)},
    {"div_signed of the smallest by -1 wraps", "25 8000000000000000 22 ff 16 08 05", 1ull << 63},
    {"div_unsigned", "25 ffffffffffffffff 22 02 06", 0x7fffffffffffffff},
    {"rem_signed has the dividend's sign", "22 f9 16 08 22 02 07", ~0ull},
    {"rem_signed of the smallest by -1 is 0", "25 8000000000000000 22 ff 16 08 07", 0},
    {"rem_unsigned", "25 ffffffffffffffff 22 0a 08", 5},
    {"lsh", "22 01 22 3f 09", 1ull << 63},
    {"lsh by 64 leaves nothing", "22 01 22 40 09", 0},
    {"lsh by a negative count leaves nothing", "22 01 22 ff 16 08 09", 0},
    {"rsh_signed", "22 80 16 08 22 04 0a", static_cast<std::uint64_t>(-8)},
    {"rsh_signed by 64 leaves the sign", "22 80 16 08 22 40 0a", ~0ull},
    {"rsh_signed by 64 of a positive number", "22 7f 22 40 0a", 0},
    {"rsh_unsigned", "25 8000000000000000 22 3f 0b", 1},
    {"rsh_unsigned by 64 leaves nothing", "25 ffffffffffffffff 22 40 0b", 0},
    {"log_not of 0", "22 00 0e", 1},
    {"log_not of all else", "25 8000000000000000 0e", 0},
    {"bit_and", "22 0c 22 0a 0f", 8},
    {"bit_or", "22 0c 22 0a 10", 14},
    {"bit_xor", "22 0c 22 0a 11", 6},
    {"bit_not", "22 00 12", ~0ull},
    {"equal", "22 05 22 05 13", 1},
    {"not equal", "22 05 25 0000000100000005 13", 0},
    {"less_signed", "22 ff 16 08 22 00 14", 1},
    {"less_signed of equals", "22 05 22 05 14", 0},
    {"less_unsigned", "22 ff 16 08 22 00 15", 0},
    {"less_unsigned the other way", "22 00 22 ff 16 08 15", 1},
    {"ext", "22 9c 16 08", static_cast<std::uint64_t>(-100)},
    {"ext from above 32 bits", "25 0000008000000000 16 28", 0xffffff8000000000},
    {"ext drops what is above", "23 ff05 16 08", 5},
    {"ext of 0 bits", "22 9c 16 00", 0},
    {"ext of 64 bits does nothing", "25 8000000000000000 16 40", 1ull << 63},
    {"ext of 255 bits does nothing", "22 9c 16 ff", 0x9c},
    {"zero_ext", "25 ffffffffffffffff 2a 08", 0xff},
    {"zero_ext of 0 bits", "22 9c 2a 00", 0},
    {"zero_ext of 64 bits does nothing", "25 ffffffffffffffff 2a 40", ~0ull},
    {"zero_ext of 255 bits does nothing", "25 ffffffffffffffff 2a ff", ~0ull},
    {"ref8 extends with zeros", "23 1108 17", 0xf8},
    {"ref16 in the target's order", "23 1100 18", 0x0201},
    {"ref32", "23 1100 19", 0x04030201},
    {"ref64 across nothing in particular", "23 1101 1a", 0xf808070605040302},
    {"ref64 at the last place", "23 2ff8 1a", 0},
    {"if_goto taken", "22 02 20 0008 22 01 27 22 07", 7},
    {"if_goto not taken", "22 00 20 0008 22 01 27 22 07", 1},
    {"goto", "21 0005 27 27 22 09", 9},
    {"const8 extends with zeros", "22 ff", 0xff},
    {"const16 is big-endian", "23 8001", 0x8001},
    {"const32", "24 82a1aa40", 0x82a1aa40},
    {"const64", "25 0102030405060708", 0x0102030405060708},
    {"reg", "26 0003", 0x123456789abcdef0},
    {"dup", "22 03 28 02", 6},
    {"pop", "22 03 22 04 29", 3},
    {"swap", "22 05 22 03 2b 03", static_cast<std::uint64_t>(-2)},
    {"getv", "2c 0007", 4660},
    {"setv leaves its value", "22 2a 2d 0007", 42},
    {"setv sets", "22 2a 2d 0007 29 2c 0007", 42},
    {"tracev pushes nothing", "22 09 2e 0007", 9},
    {"trace takes address and size", "22 09 23 1000 22 04 0c", 9},
    {"tracenz takes address and limit", "22 09 23 1000 22 04 2f", 9},
    {"trace_quick leaves the address", "23 1000 0d 08", 0x1000},
    {"trace16 leaves the address", "23 1000 30 0108", 0x1000},
    {"pick 0 is the top", "22 05 22 03 32 00", 3},
    {"pick 1 is below it", "22 05 22 03 32 01", 5},
    // a=1 b=2 c=3 -> c a b; then 100 * third + 10 * second + top is made of them.
    {"rot brings the top to the bottom", "22 01 22 02 22 03 33 2b 22 0a 04 02 2b 22 64 04 02", 312},
    {"printf takes function, channel and arguments", "22 09 22 05 22 00 22 00 34 01 0003 256400", 9},
};

TEST(Run, EveryOpcodeDoesWhatTheManualSays) {
  for (const Case& test : kCases) {
    FakeEnvironment guest = guest_of_tests();
    const Outcome outcome = run(program(std::string(test.code) + "27"), guest);
    EXPECT_TRUE(outcome.ok()) << test.what;
    EXPECT_EQ(outcome.value, test.value) << test.what;
  }
}

TEST(Run, NoOpcodeIsMissingAbove) {
  std::set<Opcode> seen;
  for (const Case& test : kCases) {
    const Program program = agent::program(std::string(test.code) + "27");
    for (const Instruction& in : program.code()) seen.insert(in.op);
  }
#define OPCODE(code, id, ...) EXPECT_TRUE(seen.contains(Opcode::id)) << #id;
#define REFUSED(...)
#include "stub/agent/opcodes.def"
#undef OPCODE
#undef REFUSED
}

TEST(Run, RotPlacesAllThreeValues) {
  FakeEnvironment guest;

  EXPECT_EQ(run(program("22 01 22 02 22 03 33 27"), guest).value, 2u);
  EXPECT_EQ(run(program("22 01 22 02 22 03 33 29 27"), guest).value, 1u);
  EXPECT_EQ(run(program("22 01 22 02 22 03 33 29 29 27"), guest).value, 3u);
}

// What gdb 13.1 makes of conditions, taken from the wire.
TEST(Run, ComparesARegisterAsGdbAsks) {
  FakeEnvironment guest;
  const Program rdi_is_0 = program("26 0005 16 40 22 00 13 27");
  guest.registers[5] = 0;
  EXPECT_EQ(run(rdi_is_0, guest).value, 1u);
  guest.registers[5] = 1ull << 63;
  EXPECT_EQ(run(rdi_is_0, guest).value, 0u);

  const Program dfd_is_minus_100 = program("26 0005 16 20 22 9c 16 08 13 27");
  guest.registers[5] = 0x00000000ffffff9c;
  EXPECT_EQ(run(dfd_is_minus_100, guest).value, 1u);
}

TEST(Run, FollowsPointersAsGdbAsks) {
  FakeEnvironment guest;
  guest.registers[5] = 0x1000;
  guest.memory[0x78] = 59;
  EXPECT_EQ(run(program("26 0005 2a 40 22 78 02 1a 22 3b 2a 40 13 27"), guest).value,
            1u);  // regs->orig_ax == 59
  guest.memory[0x970] = 1;
  EXPECT_EQ(run(program("26 0005 2a 40 23 0970 02 19 16 20 22 01 13 27"), guest).value, 1u);  // p->pid == 1
}

TEST(Run, ExtendsAGlobalsAddressToTheKernelHalf) {
  FakeEnvironment guest;

  const Outcome outcome = run(program("24 82a1aa40 16 20 19 27"), guest);

  EXPECT_EQ(outcome.fault, Fault::kMemory);
  EXPECT_EQ(outcome.address, Gva{0xffffffff82a1aa40});
}

TEST(Run, MemoryThatCannotBeReadIsAFaultWithItsAddress) {
  FakeEnvironment guest;
  const Program program = agent::program("23 2ff9 1a 27");

  const Outcome outcome = run(program, guest);

  EXPECT_EQ(outcome, (Outcome{Fault::kMemory, 3, {}, {0x2ff9}}));
  EXPECT_EQ(describe(outcome, program), "ref64 @3: cannot read memory at 0x2ff9");
  EXPECT_EQ(run(agent::program("22 00 17 27"), guest).fault, Fault::kMemory);
  EXPECT_EQ(run(agent::program("25 ffffffffffffffff 18 27"), guest).fault, Fault::kMemory);
}

TEST(Run, DivisionByZeroIsAFaultOfAllFour) {
  for (const char* op : {"05", "06", "07", "08"}) {
    FakeEnvironment guest;
    const Program program = agent::program(std::string("22 01 22 00") + op + "27");

    const Outcome outcome = run(program, guest);

    EXPECT_EQ(outcome, (Outcome{Fault::kDivideByZero, 4, {}, {}}));
    EXPECT_THAT(describe(outcome, program), testing::EndsWith("@4: division by zero"));
  }
}

TEST(Run, RegistersAndVariablesThatAreNotThereAreFaults) {
  FakeEnvironment guest;
  const Program reg = program("26 0104 27");
  const Program setv = program("22 01 2d 0009 27");

  EXPECT_EQ(run(reg, guest).fault, Fault::kRegister);
  EXPECT_EQ(describe(run(reg, guest), reg), "reg @0: cannot read register 260");
  EXPECT_EQ(run(program("2c 0009 27"), guest).fault, Fault::kVariable);
  EXPECT_EQ(run(program("2e 0009 27"), guest).fault, Fault::kVariable);
  EXPECT_EQ(describe(run(setv, guest), setv), "setv @2: cannot use trace variable 9");
}

TEST(Run, TracesTellTheEnvironmentWhatToRecord) {
  FakeEnvironment guest = guest_of_tests();

  const Outcome outcome = run(program("23 1000 22 04 0c  23 1100 0d ff 30 0102 22 20 2f  2e 0007 27"), guest);

  EXPECT_TRUE(outcome.ok());
  EXPECT_FALSE(outcome.value.has_value());
  EXPECT_THAT(guest.deeds, ElementsAre("memory 4096 4", "memory 4352 255", "memory 4352 258",
                                       "string 4352 32", "variable 7"));
}

TEST(Run, WhatCannotBeRecordedEndsTheProgram) {
  for (const char* code :
       {"23 1000 22 04 0c 27", "23 1000 22 04 2f 27", "23 1000 0d 04 27", "23 1000 30 0004 27"}) {
    FakeEnvironment guest;
    guest.records = false;

    const Outcome outcome = run(program(code), guest);

    EXPECT_EQ(outcome.fault, Fault::kRecord) << code;
    EXPECT_EQ(outcome.address, Gva{0x1000}) << code;
  }
}

TEST(Run, GdbsDprintfPrintsItsArgumentsInOrder) {
  FakeEnvironment guest;
  guest.registers = {{3, 16}, {5, 0xffffffff00000001}};
  const std::string format = "66643d2564 20 636f756e743d256c75 5c6e 00";  // fd=%d count=%lu\n

  const Outcome outcome =
      run(program("26 0003 2a40 26 0005 2a20 2200 2200 34 02 0012" + format + "27"), guest);

  EXPECT_TRUE(outcome.ok());
  EXPECT_THAT(guest.deeds, ElementsAre("print fd=1 count=16\n"));
}

TEST(Fuel, IsOneForEachOpcode) {
  FakeEnvironment guest;
  const Program three = program("22 01 28 27");

  EXPECT_TRUE(run(three, guest, 3).ok());
  EXPECT_EQ(run(three, guest, 2), (Outcome{Fault::kFuel, 3, {}, {}}));
  EXPECT_EQ(run(three, guest, 0), (Outcome{Fault::kFuel, 0, {}, {}}));
}

TEST(Fuel, EndsEveryLoop) {
  FakeEnvironment guest;
  const Program loop = program("21 0000");

  EXPECT_EQ(run(loop, guest).fault, Fault::kFuel);
  EXPECT_EQ(describe(run(loop, guest), loop), "goto @0: too many steps: stopped");
}

TEST(Fuel, PaysForEachPrintSoThatALoopCannotFlood) {
  FakeEnvironment guest;
  const Program loop = program("22 00 22 00 34 00 0002 4100 21 0000");

  EXPECT_EQ(run(loop, guest, kDefaultFuel).fault, Fault::kFuel);
  EXPECT_EQ(guest.deeds.size(), kDefaultFuel / (kPrintFuel + 4));
}

TEST(Fuel, LetsALoopThatEndsDoItsWork) {
  FakeEnvironment guest;
  // 0; (@2) const8 1; add; dup; const8 200; equal; if_goto @15; goto @2; (@15) end
  const Program count = program("22 00 22 01 02 28 22 c8 13 20 000f 21 0002 27");

  EXPECT_EQ(run(count, guest).value, 200u);
}

TEST(Condition, StopsWhenItIsMetOrCannotTell) {
  FakeEnvironment guest;

  EXPECT_TRUE(run_condition(program("22 01 27"), guest).stops());
  EXPECT_TRUE(run_condition(program("25 8000000000000000 27"), guest).stops());
  EXPECT_FALSE(run_condition(program("22 00 27"), guest).stops());
  EXPECT_TRUE(run_condition(program("22 00 17 27"), guest).stops());
  EXPECT_TRUE(run_condition(program("21 0000"), guest).stops());
}

TEST(Condition, WithoutAValueIsAFaultThoughTheProgramIsNot) {
  FakeEnvironment guest;
  const Program end = program("27");

  EXPECT_TRUE(run(end, guest).ok());
  EXPECT_EQ(run_condition(end, guest).fault, Fault::kNoValue);
  EXPECT_TRUE(run_condition(end, guest).stops());
  EXPECT_EQ(describe(run_condition(end, guest), end), "end @0: a condition must leave a value");
}

TEST(Run, DoesNothingItWasNotAskedFor) {
  FakeEnvironment guest = guest_of_tests();

  (void)run(program("26 0005 16 40 22 00 13 27"), guest);

  EXPECT_THAT(guest.deeds, IsEmpty());
  EXPECT_EQ(guest.longest_read, 0u);
}

}  // namespace
}  // namespace ringside::agent
