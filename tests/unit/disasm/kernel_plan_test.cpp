// Every instruction of the kernels that people run gets a plan, and hardly any has to be stepped in place.
#include <map>

#include <fmt/format.h>
#include <gtest/gtest.h>

#include "disasm/step_plan.hpp"
#include "tests/unit/disasm/kernel_text.hpp"

namespace ringside::disasm {
namespace {

constexpr Gva kText{0xffff'ffff'8100'0000};
constexpr Gva kScratch{0xffff'ffff'bfe0'0000};  // as far from the text as our page would be

// What became of how many instructions.
class Census {
 public:
  void count(const StepPlan& plan) {
    ++all_;
    if (std::holds_alternative<x86::SimpleInsn>(plan.how)) ++emulated_;
    if (const auto* copy = std::get_if<RunInScratch>(&plan.how)) {
      ++(copy->accesses.unpredictable ? scratch_that_may_fault_ : scratch_);
      if (!copy->encode(kScratch)) ++out_of_reach_;
    }
    if (const auto* place = std::get_if<StepInPlace>(&plan.how)) ++in_place_[place->why];
  }
  double share(std::size_t part) const { return static_cast<double>(part) / static_cast<double>(all_); }
  double emulated() const { return share(emulated_); }
  double in_place() const {
    std::size_t sum = scratch_that_may_fault_;
    for (const auto& [why, number] : in_place_) sum += number;
    return share(sum);
  }
  double in_place(InPlace why) const { return in_place_.contains(why) ? share(in_place_.at(why)) : 0; }
  double out_of_reach() const { return share(out_of_reach_); }
  std::size_t all() const { return all_; }
  void print() const {
    fmt::print("{} instructions: {:.3f} % emulated, {:.3f} % as a copy, {:.3f} % a copy that may fault\n",
               all_, 100 * emulated(), 100 * share(scratch_), 100 * share(scratch_that_may_fault_));
    for (const auto& [why, number] : in_place_) {
      fmt::print("  in place: {:6} {:.4f} % {}\n", number, 100 * share(number), to_text(why));
    }
  }

 private:
  std::size_t all_ = 0, emulated_ = 0, scratch_ = 0, scratch_that_may_fault_ = 0, out_of_reach_ = 0;
  std::map<InPlace, std::size_t> in_place_;
};

// From one instruction to the next; int3 between functions is padding.
Census sweep(ByteView text) {
  constexpr std::uint8_t kPadding = 0xcc;
  const StepPlanner planner = std::move(StepPlanner::create()).value();
  Census census;
  for (std::size_t at = 0; at < text.size();) {
    if (text[at] == kPadding) {
      ++at;
      continue;
    }
    const std::size_t left = std::min(text.size() - at, kLongestInstruction);
    const StepPlan plan = planner.plan(text.subspan(at, left), kText + at);
    census.count(plan);
    at += std::max<std::size_t>(plan.original.length, 1);
  }
  return census;
}

TEST(KernelPlans, HardlyAnyInstructionIsSteppedInPlace) {
  ASSERT_FALSE(test::test_kernels().empty()) << "set RINGSIDE_TEST_KERNELS to bzImages, separated by colons";
  for (const std::string& name : test::test_kernels()) {
    SCOPED_TRACE(name);
    const auto text = test::kernel_text(name);
    ASSERT_TRUE(text.has_value()) << text.error().text;
    const Census census = sweep(*text);
    fmt::print("{}\n", name);
    census.print();
    EXPECT_GT(census.all(), 1'000'000u);
    EXPECT_GT(census.emulated(), 0.8);
    EXPECT_LT(census.in_place(), 0.01);
    EXPECT_LT(census.in_place(InPlace::kUndecodable), 0.001);
    EXPECT_LT(census.out_of_reach(), 0.00001);  // data among the code
  }
}

}  // namespace
}  // namespace ringside::disasm
