// Stops that the monitor finds itself, and breakpoints that move with the kernel.
//
// The fake's memory at kKernel is the running kernel; its vmlinux is linked kSlide lower, where nothing is mapped.
#include "tests/unit/hub/hub_testing.hpp"

namespace ringside::hub {
namespace {

using fakes::kKernel;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;
using EventKind = api::GuestEvent::Kind;

constexpr std::uint64_t kSlide = 0x10000000;
constexpr Gva kLink{kKernel - kSlide};
constexpr std::uint64_t kBanner = 0xb000;

class HubEvents : public HubTest {
 protected:
  explicit HubEvents(bool held = true) : HubTest(2, held) {
    const std::string words = "Linux version 9.9 (fake)";
    machine_.put(kBanner, Bytes(words.begin(), words.end()));
    api::KernelImage image;
    image.link_text = kLink;
    image.link_banner = kLink + kBanner;
    image.banner = words;
    machine_.info_.kernel = image;
    machine_.info_.tells_of_efer = true;
  }
  // vCPU 0 reads EFER in the kernel's half, as its startup code does.
  void come_to_place() {
    vcpu(0).set_rip(kKernel + kCode);
    vcpu(0).event({.kind = EventKind::kReadEfer, .value = 0xd01, .before = 0});
    poll();
  }
  std::optional<tracer::KernelSlide> slide(RecordingTracer& tracer) {
    std::optional<tracer::KernelSlide> answer;
    tracer.port->kernel_slide(VcpuId{0}, [&](auto found) { answer = found.value(); });
    poll();
    return answer;
  }
  static Gva linked(std::uint64_t offset) { return kLink + offset; }
};
class HubEventsUntraced : public HubEvents {
 protected:
  HubEventsUntraced() : HubEvents(false) {}
};

TEST_F(HubEvents, TheSlideIsKnownFromTheFirstLookAtEferOnAndTheGuestRunsOn) {
  auto tracer = attach_stopped();
  resume_all(*tracer);
  come_to_place();
  EXPECT_TRUE(all_running());
  EXPECT_THAT(tracer->stops, IsEmpty());
  const auto known = slide(*tracer);
  ASSERT_TRUE(known.has_value());
  EXPECT_EQ(known->slide, kSlide);
  EXPECT_EQ(known->link_text, kLink);
  EXPECT_EQ(known->at, Gpa{0});
}

TEST_F(HubEvents, EferInLowMemoryIsTheDecompressorsAndSaysNothing) {
  auto tracer = attach_stopped();
  ASSERT_TRUE(tracer->port->stop_at("relocated", false));
  resume_all(*tracer);
  vcpu(0).event({.kind = EventKind::kWroteEfer, .value = 0xd01, .before = 0x500});
  poll();
  EXPECT_TRUE(all_running());
  EXPECT_THAT(tracer->stops, IsEmpty());
}

TEST_F(HubEvents, ABreakpointByItsLinkAddressMovesAlongAndIsMet) {
  auto tracer = attach_stopped();
  ASSERT_TRUE(insert(*tracer, software(linked(kCode + 2).value)));
  resume_all(*tracer);
  come_to_place();
  execute(4);
  const auto stop = take_stop(*tracer);
  ASSERT_EQ(reason(stop), StopReason::kEvent);
  EXPECT_EQ(stop->context.core.rip, kKernel + kCode + 2);
  EXPECT_THAT(stop->detail, HasSubstr("symbol-file -o 0x10000000"));
  EXPECT_THAT(tracer->messages, ElementsAre(HasSubstr("has moved with the kernel")));
}

TEST_F(HubEvents, ItIsRemovedByItsLinkAddressAndSetAgainByThat) {
  auto tracer = attach_stopped();
  const PointSpec spec = software(linked(kCode + 2).value);
  ASSERT_TRUE(insert(*tracer, spec));
  resume_all(*tracer);
  come_to_place();
  execute(4);
  ASSERT_EQ(reason(take_stop(*tracer)), StopReason::kEvent);
  ASSERT_TRUE(remove(*tracer, spec));
  EXPECT_EQ(tracer->port->describe_points(), "no points are set\n");
  ASSERT_TRUE(insert(*tracer, spec));
  EXPECT_THAT(tracer->port->describe_points(),
              HasSubstr("set at 0xffffffff70008002 before the kernel moved"));
}

TEST_F(HubEvents, AfterAResetItWaitsAtItsLinkAddressAgain) {
  auto tracer = attach_stopped();
  const PointSpec spec = software(linked(kCode + 2).value);
  ASSERT_TRUE(insert(*tracer, spec));
  resume_all(*tracer);
  come_to_place();
  tracer->port->interrupt();
  poll();
  tracer->port->reset_machine([](Result<void> done) { EXPECT_TRUE(done); });
  poll();
  EXPECT_THAT(tracer->port->describe_points(), HasSubstr("break 0xffffffff70008002"));
  EXPECT_FALSE(slide(*tracer).has_value() && slide(*tracer)->slide == 0);
}

TEST_F(HubEvents, AnotherTracersBreakpointInTheRunningImageStaysWhereItIs) {
  auto early = attach_stopped("early");
  ASSERT_TRUE(insert(*early, software(linked(kCode + 2).value)));
  resume_all(*early);
  come_to_place();
  auto late = attach_stopped("late");
  ASSERT_TRUE(insert(*late, software(kKernel + kCode + 2)));
  early->port->interrupt();
  resume_all(*late);
  poll();
  take_stop(*early);
  resume_all(*early);
  execute(4);
  EXPECT_EQ(reason(take_stop(*early)), StopReason::kEvent);
  EXPECT_EQ(reason(take_stop(*late)), StopReason::kSoftwareBreak);
}

TEST_F(HubEvents, AtRelocatedEverybodyStopsAndIsToldWhere) {
  auto first = attach_stopped();
  auto second = attach();
  ASSERT_TRUE(first->port->stop_at("relocated", false));
  resume_all(*first);
  come_to_place();
  EXPECT_TRUE(none_running());
  for (RecordingTracer* tracer : {first.get(), second.get()}) {
    const auto stop = take_stop(*tracer);
    ASSERT_EQ(reason(stop), StopReason::kEvent);
    EXPECT_THAT(stop->detail, HasSubstr("_text 0xffffffff80000000 offset 0x10000000 physical 0x0"));
  }
  EXPECT_THAT(first->port->vcpu_note(VcpuId{0}), HasSubstr("stopped: the kernel runs at its final address"));
}

TEST_F(HubEvents, TheSameKernelComesToItsPlaceOnce) {
  auto tracer = attach_stopped();
  ASSERT_TRUE(tracer->port->stop_at("relocated", false));
  resume_all(*tracer);
  come_to_place();
  ASSERT_EQ(reason(take_stop(*tracer)), StopReason::kEvent);
  resume_all(*tracer);
  vcpu(0).event({.kind = EventKind::kWroteEfer, .value = 0xd01, .before = 0x500});
  vcpu(1).set_rip(kKernel + kCode);
  vcpu(1).event({.kind = EventKind::kReadEfer, .value = 0xd01, .before = 0});
  poll();
  EXPECT_TRUE(all_running());
}

TEST_F(HubEvents, AnotherKernelInTheSamePlaceIsSeenByItsStartupCode) {
  auto tracer = attach_stopped();
  ASSERT_TRUE(tracer->port->stop_at("relocated", false));
  resume_all(*tracer);
  come_to_place();
  ASSERT_EQ(reason(take_stop(*tracer)), StopReason::kEvent);
  resume_all(*tracer);
  machine_.put(kBanner, {'X'});
  come_to_place();
  const auto stop = take_stop(*tracer);
  ASSERT_EQ(reason(stop), StopReason::kEvent);
  EXPECT_THAT(stop->detail, HasSubstr("another kernel than the one loaded"));
}

TEST_F(HubEventsUntraced, AStopThatNobodySeesWaitsForTheFirstTracer) {
  ASSERT_TRUE(hub_.stop_at("mark", false));
  vcpu(1).event({.kind = EventKind::kMark, .value = 0x42, .before = 0});
  poll();
  EXPECT_TRUE(none_running());
  auto tracer = attach();
  const auto stop = stop_all(*tracer);
  ASSERT_EQ(reason(stop), StopReason::kEvent);
  EXPECT_EQ(stop->vcpu, VcpuId{1});
  EXPECT_THAT(stop->detail, HasSubstr("mark 0x42"));
  resume_all(*tracer);
  EXPECT_TRUE(all_running());
}

TEST_F(HubEventsUntraced, MarksThatNobodyAskedForDoNotStopTheGuest) {
  vcpu(0).event({.kind = EventKind::kMark, .value = 1, .before = 0});
  ASSERT_TRUE(hub_.stop_at("mark:2", false));
  vcpu(0).event({.kind = EventKind::kMark, .value = 1, .before = 0});
  poll();
  EXPECT_TRUE(all_running());
}

TEST_F(HubEvents, AWriteOfEferIsAChangeOfMode) {
  auto tracer = attach_stopped();
  ASSERT_TRUE(tracer->port->stop_at("mode", false));
  resume_all(*tracer);
  vcpu(0).event({.kind = EventKind::kWroteEfer, .value = 0xd01, .before = 0x500});
  poll();
  const auto stop = take_stop(*tracer);
  ASSERT_EQ(reason(stop), StopReason::kEvent);
  EXPECT_THAT(stop->detail, HasSubstr("EFER from 0x500 to 0xd01"));
}

TEST_F(HubEvents, AnObserverIsPassedByAndTheGuestWaits) {
  auto tracer = std::make_unique<RecordingTracer>();
  tracer->port = *hub_.attach("looks", *tracer, {.read_only = true});
  auto other = attach_stopped();
  ASSERT_TRUE(other->port->stop_at("mark", false));
  resume_all(*other);
  detach(other);
  vcpu(0).event({.kind = EventKind::kMark, .value = 1, .before = 0});
  poll();
  EXPECT_THAT(tracer->stops, IsEmpty());
  EXPECT_TRUE(none_running());
}

TEST_F(HubEventsUntraced, ATripleFaultIsKeptForTheFirstTracerWhenAskedFor) {
  ASSERT_TRUE(hub_.stop_at("triple-fault", true));
  vcpu(0).stop(api::StopCause::kTripleFault, "triple fault");
  poll();
  EXPECT_THAT(ends_, IsEmpty());
  auto tracer = attach();
  const auto stop = stop_all(*tracer);
  EXPECT_EQ(reason(stop), StopReason::kTripleFault);
  detach(tracer);
  EXPECT_EQ(ends_.size(), 1u);
}

class HubTrouble : public HubEventsUntraced {
 protected:
  // One that stops the guest when it is told of trouble, as `--dump-on` does.
  HubTrouble() {
    dumper_ = attach("dumper");
    dumper_->wants = false;
    on_trouble_ = [this](const std::string& text) {
      EXPECT_TRUE(none_running());
      troubles_.push_back(text);
      dumper_->port->stop_all([this](Result<StopEvent> stopped) { has_stopped_ = stopped.has_value(); });
    };
  }
  std::unique_ptr<RecordingTracer> dumper_;
  std::vector<std::string> troubles_;
  bool has_stopped_ = false;
};

TEST_F(HubTrouble, IsNoticedBeforeTheGuestIsOver) {
  ASSERT_TRUE(hub_.notice("panic,triple-fault"));
  vcpu(0).stop(api::StopCause::kTripleFault, "triple fault");
  poll();
  EXPECT_THAT(troubles_, ElementsAre("triple fault"));
  EXPECT_TRUE(has_stopped_);
  EXPECT_THAT(dumper_->stops, IsEmpty());
  EXPECT_THAT(ends_, IsEmpty());
  detach(dumper_);
  EXPECT_EQ(ends_.size(), 1u);
}

TEST_F(HubTrouble, OfAnotherKindIsToldAsToAnyTracer) {
  ASSERT_TRUE(hub_.notice("panic,triple-fault"));
  vcpu(0).stop(api::StopCause::kFailure, "no way");
  poll();
  EXPECT_THAT(troubles_, IsEmpty());
  EXPECT_EQ(reason(take_stop(*dumper_)), StopReason::kFailure);
}

TEST_F(HubTrouble, ThatIsAStopTooStillWaitsForAPerson) {
  ASSERT_TRUE(hub_.notice("failure"));
  ASSERT_TRUE(hub_.stop_at("failure", true));
  vcpu(1).stop(api::StopCause::kFailure, "no way");
  poll();
  ASSERT_TRUE(has_stopped_);
  detach(dumper_);
  EXPECT_THAT(ends_, IsEmpty());
  auto tracer = attach();
  const auto stop = stop_all(*tracer);
  EXPECT_EQ(reason(stop), StopReason::kFailure);
  EXPECT_EQ(stop->detail, "no way");
}

TEST_F(HubEvents, AGuestThatWaitsForItsFirstTracerIsLetGoByOneWhoOnlyRecords) {
  auto recorder = attach();
  recorder->wants = false;
  stop_all(*recorder);
  resume_all(*recorder);
  EXPECT_TRUE(all_running());
}

TEST_F(HubTrouble, HasNames) {
  EXPECT_THAT(hub_.notice("tea").error().text, HasSubstr("use triple-fault, failure, panic"));
  EXPECT_FALSE(hub_.notice("start_kernel"));
}

TEST_F(HubEvents, TheEntriesOfADecompressorAreHiddenBreakpoints) {
  machine_.info_.kernel->unpacker = Gpa{kCode + 4};
  auto tracer = attach_stopped();
  ASSERT_TRUE(tracer->port->stop_at("entry32", false));
  poll();
  EXPECT_THAT(tracer->port->describe_points(), HasSubstr("hbreak 0x8004, monitor: stop at entry32"));
  resume_all(*tracer);
  execute(6);
  const auto stop = take_stop(*tracer);
  ASSERT_EQ(reason(stop), StopReason::kEvent);
  EXPECT_EQ(stop->context.core.rip, kCode + 4);
  EXPECT_EQ(tracer->port->describe_points(), "no points are set\n");
  EXPECT_EQ(tracer->port->describe_tracers(), "1 test points 0 holds CPU 0,1\n");
}

TEST_F(HubEvents, ResetIsAStopToo) {
  auto tracer = attach_stopped();
  ASSERT_TRUE(tracer->port->stop_at("reset", false));
  tracer->port->reset_machine([](Result<void> done) { EXPECT_TRUE(done); });
  poll();
  resume_all(*tracer);
  const auto stop = take_stop(*tracer);
  ASSERT_EQ(reason(stop), StopReason::kEvent);
  EXPECT_EQ(stop->context.core.rip, kCode);
}

TEST_F(HubEvents, WhatCannotBeSeenIsRefusedWithTheReason) {
  auto tracer = attach_stopped();
  const auto entry = tracer->port->stop_at("entry32", false);
  ASSERT_FALSE(entry);
  EXPECT_THAT(entry.error().text, HasSubstr("the monitor unpacks the kernel"));
  machine_.info_.tells_of_efer = false;
  const auto relocated = tracer->port->stop_at("relocated", false);
  ASSERT_FALSE(relocated);
  EXPECT_THAT(relocated.error().text, HasSubstr("does not tell of writes to EFER"));
  EXPECT_THAT(tracer->port->describe_stops(), Not(HasSubstr("*")));
}

}  // namespace
}  // namespace ringside::hub
