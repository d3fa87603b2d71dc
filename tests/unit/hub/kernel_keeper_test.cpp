#include "stub/hub/kernel_keeper.hpp"

#include <chrono>

#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "stub/hub/vcpu_environment.hpp"
#include "tests/fakes/fake_machine.hpp"
#include "tests/unit/guestos/small_kernel.hpp"

namespace ringside::hub {
namespace {

using guestos::test::SmallKernel;

constexpr Gpa kImage{0x200000};

// A machine into whose memory the monitor has placed the small kernel; its one CPU is never asked.
class PlacedKernel final : public api::Machine {
 public:
  PlacedKernel() {
    EXPECT_TRUE(small_.kernel());  // lays out its symbols
    put_kernel();
    info_.kernel.emplace();
    info_.kernel->link_text = SmallKernel::kText;
    info_.kernel->slide = 0;
    info_.kernel->at = kImage;
    info_.kernel->bytes = small_.memory().bytes().size();
  }
  void put_kernel() { EXPECT_TRUE(memory_.write(kImage, small_.memory().bytes())); }
  void wipe() { EXPECT_TRUE(memory_.write(kImage, Bytes(small_.memory().bytes().size()))); }

  std::size_t vcpu_count() const override { return 1; }
  api::Vcpu& vcpu(VcpuId) override { return fake_.vcpu(0); }
  PhysicalMemory& memory() override { return memory_; }
  const api::MachineInfo& info() const override { return info_; }
  Result<x86::IoApic> io_apic() const override { return x86::IoApic{}; }
  Result<void> start(api::DebugPolicy&, api::MachineListener&) override { return {}; }
  Result<void> watch_writes(std::span<const GpaRange>) override { return {}; }
  Result<void> reset() override { return {}; }

  SmallKernel small_;
  fakes::FakeMachine fake_;
  fakes::ArrayMemory memory_{0x600000};
  api::MachineInfo info_;
};

class Keeper : public testing::Test {
 protected:
  // Until so many answers have come.
  void run_until(const std::size_t& answers, std::size_t wanted) {
    const auto end = std::chrono::steady_clock::now() + std::chrono::seconds(60);
    while (answers < wanted && std::chrono::steady_clock::now() < end) {
      io_.restart();
      io_.run_one_for(std::chrono::milliseconds(50));
    }
    ASSERT_EQ(answers, wanted);
  }
  KernelKeeper::Answer counts(std::size_t& answers, std::size_t& found) {
    return [&](auto kernel) {
      ++answers;
      found += kernel ? 1 : 0;
    };
  }

  boost::asio::io_context io_;
  PlacedKernel machine_;
  std::shared_ptr<const PointSnapshot> points_ = std::make_shared<PointSnapshot>();
  std::size_t answers_ = 0, found_ = 0;
};

TEST_F(Keeper, SearchesOnceForAllWhoAsk) {
  KernelKeeper keeper(io_.get_executor(), machine_);
  keeper.ask(points_, counts(answers_, found_));
  keeper.ask(points_, counts(answers_, found_));
  EXPECT_EQ(answers_, 0u);  // nobody waits on this thread
  run_until(answers_, 2);
  EXPECT_EQ(found_, 2u);
  const auto known = keeper.known();
  keeper.ask(points_, counts(answers_, found_));
  EXPECT_EQ(answers_, 3u);
  EXPECT_EQ(keeper.known(), known);
}

TEST_F(Keeper, LooksAgainWhenItWasTooEarly) {
  machine_.wipe();
  KernelKeeper keeper(io_.get_executor(), machine_);
  keeper.ask(points_, counts(answers_, found_));
  run_until(answers_, 1);
  EXPECT_EQ(found_, 0u);
  EXPECT_EQ(keeper.memory(points_), nullptr);
  machine_.put_kernel();
  keeper.ask(points_, counts(answers_, found_));
  run_until(answers_, 2);
  EXPECT_EQ(found_, 1u);
}

TEST_F(Keeper, LooksOnByItselfUntilItIsKnown) {
  machine_.wipe();
  KernelKeeper keeper(io_.get_executor(), machine_);
  int looks = 0;
  const auto second_time_lucky = [&] {
    if (++looks == 2) machine_.put_kernel();  // no search is under way here
    return points_;
  };
  keeper.ask_until_known(second_time_lucky, [this] { ++answers_; });
  run_until(answers_, 1);
  EXPECT_EQ(looks, 2);
  EXPECT_NE(keeper.known(), nullptr);
}

TEST_F(Keeper, ForgetsAtAReset) {
  KernelKeeper keeper(io_.get_executor(), machine_);
  keeper.ask(points_, counts(answers_, found_));
  keeper.forget();
  run_until(answers_, 1);
  EXPECT_EQ(found_, 0u);  // it was of the life before
  EXPECT_EQ(keeper.known(), nullptr);
  keeper.ask(points_, counts(answers_, found_));
  run_until(answers_, 2);
  EXPECT_EQ(found_, 1u);
  keeper.forget();
  EXPECT_EQ(keeper.known(), nullptr);
}

TEST_F(Keeper, MayEndWhileASearchIsUnderWay) {
  {
    KernelKeeper keeper(io_.get_executor(), machine_);
    keeper.ask(points_, counts(answers_, found_));
  }
  io_.run_for(std::chrono::milliseconds(10));
  EXPECT_EQ(answers_, 0u);
}

TEST_F(Keeper, HidesInsertedBreakpoints) {
  auto points = std::make_shared<PointSnapshot>();
  auto site = std::make_shared<Site>();
  site->original = 0x5a;
  points->int3.emplace_back(kImage + 0x1f0, site);
  const std::uint8_t int3 = 0xcc;
  ASSERT_TRUE(machine_.memory_.write(kImage + 0x1f0, {&int3, 1}));
  KernelKeeper keeper(io_.get_executor(), machine_);
  keeper.ask(points, counts(answers_, found_));
  run_until(answers_, 1);
  const auto memory = keeper.memory(points);
  ASSERT_NE(memory, nullptr);
  EXPECT_EQ(memory->load_at<std::uint8_t>(SmallKernel::kText + 0x1f0), 0x5a);
  EXPECT_FALSE(memory->load_at<std::uint8_t>(SmallKernel::kText - 1));
}

TEST_F(Keeper, ConditionsSeeWhoRuns) {
  KernelKeeper keeper(io_.get_executor(), machine_);
  keeper.ask(points_, counts(answers_, found_));
  run_until(answers_, 1);
  x86::RegisterFile registers;
  const PrintSink sink = [](TracerId, std::string_view) {};
  fakes::FakeVcpu& vcpu = machine_.fake_.vcpu(0);
  const auto known = keeper.known();
  VcpuEnvironment knowing(vcpu, machine_.memory_, *points_, registers, sink, known.get());
  EXPECT_EQ(knowing.read_variable(4), 20u);
  EXPECT_EQ(knowing.read_variable(5), 20u);
  EXPECT_EQ(knowing.read_variable(6), 0x72656b726f77u);  // "worker"
  EXPECT_FALSE(knowing.read_variable(7));
  VcpuEnvironment ignorant(vcpu, machine_.memory_, *points_, registers, sink, nullptr);
  EXPECT_FALSE(ignorant.read_variable(4));
}

}  // namespace
}  // namespace ringside::hub
