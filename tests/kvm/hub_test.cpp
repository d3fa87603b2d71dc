// The hub on real vCPUs: what its rules come to when guests really run.
#include "stub/hub/hub.hpp"

#include <gtest/gtest.h>

#include "tests/kvm/hub_testing.hpp"

namespace ringside::test {
namespace {

// Each vCPU counts in a place of its own: l: inc qword [rbx]; nop; jmp l
const Code kCountingLoop{0x48, 0xff, 0x03, kNop, 0xeb, 0xfa};

TEST_F(HubOnKvm, NothingRunsBeforeTheFirstTracerSaysSo) {
  boot(kCountingLoop);
  pump_for(30ms);
  EXPECT_EQ(machine_->qword(kData), 0u);
  auto tracer = attach();
  stop_all(*tracer);
  EXPECT_EQ(machine_->qword(kData), 0u);
  resume(*tracer);
  EXPECT_TRUE(pump([&] { return machine_->qword(kData) > 1000; }));
  tracer->port->interrupt();
  EXPECT_EQ(wait_stop(*tracer).reason, StopReason::kNone);
}

TEST_F(HubOnKvm, ABreakpointIsHitEveryTimeRoundAndTheCountIsExact) {
  boot(kCountingLoop);
  auto tracer = attach();
  stop_all(*tracer);
  ASSERT_TRUE(insert(*tracer, software(3)));
  for (std::uint64_t round = 1; round <= 50; ++round) {
    resume(*tracer);
    const StopEvent event = wait_stop(*tracer);
    ASSERT_EQ(event.reason, StopReason::kSoftwareBreak);
    ASSERT_EQ(offset(event), 3u);
    ASSERT_EQ(machine_->qword(kData), round);
  }
}

TEST_F(HubOnKvm, SixBreakpointsOnTwoVcpusUseInt3AndLoseNothing) {
  // inc qword [rbx]; six nops; jmp: all six are hit in order by each vCPU.
  boot({0x48, 0xff, 0x03, kNop, kNop, kNop, kNop, kNop, kNop, 0xeb, 0xf5}, 2);
  auto tracer = attach();
  stop_all(*tracer);
  for (std::uint64_t i = 3; i < 9; ++i) ASSERT_TRUE(insert(*tracer, software(i)));
  std::array<std::uint64_t, 2> next{3, 3};
  for (int hit = 0; hit < 120; ++hit) {
    resume(*tracer);
    const StopEvent event = wait_stop(*tracer);
    ASSERT_EQ(event.reason, StopReason::kSoftwareBreak) << event.detail;
    std::uint64_t& expected = next.at(event.vcpu.number);
    ASSERT_EQ(offset(event), expected) << "CPU " << event.vcpu.number << ", hit " << hit;
    expected = expected == 8 ? 3 : expected + 1;
  }
}

TEST_F(HubOnKvm, MemoryShowsTheGuestsBytesWhereInt3Are) {
  const Code code{0x48, 0xff, 0x03, kNop, kNop, kNop, kNop, kNop, kNop, 0xeb, 0xf5};
  boot(code);
  auto tracer = attach();
  stop_all(*tracer);
  for (std::uint64_t i = 3; i < 9; ++i) ASSERT_TRUE(insert(*tracer, software(i)));
  Bytes seen;
  tracer->port->read_memory(VcpuId{0}, tracer::AddressSpace::kVirtual, Gva{kCode}, code.size(),
                            [&](Result<Bytes> data) { seen = must(std::move(data)); });
  EXPECT_TRUE(pump([&] { return !seen.empty(); }));
  EXPECT_EQ(seen, code);
  Bytes raw(code.size());
  ASSERT_TRUE(machine_->memory().read(Gpa{kCode}, raw));
  EXPECT_EQ(std::ranges::count(raw, kInt3), 2);  // four have debug registers
}

TEST_F(HubOnKvm, SteppingCountsInstructionsAlsoOverBreakpoints) {
  boot(kCountingLoop);
  auto tracer = attach();
  stop_all(*tracer);
  ASSERT_TRUE(insert(*tracer, software(3)));
  ASSERT_TRUE(insert(*tracer, hardware(4)));
  for (const std::uint64_t expected : {3, 4, 0, 3, 4, 0}) {
    resume(*tracer, ResumeAction::Kind::kStep);
    ASSERT_EQ(offset(wait_stop(*tracer)), expected);
  }
  EXPECT_EQ(machine_->qword(kData), 2u);
}

TEST_F(HubOnKvm, AWatchpointTellsItsAddressAfterTheWrite) {
  boot(kCountingLoop);
  auto tracer = attach();
  stop_all(*tracer);
  ASSERT_TRUE(insert(*tracer, {PointKind::kWrite, Gva{kData}, 8}));
  for (std::uint64_t round = 1; round <= 20; ++round) {
    resume(*tracer);
    const StopEvent event = wait_stop(*tracer);
    ASSERT_EQ(event.reason, StopReason::kWriteWatch);
    EXPECT_EQ(event.at, Gva{kData});
    ASSERT_EQ(offset(event), 3u);
    ASSERT_EQ(machine_->qword(kData), round);
  }
}

TEST_F(HubOnKvm, OnlyTheOwnerOfABreakpointIsStoppedByIt) {
  boot(kCountingLoop);
  auto owner = attach();
  auto other = attach();
  stop_all(*owner);
  ASSERT_TRUE(insert(*owner, software(3)));
  resume(*owner);
  EXPECT_EQ(wait_stop(*owner).reason, StopReason::kSoftwareBreak);
  pump_for(10ms);
  EXPECT_TRUE(other->stops.empty());
  owner->port.reset();  // detached: the guest runs on, without the breakpoint
  const std::uint64_t before = machine_->qword(kData);
  EXPECT_TRUE(pump([&] { return machine_->qword(kData) > before + 1000; }));
}

TEST_F(HubOnKvm, TwoTracersAtTheSameBreakpointBothStopAndBothMustGoOn) {
  boot(kCountingLoop);
  auto first = attach();
  auto second = attach();
  stop_all(*first);
  stop_all(*second);
  ASSERT_TRUE(insert(*first, software(3)));
  ASSERT_TRUE(insert(*second, software(3)));
  for (std::uint64_t round = 1; round <= 10; ++round) {
    resume(*first);
    resume(*second);
    ASSERT_EQ(wait_stop(*first).reason, StopReason::kSoftwareBreak);
    ASSERT_EQ(wait_stop(*second).reason, StopReason::kSoftwareBreak);
    ASSERT_EQ(machine_->qword(kData), round);
  }
}

TEST_F(HubOnKvm, TheGuestsOwnInt3GoesToTheGuestWhileOursAreThere) {
  boot({0x48, 0xff, 0x03, kInt3, kNop, kNop, kNop, kNop, kNop, kNop, kNop, 0xeb,
        0xf3});                                                           // a nop first: Bochs, RF
  machine_->guest().handle(3, Code{0x48, 0xff, 0x43, 0x08, 0x48, 0xcf});  // inc qword [rbx+8]; iretq
  auto tracer = attach();
  stop_all(*tracer);
  for (std::uint64_t i = 5; i < 11; ++i) ASSERT_TRUE(insert(*tracer, software(i)));
  for (std::uint64_t hit = 0; hit < 60; ++hit) {
    resume(*tracer);
    const StopEvent event = wait_stop(*tracer);
    ASSERT_EQ(event.reason, StopReason::kSoftwareBreak);
    ASSERT_EQ(offset(event), 5 + hit % 6);
    ASSERT_EQ(machine_->qword(kData + 8), hit / 6 + 1);
  }
}

TEST_F(HubOnKvm, TwoVcpusRunThroughOneInt3ThatNobodyWantsAnyMore) {
  // The int3 comes and goes while both run; each must count on and neither may die of a stale byte.
  boot({0x48, 0xff, 0x03, kNop, kNop, kNop, kNop, kNop, kNop, 0xeb, 0xf5}, 2);
  auto tracer = attach();
  stop_all(*tracer);
  for (int round = 0; round < 10; ++round) {
    for (std::uint64_t i = 3; i < 9; ++i) ASSERT_TRUE(insert(*tracer, software(i)));
    resume(*tracer);
    ASSERT_EQ(wait_stop(*tracer).reason, StopReason::kSoftwareBreak);
    for (std::uint64_t i = 3; i < 9; ++i) {
      bool gone = false;
      tracer->port->remove_point(software(i), [&](Result<void> done) { gone = done.has_value(); });
      ASSERT_TRUE(pump([&] { return gone; }));
    }
    resume(*tracer);
    const std::uint64_t before = machine_->qword(kData);
    EXPECT_TRUE(pump([&] { return machine_->qword(kData) > before + 100; }));
    EXPECT_TRUE(tracer->stops.empty());
    stop_all(*tracer);
  }
}

TEST_F(HubOnKvm, ATripleFaultIsToldToEveryTracerWithTheGuestStillThere) {
  boot({kNop, 0x0f, 0x01, 0x1b, 0x0f, 0x0b});  // nop; lidt [rbx]; ud2
  auto first = attach();
  auto second = attach();
  stop_all(*first);
  resume(*first);
  EXPECT_EQ(wait_stop(*first).reason, StopReason::kTripleFault);
  EXPECT_EQ(wait_stop(*second).reason, StopReason::kTripleFault);
  EXPECT_FALSE(first->ended);
}

TEST_F(HubOnKvm, RegistersWrittenAtAStopAreTheGuestsAtTheNextRun) {
  boot({0x48, 0x89, 0x03, kNop, 0xeb, 0xfa});  // l: mov [rbx],rax; nop; jmp l
  auto tracer = attach();
  stop_all(*tracer);
  ASSERT_TRUE(insert(*tracer, software(3)));
  for (std::uint64_t value = 1; value <= 10; ++value) {
    bool written = false;
    const ByteView bytes = bytes_of(value);
    tracer->port->write_registers(VcpuId{0}, {{x86::Reg::kRax, Bytes(bytes.begin(), bytes.end())}},
                                  [&](Result<void> done) { written = done.has_value(); });
    ASSERT_TRUE(pump([&] { return written; }));
    resume(*tracer);
    ASSERT_EQ(wait_stop(*tracer).context.core.gpr[x86::kRax], value);
    ASSERT_EQ(machine_->qword(kData), value);
  }
}

}  // namespace
}  // namespace ringside::test
