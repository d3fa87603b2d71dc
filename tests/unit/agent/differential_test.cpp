// Random programs on the interpreter and on a second one, written as plainly as can be: the same outcome, the
// same deeds, the same variables.
#include <array>
#include <map>
#include <random>

#include <gtest/gtest.h>

#include "tests/fakes/fake_environment.hpp"
#include "tests/fakes/naive_machine.hpp"
#include "tests/unit/agent/agent_testing.hpp"

namespace ringside::agent {
namespace {

using fakes::FakeEnvironment;
using fakes::NaiveMachine;

// Makes programs that verify: it keeps the depth of the stack, and both ways through a branch leave the same.
class Author {
 public:
  explicit Author(std::uint32_t seed) : random_(seed) {}

  Bytes write() {
    block(3);
    emit({0x27});
    return std::move(code_);
  }

 private:
  static constexpr std::size_t kDeepest = 20;

  std::size_t pick(std::size_t below) {
    return std::uniform_int_distribution<std::size_t>(0, below - 1)(random_);
  }
  void emit(std::initializer_list<std::size_t> bytes) {
    for (const std::size_t byte : bytes) code_.push_back(static_cast<std::uint8_t>(byte));
  }
  void constant() {
    static constexpr std::array<std::uint64_t, 16> kWorthIt = {
        0,      1,      2,      63,     64,     65,           0x7f,       0x80,
        0x1000, 0x1ffc, 0x2ff8, 0x2fff, 0x3000, 0x8000000000, 1ull << 63, ~0ull};
    const std::uint64_t value = kWorthIt[pick(kWorthIt.size())];
    emit({0x25});
    for (int shift = 56; shift >= 0; shift -= 8) emit({static_cast<std::size_t>(value >> shift & 0xff)});
    ++depth_;
  }
  void push() {
    switch (pick(6)) {
      case 0:
        emit({0x22, pick(256)});
        break;
      case 1:
        emit({0x23, pick(256), pick(256)});
        break;
      case 2:
        emit({0x24, pick(256), pick(256), pick(256), pick(256)});
        break;
      case 3:
        emit({0x26, 0, pick(10)});
        break;
      case 4:
        emit({0x2c, 0, pick(4)});
        break;
      default:
        constant();
        return;
    }
    ++depth_;
  }
  void unary() {
    static constexpr std::array<std::uint8_t, 7> kPlain = {0x0e, 0x12, 0x17, 0x18, 0x19, 0x1a, 0x0e};
    switch (pick(6)) {
      case 0:
        emit({0x16, pick(70)});
        break;
      case 1:
        emit({0x2a, pick(70)});
        break;
      case 2:
        emit({0x2d, 0, pick(4)});
        break;
      case 3:
        emit({0x0d, pick(256)});
        break;
      case 4:
        emit({0x30, pick(256), pick(256)});
        break;
      default:
        emit({kPlain[pick(kPlain.size())]});
        break;
    }
  }
  void binary() {
    static constexpr std::array<std::uint8_t, 16> kPlain = {0x02, 0x03, 0x04, 0x05, 0x06, 0x07, 0x08, 0x09,
                                                            0x0a, 0x0b, 0x0f, 0x10, 0x11, 0x13, 0x14, 0x15};
    emit({kPlain[pick(kPlain.size())]});
    --depth_;
  }
  void shuffle() {
    if (depth_ >= 3 && pick(2) == 0) return emit({0x33});
    if (depth_ >= 2 && pick(2) == 0) return emit({0x2b});
    emit({0x32, pick(depth_)});
    ++depth_;
  }
  void consume_two() {
    emit({pick(2) == 0 ? 0x0cu : 0x2fu});
    depth_ -= 2;
  }
  void print() {
    emit({0x34, depth_ >= 4 ? 2u : 0u, 0, depth_ >= 4 ? 6u : 2u});
    if (depth_ >= 4) emit({'%', 'd', '%', 'l', 'x', 0});
    if (depth_ < 4) emit({'!', 0});
    depth_ -= depth_ >= 4 ? 4 : 2;
  }
  void settle(std::size_t depth) {
    while (depth_ < depth) constant();
    for (; depth_ > depth; --depth_) emit({0x29});
  }
  std::size_t jump(std::uint8_t op) {
    emit({op, 0, 0});
    return code_.size();
  }
  void land(std::size_t jump, std::size_t target) {
    code_[jump - 2] = static_cast<std::uint8_t>(target >> 8);
    code_[jump - 1] = static_cast<std::uint8_t>(target);
  }
  void branch(unsigned nesting) {
    const std::size_t depth = --depth_;
    const std::size_t condition = jump(0x20);
    block(nesting);
    settle(depth);
    const std::size_t over = jump(0x21);
    land(condition, code_.size());
    block(nesting);
    settle(depth);
    land(over, code_.size());
  }
  void loop(unsigned nesting) {
    const std::size_t depth = depth_;
    const std::size_t top = code_.size();
    block(nesting);
    settle(depth);
    push();
    land(jump(0x20), top);
    --depth_;
  }
  void block(unsigned nesting) {
    for (std::size_t left = pick(12); left > 0; --left) step(nesting);
  }
  void step(unsigned nesting) {
    if (depth_ >= kDeepest) return settle(2);
    const std::size_t choice = pick(20);
    if (depth_ == 0 || choice < 6) return push();
    if (choice < 9) return unary();
    if (choice == 9 && nesting > 0) return branch(nesting - 1);
    if (choice == 10 && nesting > 0) return loop(nesting - 1);
    if (choice == 11) return emit({0x2e, 0, pick(4)});
    if (choice < 14) return shuffle();
    if (depth_ < 2) return push();
    if (choice == 14) return consume_two();
    if (choice == 15) return print();
    binary();
  }

  std::mt19937 random_;
  Bytes code_;
  std::size_t depth_ = 0;
};

FakeEnvironment guest_with(std::uint32_t seed) {
  std::mt19937 random(seed);
  FakeEnvironment guest;
  for (auto& byte : guest.memory) byte = static_cast<std::uint8_t>(random());
  for (unsigned number = 0; number < 9; ++number)
    guest.registers[number] = random() % 3 == 0 ? 0x1000 + random() % 0x2000 : random();
  guest.variables = {{0, 0}, {1, 0x1008}, {2, ~0ull}};
  guest.records = seed % 5 != 0;
  return guest;
}

TEST(Differential, RandomProgramsEndAsTheyDoOnASecondInterpreter) {
  constexpr std::uint32_t kFuel = 600;
  std::map<Fault, unsigned> ends;
  for (std::uint32_t seed = 0; seed < 30'000; ++seed) {
    const Bytes code = Author(seed).write();
    const auto program = Program::verify(code);
    ASSERT_TRUE(program.has_value()) << seed << ": " << program.error().text;
    FakeEnvironment guest = guest_with(seed % 16);
    FakeEnvironment same = guest;

    const Outcome outcome = run(*program, guest, kFuel);
    const Outcome expected = NaiveMachine(code, same).run(kFuel);

    ASSERT_EQ(outcome, expected) << seed << ": " << program->listing() << "\n" << describe(outcome, *program);
    ASSERT_EQ(guest.deeds, same.deeds) << seed;
    ASSERT_EQ(guest.variables, same.variables) << seed;
    ++ends[outcome.fault];
  }
  // Each way to end is there often enough to mean something.
  for (const Fault fault : {Fault::kNone, Fault::kMemory, Fault::kRegister, Fault::kVariable, Fault::kRecord,
                            Fault::kDivideByZero, Fault::kFuel}) {
    EXPECT_GE(ends[fault], 50u) << static_cast<unsigned>(fault);
  }
}

// Bytes without any order: nearly none of it verifies, and what does behaves.
TEST(Differential, NoiseThatVerifiesEndsTheSame) {
  std::mt19937 random(1);
  unsigned verified = 0;
  for (unsigned round = 0; round < 300'000; ++round) {
    Bytes code(1 + random() % 12);
    for (auto& byte : code) byte = static_cast<std::uint8_t>(random() % 0x38);
    const auto program = Program::verify(code);
    if (!program) continue;
    FakeEnvironment guest = guest_with(1);
    FakeEnvironment same = guest;
    ASSERT_EQ(run(*program, guest, 50), NaiveMachine(code, same).run(50)) << program->listing();
    ++verified;
  }
  EXPECT_GE(verified, 1000u);
}

}  // namespace
}  // namespace ringside::agent
