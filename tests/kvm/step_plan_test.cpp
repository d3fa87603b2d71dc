// Instructions stepped over by plan, against the CPU: a sample from real kernels, random simple ones, and
// those that need a state of their own.
#include <cstdlib>
#include <fstream>
#include <map>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "arch/x86/alu.hpp"
#include "tests/kvm/guest_testing.hpp"
#include "tests/kvm/two_ways.hpp"

namespace ringside::test {
namespace {

class Tally {
 public:
  void count(Way way, const std::string& complaint) {
    ++ways_[way];
    constexpr std::size_t kEnoughToSee = 10;
    if (way == Way::kDifferent && ways_[way] <= kEnoughToSee) ADD_FAILURE() << complaint;
  }
  std::size_t operator[](Way way) const { return ways_.contains(way) ? ways_.at(way) : 0; }
  std::size_t compared() const { return (*this)[Way::kSame] + (*this)[Way::kSameThoughDoubted]; }
  // Of those that could have been compared.
  double share(std::size_t part) const {
    const std::size_t all =
        compared() + (*this)[Way::kRefused] + (*this)[Way::kFaults] + (*this)[Way::kDifferent];
    return static_cast<double>(part) / static_cast<double>(all);
  }
  void print() const {
    fmt::print(
        "{} compared ({} of them doubted), {} different, {} refused, {} faulted, {} in place, {} skipped\n",
        compared(), (*this)[Way::kSameThoughDoubted], (*this)[Way::kDifferent], (*this)[Way::kRefused],
        (*this)[Way::kFaults], (*this)[Way::kInPlace], (*this)[Way::kSkipped]);
  }

 private:
  std::map<Way, std::size_t> ways_;
};

class StepPlans : public testing::Test {
 protected:
  void compare(ByteView code) {
    const Way way = two_ways_.compare(code, random_);
    tally_.count(way, two_ways_.complaint());
  }
  void expect_mostly_compared() {
    tally_.print();
    EXPECT_EQ(tally_[Way::kDifferent], 0u);
    EXPECT_GT(tally_.share(tally_.compared()), 0.9);
    EXPECT_LT(tally_.share(tally_[Way::kSameThoughDoubted]), 0.02);
  }
  kvm::System system_ = must(kvm::System::open());
  TwoWays two_ways_{system_};
  std::mt19937_64 random_{2024};
  Tally tally_;
};

// One instruction a line, in hexadecimal; made by instruction_sample.
std::vector<Bytes> sample() {
  const char* name = std::getenv("RINGSIDE_STEP_SAMPLE");
  std::vector<Bytes> instructions;
  std::ifstream lines(name == nullptr ? "" : name);
  for (std::string line; std::getline(lines, line);) {
    Bytes code;
    for (std::size_t i = 0; i + 1 < line.size(); i += 2) {
      code.push_back(static_cast<std::uint8_t>(std::stoul(line.substr(i, 2), nullptr, 16)));
    }
    instructions.push_back(std::move(code));
  }
  return instructions;
}

TEST_F(StepPlans, InstructionsOfRealKernels) {
  const std::vector<Bytes> instructions = sample();
  ASSERT_GT(instructions.size(), 3000u) << "set RINGSIDE_STEP_SAMPLE to what instruction_sample has made";
  for (const Bytes& code : instructions) compare(code);
  expect_mostly_compared();
  EXPECT_GT(tally_.compared(), 3000u);
}

// Opcodes of which every ModRM is simple, or nearly: arithmetic, test, mov, movsxd, movzx, groups, and what
// has no ModRM.
constexpr std::uint8_t kSimpleOpcodes[] = {
    0x00, 0x01, 0x02, 0x03, 0x04, 0x05, 0x08, 0x09, 0x0a, 0x0b, 0x0c, 0x0d, 0x10, 0x11, 0x12, 0x13, 0x14,
    0x15, 0x18, 0x19, 0x1a, 0x1b, 0x1c, 0x1d, 0x20, 0x21, 0x22, 0x23, 0x24, 0x25, 0x28, 0x29, 0x2a, 0x2b,
    0x2c, 0x2d, 0x30, 0x31, 0x32, 0x33, 0x34, 0x35, 0x38, 0x39, 0x3a, 0x3b, 0x3c, 0x3d, 0x50, 0x54, 0x58,
    0x5c, 0x63, 0x68, 0x6a, 0x70, 0x71, 0x72, 0x73, 0x74, 0x75, 0x76, 0x77, 0x78, 0x79, 0x7a, 0x7b, 0x7c,
    0x7d, 0x7e, 0x7f, 0x80, 0x81, 0x83, 0x84, 0x85, 0x88, 0x89, 0x8a, 0x8b, 0x8d, 0x90, 0xa8, 0xa9, 0xb0,
    0xb4, 0xb8, 0xbc, 0xc2, 0xc3, 0xc6, 0xc7, 0xc9, 0xe8, 0xe9, 0xeb, 0xf6, 0xf7, 0xfe, 0xff};
constexpr std::uint8_t kSimpleOpcodes0f[] = {0x1f, 0x84, 0x8d, 0xb6, 0xb7, 0xbe, 0xbf};

template <std::size_t kSize>
std::uint8_t pick(const std::uint8_t (&from)[kSize], std::mt19937_64& random) {
  return from[random() % kSize];
}

Bytes random_instruction(std::mt19937_64& random) {
  Bytes code;
  if (random() % 4 == 0) code.push_back(0x66);
  if (random() % 2 == 0) code.push_back(static_cast<std::uint8_t>(0x40 | random() % 16));
  if (random() % 8 == 0) {
    code.push_back(0x0f);
    code.push_back(pick(kSimpleOpcodes0f, random));
  } else {
    code.push_back(pick(kSimpleOpcodes, random));
  }
  while (code.size() < disasm::kLongestInstruction) code.push_back(static_cast<std::uint8_t>(random()));
  return code;
}

TEST_F(StepPlans, RandomInstructionsThatAreSimple) {
  for (int i = 0; i < 12000; ++i) compare(random_instruction(random_));
  expect_mostly_compared();
  EXPECT_GT(tally_.compared(), 8000u);
}

// For what needs its registers just so.
class PlannedStep : public StepPlans {
 protected:
  PlannedStep() {
    start_.gpr[x86::kRsp] = TwoWays::kStack;
    start_.gpr[x86::kRbx] = TwoWays::kArea + 0x800;
  }
  Way compare(const Code& code) {
    const Way way = two_ways_.compare(code, start_);
    EXPECT_NE(way, Way::kDifferent) << two_ways_.complaint();
    return way;
  }
  std::uint64_t result(x86::Gpr gpr) const { return two_ways_.result().gpr[gpr]; }
  x86::CoreRegs start_;
};

TEST_F(PlannedStep, ACopiedCallReturnsToTheOriginal) {
  EXPECT_EQ(compare({0xf3, 0xff, 0xd3}), Way::kSame);  // call rbx, not emulated for its prefix
  EXPECT_EQ(two_ways_.result().rip, start_.gpr[x86::kRbx]);
  EXPECT_EQ(result(x86::kRsp), TwoWays::kStack - 8);
}

TEST_F(PlannedStep, ARepeatedMoveStaysUntilItsLastIteration) {
  start_.gpr[x86::kRsi] = TwoWays::kArea;
  start_.gpr[x86::kRdi] = TwoWays::kArea + 0x1000;
  start_.gpr[x86::kRcx] = 3;
  EXPECT_EQ(compare({0xf3, 0xa4}), Way::kSame);
  EXPECT_EQ(two_ways_.result().rip, TwoWays::kAt);
  EXPECT_EQ(result(x86::kRcx), 2u);
  start_.gpr[x86::kRcx] = 0;
  EXPECT_EQ(compare({0xf3, 0xa4}), Way::kSame);
  EXPECT_EQ(two_ways_.result().rip, TwoWays::kAt + 2);
}

TEST_F(PlannedStep, ABitFarFromItsOperand) {
  start_.gpr[x86::kRcx] = static_cast<std::uint64_t>(-1000);
  EXPECT_EQ(compare({0x48, 0x0f, 0xab, 0x0b}), Way::kSame);
}

TEST_F(PlannedStep, MemoryThatIsNotMappedIsForeseen) {
  start_.gpr[x86::kRbx] = 0x4000'0000;
  EXPECT_EQ(compare({0x48, 0x89, 0x03}), Way::kFaults);
  EXPECT_EQ(compare({0x48, 0x8b, 0x03}), Way::kFaults);
  EXPECT_EQ(compare({0x48, 0x0f, 0xab, 0x0b}), Way::kFaults);
  EXPECT_EQ(compare({0xff, 0x33}), Way::kFaults);
}

TEST_F(PlannedStep, ADeviceIsForTheCpu) {
  start_.gpr[x86::kRbx] = 0x10'0000;
  EXPECT_EQ(compare({0x48, 0x8b, 0x03}), Way::kFaults);  // an exit, and not behind the instruction
}

TEST_F(PlannedStep, AJumpToNoAddressIsForTheCpu) {
  start_.gpr[x86::kRbx] = 0x8000'0000'0000'0000;
  EXPECT_THAT(compare({0xff, 0xe3}), testing::AnyOf(Way::kFaults, Way::kRefused));
}

class Emulation : public GuestTest {
 protected:
  x86::EmulateResult emulate(const x86::SimpleInsn& insn, x86::CoreRegs& regs) {
    const x86::CpuContext cpu = vcpu().context();
    x86::GuestData data(cpu, guest());
    return x86::emulate(insn, regs, data);
  }
  static constexpr x86::SimpleInsn kPush{
      .op = x86::SimpleInsn::Op::kPush, .length = 1, .from = {x86::Operand::Kind::kGpr, x86::kRax}};
};

TEST_F(Emulation, ThePageMustHaveBeenWrittenByTheGuestBefore) {
  boot({0x50, kHlt});  // push rax
  x86::CoreRegs regs = vcpu().core();
  EXPECT_EQ(emulate(kPush, regs), x86::EmulateResult::kNoData);
  expect_hlt();
  regs = vcpu().core();
  EXPECT_EQ(emulate(kPush, regs), x86::EmulateResult::kDone);
}

// Not stepped: the step's TF would be stored.
TEST_F(Emulation, PushfStoresWhatTheGuestWouldStore) {
  for (const std::uint64_t flags : {x86::alu::kStatus, x86::rflags::kDf | x86::rflags::kAc | x86::rflags::kId,
                                    x86::rflags::kIopl | x86::rflags::kNt}) {
    boot({0x9c, kHlt});  // pushf
    x86::CoreRegs regs = vcpu().core();
    regs.rflags |= flags;
    vcpu().set_core(regs);
    const std::uint64_t slot = regs.gpr[x86::kRsp] - 8;
    expect_hlt();
    const std::uint64_t stored = qword(slot);
    EXPECT_EQ(stored & flags, flags);
    put(slot, Code(8, 0));
    EXPECT_EQ(emulate({.op = x86::SimpleInsn::Op::kPushFlags, .length = 1}, regs), x86::EmulateResult::kDone);
    EXPECT_EQ(qword(slot), stored);
  }
}

}  // namespace
}  // namespace ringside::test
