// Points by the thousand, and points that are on their way.
#include "tests/unit/hub/hub_testing.hpp"

namespace ringside::hub {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

class HubManyPoints : public HubTest {
 protected:
  static constexpr std::uint64_t kMany = 20'000;
  static constexpr std::uint64_t kField = 0xb000;  // no code: nobody gets here

  HubManyPoints() : HubTest(2) {
    for (std::uint64_t at = 0; at < kMany; ++at) machine_.put(kField + at, {own_byte(at)});
    tracer_ = attach_stopped();
  }
  static std::uint8_t own_byte(std::uint64_t at) { return static_cast<std::uint8_t>(at % 200); }
  void insert_up_to(std::uint64_t count) {
    for (std::uint64_t at = 0; at < count; ++at) ASSERT_TRUE(insert(*tracer_, software(kField + at)));
  }
  void remove_up_to(std::uint64_t count) {
    for (std::uint64_t at = 0; at < count; ++at) ASSERT_TRUE(remove(*tracer_, software(kField + at)));
  }
  std::uint64_t int3_in_memory() {
    std::uint64_t count = 0;
    for (std::uint64_t at = 0; at < kMany; ++at) count += machine_.byte(kField + at) != own_byte(at) ? 1 : 0;
    return count;
  }
  // How often guest memory is touched, by what is all the work there is.
  std::size_t work_of(auto what) {
    const std::size_t before = machine_.memory().accesses();
    what();
    return machine_.memory().accesses() - before;
  }
  std::unique_ptr<RecordingTracer> tracer_;
};

TEST_F(HubManyPoints, OneMoreThanTheLimitIsRefusedInWords) {
  insert_up_to(kMany);
  const Result<void> refused = insert(*tracer_, software(kField + kMany));
  ASSERT_FALSE(refused);
  EXPECT_EQ(refused.error().code, Errc::kExhausted);
  EXPECT_THAT(refused.error().text, HasSubstr("a tracer may set 20000 points"));
  EXPECT_TRUE(insert(*tracer_, software(kField))) << "what is there already is no further point";
  auto other = attach();
  EXPECT_TRUE(insert(*other, software(kField + kMany))) << "each has its own limit";
  ASSERT_TRUE(remove(*tracer_, software(kField)));
  EXPECT_TRUE(insert(*tracer_, software(kField + kMany)));
}

TEST_F(HubManyPoints, TheLimitCountsThoseThatAreOnTheirWay) {
  resume_all(*tracer_);
  machine_.prompt = false;
  std::uint64_t taken = 0;
  std::uint64_t refused = 0;
  for (std::uint64_t at = 0; at < kMany + 10; ++at) {
    tracer_->port->insert_point(VcpuId{0}, software(kField + at), nullptr,
                                [&](Result<void> done) { ++(done ? taken : refused); });
  }
  vcpu(0).answer_pause();
  vcpu(1).answer_pause();
  poll();
  EXPECT_EQ(taken, kMany);
  EXPECT_EQ(refused, 10u);
}

// Each point costs the same however many there are; what runs next costs one look at each.
TEST_F(HubManyPoints, WorkIsInProportionToTheirNumber) {
  const std::size_t few =
      work_of([&] { insert_up_to(kMany / 10); }) + work_of([&] { remove_up_to(kMany / 10); });
  const std::size_t many = work_of([&] { insert_up_to(kMany); }) + work_of([&] { remove_up_to(kMany); });
  EXPECT_LT(many, few * 11);
  insert_up_to(kMany);
  EXPECT_LT(work_of([&] { resume_all(*tracer_); }), kMany * 20);
}

// Planning looks at every point; done for each removal it would make a stop of gdb's take minutes.
TEST_F(HubManyPoints, RemovingOneMovesNoOtherBeforeSomethingRuns) {
  insert_up_to(100);
  remove_up_to(4);
  EXPECT_EQ(int3_in_memory(), 96u);
  resume_all(*tracer_);
  EXPECT_EQ(int3_in_memory(), 92u);
}

TEST_F(HubManyPoints, MemoryIsTheGuestsOwnWhenTheyAreRemoved) {
  insert_up_to(kMany);
  EXPECT_EQ(int3_in_memory(), kMany - 4);
  EXPECT_EQ(read(*tracer_, kField + 1000, 3), (Bytes{own_byte(1000), own_byte(1001), own_byte(1002)}));
  remove_up_to(kMany);
  EXPECT_EQ(int3_in_memory(), 0u);
  resume_all(*tracer_);
  EXPECT_FALSE(vcpu(0).wish().trap_int3);
  EXPECT_FALSE(vcpu(0).wish().slots[0]);
}

TEST_F(HubManyPoints, MemoryIsTheGuestsOwnWhenTheirTracerIsGone) {
  insert_up_to(kMany);
  resume_all(*tracer_);
  detach(tracer_);
  EXPECT_EQ(int3_in_memory(), 0u);
  EXPECT_TRUE(all_running());
}

class HubPointsOnTheirWay : public HubTest {
 protected:
  HubPointsOnTheirWay() : HubTest(1, false) {
    tracer_ = attach();
    other_ = attach();
    machine_.prompt = false;
  }
  void insert_later(RecordingTracer& tracer, const PointSpec& spec, std::optional<bool>& inserted) {
    tracer.port->insert_point(VcpuId{0}, spec, nullptr,
                              [&](Result<void> done) { inserted = done.has_value(); });
  }
  void answer() {
    poll();
    vcpu(0).answer_pause();
    poll();
  }
  std::unique_ptr<RecordingTracer> tracer_;
  std::unique_ptr<RecordingTracer> other_;
};

TEST_F(HubPointsOnTheirWay, WhatWillBeRefusedStandsInNobodysWay) {
  std::optional<bool> five_slots, breakpoint, removed;
  insert_later(*tracer_, software(kCode + 3), breakpoint);
  other_->port->remove_point(software(kCode + 9), [&](Result<void> done) { removed = done.has_value(); });
  std::array<std::optional<bool>, 4> watches;
  for (std::uint64_t i = 0; i < 4; ++i) insert_later(*tracer_, hardware(kCode + 0x80 + i), watches[i]);
  insert_later(*other_, hardware(kCode + 0x84), five_slots);
  answer();
  EXPECT_EQ(breakpoint, true);
  EXPECT_EQ(removed, true);
  for (const auto& inserted : watches) EXPECT_EQ(inserted, true);
  EXPECT_EQ(five_slots, false);
}

TEST_F(HubPointsOnTheirWay, RemovedBeforeItIsThereItIsNot) {
  std::optional<bool> inserted;
  insert_later(*tracer_, software(kCode + 3), inserted);
  tracer_->port->remove_point(software(kCode + 3), [](Result<void>) {});
  answer();
  EXPECT_EQ(inserted, true);
  EXPECT_EQ(tracer_->port->describe_points(), "no points are set\n");
  vcpu(0).set_rip(kCode);
  execute(8);
  EXPECT_THAT(tracer_->stops, IsEmpty());
}

TEST_F(HubPointsOnTheirWay, OnesRemovalLeavesWhatAnotherHasInsertedBeforeIt) {
  machine_.prompt = true;
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3)));
  machine_.prompt = false;
  std::optional<bool> inserted;
  insert_later(*other_, software(kCode + 3), inserted);
  tracer_->port->remove_point(software(kCode + 3), [](Result<void>) {});
  answer();
  execute(4);
  EXPECT_EQ(reason(take_stop(*other_)), StopReason::kSoftwareBreak);
}

TEST_F(HubPointsOnTheirWay, ATracerThatLeavesLeavesNoneBehind) {
  std::optional<bool> inserted;
  insert_later(*tracer_, software(kCode + 3), inserted);
  detach(tracer_);
  answer();
  EXPECT_EQ(inserted, false);
  EXPECT_EQ(other_->port->describe_points(), "no points are set\n");
}

}  // namespace
}  // namespace ringside::hub
