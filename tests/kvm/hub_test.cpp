// The hub on real vCPUs: what its rules come to when guests really run.
#include "stub/hub/hub.hpp"

#include <chrono>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <gtest/gtest.h>

#include "tests/kvm/tiny_machine.hpp"

namespace ringside::test {
namespace {

using namespace std::chrono_literals;
using tracer::PointKind;
using tracer::PointSpec;
using tracer::ResumeAction;
using tracer::StopEvent;
using tracer::StopReason;

// One tracer: its port, and what it has been told.
class Tracer final : public tracer::Events {
 public:
  void on_stop(const StopEvent& event) override { stops.push_back(event); }
  void on_guest_end(std::string) override { ended = true; }
  void on_message(const std::string& text) override { messages.push_back(text); }
  void on_print(const std::string&) override {}

  std::deque<StopEvent> stops;
  std::vector<std::string> messages;
  bool ended = false;
  std::unique_ptr<tracer::Port> port;
};

class HubOnKvm : public testing::Test {
 protected:
  void boot(const Code& code, unsigned vcpus = 1) {
    machine_.emplace(
        system_, code,
        TinyGuest::Shape{.mode = TinyGuest::Mode::kLong, .chips = TinyGuest::Chips::kNone, .vcpus = vcpus});
    hub_.emplace(io_.get_executor(), *machine_, hub::Hub::Callbacks{[](auto, auto) {}});
    ASSERT_TRUE(hub_->start(true));
  }
  ~HubOnKvm() override {
    machine_.reset();  // ends the threads, which call the hub
    hub_.reset();
  }

  std::unique_ptr<Tracer> attach() {
    auto tracer = std::make_unique<Tracer>();
    tracer->port = must(hub_->attach("test", *tracer));
    return tracer;
  }
  // Runs the hub until `done` holds.
  template <typename F>
  ::testing::AssertionResult pump(F done) {
    const auto deadline = std::chrono::steady_clock::now() + 20s;
    while (!done()) {
      io_.restart();
      io_.run_for(5ms);
      if (std::chrono::steady_clock::now() > deadline) return ::testing::AssertionFailure() << "not in time";
    }
    return ::testing::AssertionSuccess();
  }
  void pump_for(std::chrono::milliseconds time) {
    io_.restart();
    io_.run_for(time);
  }

  void stop_all(Tracer& tracer) {
    bool stopped = false;
    tracer.port->stop_all([&](Result<StopEvent> event) { stopped = event.has_value(); });
    ASSERT_TRUE(pump([&] { return stopped; }));
  }
  Result<void> insert(Tracer& tracer, const PointSpec& spec) {
    std::optional<Result<void>> answer;
    tracer.port->insert_point(VcpuId{0}, spec, nullptr, [&](Result<void> done) { answer = std::move(done); });
    EXPECT_TRUE(pump([&] { return answer.has_value(); }));
    return *answer;
  }
  void resume(Tracer& tracer, ResumeAction::Kind kind = ResumeAction::Kind::kContinue) {
    std::vector<ResumeAction> actions;
    for (std::uint32_t i = 0; i < machine_->vcpu_count(); ++i) {
      actions.push_back({VcpuId{i}, i == 0 ? kind : ResumeAction::Kind::kContinue, {}});
    }
    ASSERT_TRUE(tracer.port->resume(std::move(actions)));
  }
  StopEvent wait_stop(Tracer& tracer) {
    EXPECT_TRUE(pump([&] { return !tracer.stops.empty(); }));
    if (tracer.stops.empty()) return {};
    StopEvent event = tracer.stops.front();
    tracer.stops.pop_front();
    return event;
  }
  static std::uint64_t offset(const StopEvent& event) { return event.context.core.rip - kCode; }

  kvm::System system_ = must(kvm::System::open());
  boost::asio::io_context io_;
  boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_{io_.get_executor()};
  std::optional<TinyMachine> machine_;
  std::optional<hub::Hub> hub_;
};

// Each vCPU counts in a place of its own: l: inc qword [rbx]; nop; jmp l
const Code kCountingLoop{0x48, 0xff, 0x03, kNop, 0xeb, 0xfa};

PointSpec software(std::uint64_t offset) { return {PointKind::kSoftware, Gva{kCode + offset}, 1}; }
PointSpec hardware(std::uint64_t offset) { return {PointKind::kHardware, Gva{kCode + offset}, 1}; }

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
