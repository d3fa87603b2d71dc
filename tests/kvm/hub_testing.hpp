// A hub on real vCPUs, its tracers, and the loop that drives it.
#pragma once

#include <chrono>
#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>

#include "stub/hub/hub.hpp"
#include "tests/kvm/tiny_machine.hpp"

namespace ringside::test {

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
  void boot(const Code& code, unsigned vcpus = 1, TinyGuest::Chips chips = TinyGuest::Chips::kNone) {
    machine_.emplace(system_, code,
                     TinyGuest::Shape{.mode = TinyGuest::Mode::kLong, .chips = chips, .vcpus = vcpus});
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
    const auto deadline = std::chrono::steady_clock::now() + kPatience;
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

inline PointSpec software(std::uint64_t offset) { return {PointKind::kSoftware, Gva{kCode + offset}, 1}; }
inline PointSpec hardware(std::uint64_t offset) { return {PointKind::kHardware, Gva{kCode + offset}, 1}; }

}  // namespace ringside::test
