#include "tests/unit/hub/hub_testing.hpp"

namespace ringside::hub {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

agent::Program program(Bytes code) { return agent::Program::verify(code).value(); }

const Bytes kNever{0x22, 0, 0x27};
const Bytes kAlways{0x22, 1, 0x27};
const Bytes kDivides{0x22, 1, 0x22, 0, 0x05, 0x27};                         // 1 / 0
const Bytes kSecondCpu{0x2c, 0, 1, 0x22, 1, 0x13, 0x27};                    // $cpu == 1
const Bytes kThirdHit{0x2c, 0, 2, 0x22, 3, 0x13, 0x27};                     // $hits == 3
const Bytes kReadsCode{0x24, 0, 0, 0x80, 3, 0x17, 0x22, 0x90, 0x13, 0x27};  // *(char*)0x8003 == 0x90
const Bytes kRaxIsSeven{0x26, 0, 0, 0x22, 7, 0x13, 0x27};

std::shared_ptr<const PointActions> when(std::vector<Bytes> conditions) {
  auto actions = std::make_shared<PointActions>();
  for (Bytes& code : conditions) actions->conditions.push_back(program(std::move(code)));
  return actions;
}

// printf("hi\n")
Bytes says_hi() {
  Bytes code{0x22, 0, 0x22, 0, 0x34, 0, 0, 5};
  for (const char c : std::string("hi\\n")) code.push_back(static_cast<std::uint8_t>(c));
  code.push_back(0);
  code.push_back(0x27);
  return code;
}

std::shared_ptr<const PointActions> prints(bool persist = false) {
  auto actions = std::make_shared<PointActions>();
  actions->commands.push_back(program(says_hi()));
  actions->persist = persist;
  return actions;
}

// Both mechanisms: with the debug registers taken, breakpoints are int3.
class HubConditions : public HubTest, public testing::WithParamInterface<bool> {
 protected:
  HubConditions() : HubTest(2, false) {
    tracer_ = attach();
    for (std::uint64_t i = 0; GetParam() && i < 4; ++i) EXPECT_TRUE(insert(*tracer_, hardware(0x9000 + i)));
  }
  std::unique_ptr<RecordingTracer> tracer_;
};

INSTANTIATE_TEST_SUITE_P(Mechanisms, HubConditions, testing::Bool(),
                         [](const auto& param) { return param.param ? "Int3" : "DebugRegister"; });

TEST_P(HubConditions, AFalseConditionStopsNobody) {
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), when({kNever})));
  execute(8);
  EXPECT_THAT(tracer_->stops, IsEmpty());
  EXPECT_GT(vcpu(0).rip(), kCode + 3);
  EXPECT_THAT(tracer_->port->describe_points(), HasSubstr(": 1 hits, 0 stops"));
}

TEST_P(HubConditions, OneThatHoldsIsEnough) {
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), when({kNever, kAlways})));
  execute(8);
  EXPECT_EQ(reason(take_stop(*tracer_)), StopReason::kSoftwareBreak);
}

TEST_P(HubConditions, EachTracersOwnDecidesForIt) {
  auto other = attach();
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), when({kNever})));
  ASSERT_TRUE(insert(*other, software(kCode + 3), when({kAlways})));
  execute(8);
  EXPECT_THAT(tracer_->stops, IsEmpty());
  EXPECT_EQ(reason(take_stop(*other)), StopReason::kSoftwareBreak);
}

TEST_P(HubConditions, WhatCannotBeEvaluatedStopsAndSaysWhy) {
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), when({kDivides})));
  execute(8);
  const auto stop = take_stop(*tracer_);
  EXPECT_EQ(reason(stop), StopReason::kSoftwareBreak);
  EXPECT_THAT(stop->detail, HasSubstr("condition cannot be evaluated"));
  EXPECT_THAT(tracer_->port->describe_points(), HasSubstr("1 failures"));
}

TEST_P(HubConditions, TheMonitorsVariablesAreThere) {
  vcpu(1).set_rip(kCode);
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), when({kSecondCpu})));
  execute(8);
  const auto stop = take_stop(*tracer_);
  ASSERT_TRUE(stop);
  EXPECT_EQ(stop->vcpu, VcpuId{1});
}

TEST_P(HubConditions, HitsAreCountedForEachPoint) {
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), when({kThirdHit})));
  execute(0x41 + 0x41 + 2);
  EXPECT_THAT(tracer_->stops, IsEmpty());
  execute(0x41 + 2);
  EXPECT_EQ(reason(take_stop(*tracer_)), StopReason::kSoftwareBreak);
}

TEST_P(HubConditions, MemoryIsReadWithoutWhatIsInserted) {
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), when({kReadsCode})));
  execute(8);
  const auto stop = take_stop(*tracer_);
  EXPECT_EQ(reason(stop), StopReason::kSoftwareBreak);
  EXPECT_EQ(stop->detail, "");
}

TEST_P(HubConditions, WhatATracerHasWrittenThereIsRead) {
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), when({kReadsCode})));
  auto other = attach();
  for (const std::uint8_t value : Bytes{0xf4, 0x90}) {
    bool written = false;
    other->port->write_memory(VcpuId{0}, tracer::AddressSpace::kVirtual, Gva{kCode + 3}, {value},
                              [&](Result<void> done) { written = done.has_value(); });
    poll();
    ASSERT_TRUE(written);
    ASSERT_TRUE(all_running());
    for (std::uint32_t n = 0; n < 2; ++n) vcpu(n).set_rip(kCode + 0x100 * n);
    execute(5);  // the hit, and the instruction there
    EXPECT_EQ(tracer_->stops.size(), value == 0x90 ? 1u : 0u);
  }
}

TEST_P(HubConditions, TwoAddressesOfOneByteHaveEachTheirOwn) {
  constexpr std::uint64_t kAlias = fakes::kKernel + kCode + 3;
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), when({kNever})));
  ASSERT_TRUE(insert(*tracer_, software(kAlias), when({kNever})));
  execute(8);
  auto other = attach();
  ASSERT_TRUE(insert(*other, software(kAlias)));
  vcpu(0).set_rip(kAlias - 3);
  execute(4);
  EXPECT_EQ(reason(take_stop(*other)), StopReason::kSoftwareBreak);
  EXPECT_THAT(tracer_->stops, IsEmpty());
}

TEST_P(HubConditions, RegistersAreThoseOfTheVcpuThatHit) {
  x86::CoreRegs core = vcpu(0).core();
  core.gpr[x86::kRax] = 7;
  vcpu(0).set_core(core);
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), when({kRaxIsSeven})));
  execute(8);
  EXPECT_EQ(reason(take_stop(*tracer_)), StopReason::kSoftwareBreak);
}

TEST_P(HubConditions, ANewInsertionReplacesTheOldConditions) {
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), when({kAlways})));
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), when({kNever})));
  execute(8);
  EXPECT_THAT(tracer_->stops, IsEmpty());
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3)));
  execute(0x41);
  EXPECT_EQ(reason(take_stop(*tracer_)), StopReason::kSoftwareBreak);
}

TEST_P(HubConditions, AStepOntoAPointNobodyWantsIsDoneWhereItShouldBe) {
  ASSERT_TRUE(insert(*tracer_, software(kCode), when({kNever})));
  vcpu(0).set_rip(kCode);
  stop_all(*tracer_);
  step(*tracer_, 0);
  execute(2);  // the hit, and the step
  const auto stop = take_stop(*tracer_);
  EXPECT_EQ(reason(stop), StopReason::kStep);
  EXPECT_EQ(vcpu(0).rip(), kCode + 1);
}

TEST_P(HubConditions, CommandsPrintAndDoNotStop) {
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), prints()));
  execute(8);
  EXPECT_THAT(tracer_->stops, IsEmpty());
  EXPECT_THAT(tracer_->prints, ElementsAre("hi\n"));
}

TEST_P(HubConditions, WhatPersistsGoesOnWithoutItsTracerUntilItIsDropped) {
  auto other = attach();
  ASSERT_TRUE(insert(*other, software(kCode + 3), prints(true)));
  detach(other);
  EXPECT_THAT(tracer_->port->describe_points(), HasSubstr("break 0x8003, left behind"));
  execute(8);
  EXPECT_THAT(tracer_->port->describe_points(), HasSubstr(": 1 hits"));
  EXPECT_EQ(tracer_->port->drop_left_points(), 1u);
  poll();
  EXPECT_THAT(tracer_->port->describe_points(), testing::Not(HasSubstr("left behind")));
}

TEST_P(HubConditions, WhoInsertsItAgainTakesItOver) {
  auto other = attach();
  ASSERT_TRUE(insert(*other, software(kCode + 3), prints(true)));
  detach(other);
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), prints(true)));
  EXPECT_EQ(tracer_->port->drop_left_points(), 0u);
  execute(8);
  EXPECT_THAT(tracer_->prints, ElementsAre("hi\n"));
}

TEST_P(HubConditions, TheListingShowsTheConditionAndTheScriptThePoint) {
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), when({kNever})));
  EXPECT_THAT(tracer_->port->describe_points(), HasSubstr("\n  if const8 0; end\n"));
  EXPECT_THAT(tracer_->port->points_as_script(), HasSubstr("break *0x8003\n#   if const8 0; end\n"));
}

class CountingWatcher final : public tracer::Watcher {
 public:
  std::optional<std::uint64_t> on_hit(const tracer::Hit& hit) noexcept override {
    ++hits;
    byte = hit.memory().load_at<std::uint8_t>(hit.at()).value_or(0);
    return stops ? std::optional<std::uint64_t>(7) : std::nullopt;
  }
  int hits = 0;
  std::uint8_t byte = 0;
  bool stops = false;
};

TEST_P(HubConditions, AWatcherSeesEachHitAndTheGuestsOwnBytes) {
  auto actions = std::make_shared<PointActions>();
  auto watcher = std::make_shared<CountingWatcher>();
  actions->watcher = watcher;
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), actions));
  execute(8);
  EXPECT_THAT(tracer_->stops, IsEmpty());
  EXPECT_EQ(watcher->hits, 1);
  EXPECT_EQ(watcher->byte, 0x90);
}

TEST_P(HubConditions, AWatcherMayHaveTheGuestStop) {
  auto actions = std::make_shared<PointActions>();
  auto watcher = std::make_shared<CountingWatcher>();
  watcher->stops = true;
  actions->watcher = watcher;
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), actions));
  execute(8);
  EXPECT_EQ(reason(take_stop(*tracer_)), StopReason::kSoftwareBreak);
}

TEST_P(HubConditions, AProbeStandsBesideAUsersBreakpoint) {
  auto actions = std::make_shared<PointActions>();
  auto watcher = std::make_shared<CountingWatcher>();
  watcher->stops = true;
  actions->watcher = watcher;
  const PointSpec probe{.kind = PointKind::kProbe, .at = Gva{kCode + 3}, .length = 1};
  ASSERT_TRUE(insert(*tracer_, probe, actions));
  ASSERT_TRUE(insert(*tracer_, software(kCode + 3), when({kNever})));
  ASSERT_TRUE(remove(*tracer_, software(kCode + 3)));
  execute(8);
  const auto stop = take_stop(*tracer_);
  EXPECT_EQ(reason(stop), StopReason::kProbe);
  EXPECT_EQ(stop->mark, 7u);
  EXPECT_EQ(watcher->hits, 1);
}

}  // namespace
}  // namespace ringside::hub
