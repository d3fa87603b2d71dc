// A hub on a fake machine, everything in one thread.
//
// Each vCPU n begins at kCode + n * 0x100 in a field of nops that ends in a jump back (0x40 bytes on).
#pragma once

#include <optional>

#include <boost/asio/io_context.hpp>
#include <gmock/gmock.h>

#include "stub/hub/hub.hpp"
#include "tests/fakes/fake_machine.hpp"
#include "tests/fakes/recording_tracer.hpp"

namespace ringside::hub {

using fakes::FakeVcpu;
using fakes::kCode;
using fakes::kData;
using fakes::RecordingTracer;
using tracer::ResumeAction;
using tracer::StopEvent;
using tracer::StopReason;
using Kind = ResumeAction::Kind;

inline PointSpec software(std::uint64_t at) { return {PointKind::kSoftware, Gva{at}, 1}; }
inline PointSpec hardware(std::uint64_t at) { return {PointKind::kHardware, Gva{at}, 1}; }
inline PointSpec watch(std::uint64_t at, std::uint64_t length = 1) {
  return {PointKind::kWrite, Gva{at}, length};
}

class HubTest : public testing::Test {
 protected:
  explicit HubTest(std::size_t vcpus = 2, bool held = true) : machine_(vcpus) {
    for (std::uint32_t i = 0; i < vcpus; ++i) {
      machine_.put(kCode + i * 0x100, Bytes(0x40, 0x90));
      machine_.put(kCode + i * 0x100 + 0x40, {0xeb, 0xbe});  // back to the first nop
    }
    EXPECT_TRUE(hub_.start(held));
    poll();
  }
  void poll() {
    io_.restart();
    io_.poll();
  }
  // Every vCPU that runs executes up to `count` instructions, in turn, with the hub at work in between.
  void execute(int count = 1) {
    for (int i = 0; i < count; ++i) {
      for (std::uint32_t n = 0; n < machine_.vcpu_count(); ++n) {
        vcpu(n).advance();
        poll();
      }
    }
  }
  FakeVcpu& vcpu(std::uint32_t number) { return machine_.vcpu(number); }
  bool running(std::uint32_t number) { return vcpu(number).running(); }
  bool all_running() { return running(0) && running(machine_.vcpu_count() > 1 ? 1 : 0); }
  bool none_running() { return !running(0) && !running(machine_.vcpu_count() > 1 ? 1 : 0); }

  // Attached and running; stopped() also waits for the stop.
  std::unique_ptr<RecordingTracer> attach(const char* label = "test") {
    auto tracer = std::make_unique<RecordingTracer>();
    auto port = hub_.attach(label, *tracer);
    EXPECT_TRUE(port);
    tracer->port = std::move(*port);
    return tracer;
  }
  std::unique_ptr<RecordingTracer> attach_stopped(const char* label = "test") {
    auto tracer = attach(label);
    EXPECT_TRUE(stop_all(*tracer).has_value());
    return tracer;
  }
  void detach(std::unique_ptr<RecordingTracer>& tracer) {
    tracer.reset();
    poll();
  }

  std::optional<StopEvent> stop_all(RecordingTracer& tracer) {
    std::optional<StopEvent> answer;
    tracer.port->stop_all([&](Result<StopEvent> event) {
      if (event) answer = *event;
    });
    poll();
    return answer;
  }
  Result<void> insert(RecordingTracer& tracer, const PointSpec& spec,
                      std::shared_ptr<const PointActions> actions = nullptr) {
    std::optional<Result<void>> answer;
    tracer.port->insert_point(VcpuId{0}, spec, std::move(actions),
                              [&](Result<void> done) { answer = std::move(done); });
    poll();
    EXPECT_TRUE(answer.has_value()) << "no answer to an insertion";
    return answer.value_or(Result<void>{});
  }
  Result<void> remove(RecordingTracer& tracer, const PointSpec& spec) {
    std::optional<Result<void>> answer;
    tracer.port->remove_point(spec, [&](Result<void> done) { answer = std::move(done); });
    poll();
    EXPECT_TRUE(answer.has_value()) << "no answer to a removal";
    return answer.value_or(Result<void>{});
  }
  Result<void> resume(RecordingTracer& tracer, std::vector<ResumeAction> actions) {
    Result<void> done = tracer.port->resume(std::move(actions));
    poll();
    return done;
  }
  void resume_all(RecordingTracer& tracer) {
    std::vector<ResumeAction> actions;
    for (std::uint32_t n = 0; n < machine_.vcpu_count(); ++n)
      actions.push_back({VcpuId{n}, Kind::kContinue, {}});
    EXPECT_TRUE(resume(tracer, std::move(actions)));
  }
  // Steps one vCPU and leaves the others to this tracer's hold.
  void step(RecordingTracer& tracer, std::uint32_t number) {
    EXPECT_TRUE(resume(tracer, {{VcpuId{number}, Kind::kStep, {}}}));
  }
  static std::optional<StopEvent> take_stop(RecordingTracer& tracer) {
    if (tracer.stops.empty()) return std::nullopt;
    StopEvent event = tracer.stops.front();
    tracer.stops.pop_front();
    return event;
  }
  static StopReason reason(const std::optional<StopEvent>& event) {
    return event ? event->reason : StopReason::kFailure;
  }
  Bytes read(RecordingTracer& tracer, std::uint64_t at, std::size_t size, std::uint32_t number = 0) {
    Bytes bytes;
    tracer.port->read_memory(VcpuId{number}, tracer::AddressSpace::kVirtual, Gva{at}, size,
                             [&](Result<Bytes> data) {
                               if (data) bytes = std::move(*data);
                             });
    poll();
    return bytes;
  }

  boost::asio::io_context io_{1};
  fakes::FakeMachine machine_;
  std::vector<std::pair<api::GuestEnd, std::string>> ends_;
  std::function<void(const std::string&)> on_trouble_;
  Hub hub_{io_.get_executor(),
           machine_,
           {.on_end = [this](api::GuestEnd end,
                             std::string detail) { ends_.emplace_back(end, std::move(detail)); },
            .on_trouble = [this](const std::string& text) { on_trouble_(text); }}};
};

}  // namespace ringside::hub
