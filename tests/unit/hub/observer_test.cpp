// Tracers that only look on: what they see, what they may not, and that nobody notices them.
#include <gmock/gmock.h>

#include "tests/unit/hub/hub_testing.hpp"

namespace ringside::hub {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

class HubObserver : public HubTest {
 protected:
  HubObserver() : HubTest(2, false) {}

  std::unique_ptr<RecordingTracer> observe() {
    auto tracer = std::make_unique<RecordingTracer>();
    auto port = hub_.attach("observer", *tracer, {.read_only = true});
    EXPECT_TRUE(port);
    tracer->port = std::move(*port);
    return tracer;
  }
  void become_observer(RecordingTracer& tracer) {
    tracer.port = tracer.port->observer();
    poll();
  }
  // The code of the refusal; nothing when it was done or not answered.
  template <typename Ask>
  std::optional<Errc> refusal(Ask ask) {
    std::optional<Errc> code;
    ask([&](Result<void> done) {
      if (!done) code = done.error().code;
    });
    poll();
    return code;
  }
};

class HubObserverOfAHeldGuest : public HubTest {};

TEST_F(HubObserver, SeesTheMomentAndHoldsNothing) {
  auto observer = observe();
  execute(3);

  const auto first = stop_all(*observer);
  execute(2);
  const auto second = stop_all(*observer);

  ASSERT_TRUE(first && second);
  EXPECT_EQ(first->context.core.rip, kCode + 3);
  EXPECT_EQ(second->context.core.rip, kCode + 5);
  EXPECT_EQ(first->reason, StopReason::kNone);
  EXPECT_TRUE(all_running());
  EXPECT_EQ(vcpu(0).pauses, 0);
}

TEST_F(HubObserver, ContinueIsQuietUntilItAsksAgainAndOneAnswerIsAllThereIs) {
  auto observer = observe();
  stop_all(*observer);
  resume_all(*observer);
  execute(4);
  EXPECT_THAT(observer->stops, IsEmpty());

  observer->port->interrupt();
  observer->port->interrupt();
  poll();

  ASSERT_THAT(observer->stops, SizeIs(1));
  EXPECT_EQ(observer->stops[0].context.core.rip, kCode + 4);
  EXPECT_TRUE(all_running());
}

TEST_F(HubObserver, ReadsMemoryAndRegistersOfARunningGuest) {
  auto observer = observe();
  execute(3);

  std::optional<std::uint64_t> rip;
  observer->port->read_registers(VcpuId{0}, x86::RegGroup::kCore, [&](Result<const x86::RegisterFile*> file) {
    if (file) rip = (*file)->u64(x86::Reg::kRip);
  });
  poll();

  EXPECT_EQ(rip, kCode + 3);
  EXPECT_EQ(read(*observer, kCode, 2), (Bytes{0x90, 0x90}));
  EXPECT_TRUE(all_running());
}

TEST_F(HubObserver, WhateverWouldChangeAnythingIsRefused) {
  auto observer = observe();
  stop_all(*observer);
  tracer::Port& port = *observer->port;

  EXPECT_EQ(refusal([&](auto done) {
              port.write_memory(VcpuId{0}, tracer::AddressSpace::kPhysical, Gva{kCode}, {0xcc}, done);
            }),
            Errc::kRefused);
  EXPECT_EQ(refusal([&](auto done) {
              port.write_registers(VcpuId{0}, {{x86::Reg::kRax, Bytes(8)}}, done);
            }),
            Errc::kRefused);
  EXPECT_EQ(refusal([&](auto done) { port.insert_point(VcpuId{0}, software(kCode), nullptr, done); }),
            Errc::kRefused);
  EXPECT_EQ(refusal([&](auto done) { port.reset_machine(done); }), Errc::kRefused);
  EXPECT_EQ(port.quit_machine().error().code, Errc::kRefused);
  EXPECT_EQ(resume(*observer, {{VcpuId{0}, Kind::kStep, {}}}).error().code, Errc::kRefused);
  EXPECT_EQ(resume(*observer, {{VcpuId{0}, Kind::kStepRange, {Gva{0}, Gva{9}}}}).error().code,
            Errc::kRefused);
  EXPECT_EQ(refusal([&](auto done) { port.remove_point(software(kCode), done); }), std::nullopt);

  EXPECT_EQ(machine_.byte(kCode), 0x90);
  EXPECT_EQ(machine_.resets, 0);
  EXPECT_THAT(ends_, IsEmpty());
  EXPECT_TRUE(all_running());
}

TEST_F(HubObserver, DoesNotHinderOneWhoStops) {
  auto observer = observe();
  stop_all(*observer);
  auto tracer = attach_stopped();
  EXPECT_TRUE(none_running());

  resume_all(*tracer);

  EXPECT_TRUE(all_running());
  EXPECT_THAT(tracer->messages, IsEmpty()) << "there is nobody to wait for";
}

TEST_F(HubObserver, LookThatIsAnsweredAfterItsEndIsForNobody) {
  machine_.prompt = false;
  auto observer = observe();
  observer->port->interrupt();
  ASSERT_GT(vcpu(0).posted(), 0u);

  observer->port.reset();
  while (vcpu(0).answer_post()) poll();

  EXPECT_THAT(observer->stops, IsEmpty());
}

TEST_F(HubObserverOfAHeldGuest, DoesNotSetAGuestGoingThatWaitsForItsFirstTracer) {
  RecordingTracer observer;
  observer.port = std::move(*hub_.attach("observer", observer, {.read_only = true}));

  EXPECT_TRUE(stop_all(observer));
  resume_all(observer);
  EXPECT_TRUE(none_running());
  auto tracer = attach_stopped();
  resume_all(*tracer);

  EXPECT_TRUE(all_running());
}

TEST_F(HubObserver, AloneItDoesNotKeepADeadGuest) {
  auto observer = observe();
  vcpu(1).stop(api::StopCause::kTripleFault, "triple fault");
  poll();

  ASSERT_THAT(ends_, SizeIs(1));
  EXPECT_EQ(ends_[0].first, api::GuestEnd::kTripleFault);
  ASSERT_TRUE(observer->ended);
  EXPECT_THAT(*observer->ended, HasSubstr("triple fault"));
}

TEST_F(HubObserver, WithATracerThereADeadGuestStandsForThatTracerAlone) {
  auto observer = observe();
  auto tracer = attach_stopped();
  resume_all(*tracer);
  vcpu(1).stop(api::StopCause::kTripleFault, "triple fault");
  poll();

  EXPECT_EQ(reason(take_stop(*tracer)), StopReason::kTripleFault);
  EXPECT_THAT(observer->stops, IsEmpty());
  EXPECT_THAT(ends_, IsEmpty());
  EXPECT_THAT(hub_.attach("x", *observer).value()->describe_tracers(),
              HasSubstr("1 observer points 0 holds nothing"));
}

TEST_F(HubObserver, LookThatIsAnsweredAfterTheEndShowsNothing) {
  machine_.prompt = false;
  auto observer = observe();
  observer->port->interrupt();
  machine_.end(api::GuestEnd::kPowerOff);
  poll();
  vcpu(0).answer_post();
  poll();
  EXPECT_TRUE(observer->stops.empty());
}

TEST_F(HubObserver, AfterTheEndItIsTold) {
  auto observer = observe();
  stop_all(*observer);
  machine_.end(api::GuestEnd::kPowerOff, "off");
  poll();

  EXPECT_EQ(observer->ended, "off");
  EXPECT_EQ(resume(*observer, {}).error().code, Errc::kGone);
  EXPECT_FALSE(stop_all(*observer));
}

TEST_F(HubObserver, BecomingOneGivesUpPointsStepsAndHolds) {
  auto tracer = attach_stopped();
  auto other = attach_stopped();
  ASSERT_TRUE(insert(*tracer, software(kCode + 8)));
  ASSERT_TRUE(insert(*other, software(kCode + 0x10)));
  step(*tracer, 0);
  resume_all(*other);
  EXPECT_FALSE(running(1));
  const TracerId id = tracer->port->id();

  become_observer(*tracer);
  execute(0x11);

  EXPECT_EQ(tracer->port->id(), id);
  EXPECT_THAT(tracer->stops, IsEmpty()) << "neither its step nor its breakpoint is reported any more";
  EXPECT_EQ(take_stop(*other)->context.core.rip, kCode + 0x10);
  EXPECT_THAT(other->port->describe_points(), testing::Not(HasSubstr("tracer 1")));
  tracer.reset();
  poll();
  EXPECT_TRUE(none_running()) << "the other still holds the guest";
}

TEST_F(HubObserver, BecomingOneKeepsWhetherItLooksAtAStop) {
  auto stopped = attach_stopped();
  auto never_asked = attach();
  become_observer(*stopped);
  become_observer(*never_asked);
  become_observer(*stopped);

  EXPECT_TRUE(resume(*stopped, {{VcpuId{0}, Kind::kContinue, {}}}));
  EXPECT_EQ(resume(*never_asked, {{VcpuId{0}, Kind::kContinue, {}}}).error().code, Errc::kBusy);
}

TEST_F(HubObserver, LastTracerThatBecomesOneEndsADeadGuest) {
  auto tracer = attach_stopped();
  resume_all(*tracer);
  vcpu(1).stop(api::StopCause::kTripleFault, "triple fault");
  poll();
  ASSERT_THAT(ends_, IsEmpty());

  become_observer(*tracer);

  EXPECT_THAT(ends_, SizeIs(1));
  EXPECT_TRUE(tracer->ended);
}

}  // namespace
}  // namespace ringside::hub
