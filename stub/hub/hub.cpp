#include "stub/hub/hub.hpp"

#include <algorithm>

#include <boost/asio/post.hpp>
#include <fmt/format.h>

#include "stub/hub/observer_port.hpp"
#include "stub/hub/tracer_port.hpp"

namespace ringside::hub {

Hub::Hub(boost::asio::any_io_executor executor, api::Machine& machine, Callbacks callbacks)
    : executor_(std::move(executor)),
      machine_(machine),
      callbacks_(std::move(callbacks)),
      memory_(machine.memory()),
      policy_(machine.vcpu_count(), machine.memory()),
      holds_(machine.vcpu_count()),
      snapshot_(std::make_shared<PointSnapshot>()),
      vcpus_(machine.vcpu_count()) {}

Hub::~Hub() = default;

void Hub::post(Work work) { boost::asio::post(executor_, std::move(work)); }

Result<void> Hub::start(bool held) {
  if (held) {
    waiting_for_first_ = true;
    holds_.take_all(kMonitor);
  }
  RS_TRY(machine_.start(policy_, *this));
  fetch_contexts();
  return {};
}

Result<std::unique_ptr<tracer::Port>> Hub::attach(std::string label, tracer::Events& events,
                                                  tracer::AttachOptions options) {
  constexpr std::size_t kMostTracers = 64;
  if (tracers_.size() >= kMostTracers) {
    return fail(Errc::kExhausted,
                fmt::format("{} tracers are attached already, which is the limit", kMostTracers));
  }
  const TracerId id{++last_tracer_};
  Tracer& tracer = tracers_[id];
  tracer.label = std::move(label);
  tracer.events = &events;
  tracer.read_only = options.read_only;
  auto port = std::make_unique<TracerPort>(*this, id);
  tracer.port = port.get();
  if (options.read_only)
    return std::make_unique<ObserverPort>(std::move(port), events, ObserverPort::View::kRunning);
  return port;
}

// A tracer's end, whatever it was doing, releases exactly what is its own.
void Hub::detach(TracerId who) {
  tracers_.erase(who);
  give_up_claims(who);
}

void Hub::become_observer(TracerId who) {
  Tracer& tracer = tracers_.at(who);
  tracer.read_only = true;
  tracer.view = View::kRunning;
  tracer.pending.clear();
  tracer.resumed.clear();
  give_up_claims(who);
}

void Hub::give_up_claims(TracerId who) {
  for (Vcpu& vcpu : vcpus_) vcpu.steps.erase(who);
  if (points_.remove_all(who)) {
    exclusively([this] { static_cast<void>(apply(VcpuId{0})); });
  }
  holds_.release_all(who);
  settle();
}

// Whether anybody is there who could do something about a dead vCPU.
bool Hub::is_traced() const {
  return std::ranges::any_of(tracers_, [](const auto& one) { return !one.second.read_only; });
}

void Hub::stop_all(TracerId who, tracer::Done<tracer::StopEvent> done) {
  Tracer& tracer = tracers_.at(who);
  if (ended_) {
    done(fail(Errc::kGone, "the guest has ended"));
    return;
  }
  holds_.take_all(who);
  // From now on this tracer's own holds do what --wait did.
  if (std::exchange(waiting_for_first_, false)) release_monitor();
  tracer.view = View::kStopping;
  tracer.stop_done = std::move(done);
  settle();
}

void Hub::interrupt(TracerId who) {
  Tracer& tracer = tracers_.at(who);
  if (ended_ || tracer.view != View::kRunning) return;
  holds_.take_all(who);
  tracer.view = View::kStopping;
  settle();
}

Result<void> Hub::resume(TracerId who, std::vector<tracer::ResumeAction> actions) {
  Tracer& tracer = tracers_.at(who);
  if (ended_) return fail(Errc::kGone, "the guest has ended");
  if (tracer.view != View::kStopped) return fail(Errc::kBusy, "the guest is not stopped for you");
  drop_stale_events(who, tracer);
  for (const tracer::ResumeAction& action : actions) tracer.resumed.insert(action.vcpu);
  const bool told_first = std::ranges::any_of(
      tracer.pending, [&](const auto& event) { return tracer.resumed.contains(event.vcpu); });
  if (told_first) {
    // Something else happened at the last stop and has not been told: nothing runs before it is.
    tracer.view = View::kStopping;
    post([this] { settle(); });
    return {};
  }
  tracer.view = View::kRunning;
  for (const tracer::ResumeAction& action : actions) release_for(who, action);
  settle();
  // What settle() told this tracer may have made it leave.
  if (tracers_.contains(who)) say_who_is_waited_for(who);
  return {};
}

void Hub::release_for(TracerId who, const tracer::ResumeAction& action) {
  Vcpu& vcpu = at(action.vcpu);
  if (vcpu.dead) {
    report_death(action.vcpu, who);
    return;
  }
  if (action.kind == tracer::ResumeAction::Kind::kContinue) {
    vcpu.steps.erase(who);
  } else {
    const bool ranged = action.kind == tracer::ResumeAction::Kind::kStepRange;
    vcpu.steps[who] = ranged ? std::optional(action.range) : std::nullopt;
  }
  holds_.release(action.vcpu, who);
}

// Parked vCPUs that have not run yet have no stop report to take their state from.
void Hub::fetch_contexts() {
  for (std::size_t i = 0; i < vcpus_.size(); ++i) {
    const VcpuId id{static_cast<std::uint32_t>(i)};
    machine_.vcpu(id).post([this, id](api::VcpuAccess& access) {
      post([this, id, context = access.context()] {
        Vcpu& vcpu = at(id);
        if (!vcpu.parked) return;
        vcpu.context = context;
        vcpu.context_known = true;
        settle();
      });
    });
  }
}

void Hub::reset_machine(tracer::Done<void> done) {
  exclusively([this, done = std::move(done)]() mutable {
    memory_.forget_all();
    mechanisms_ = {};
    Result<void> reset = machine_.reset();
    if (reset) {
      for (Vcpu& vcpu : vcpus_) {
        auto fresh = Vcpu{};
        fresh.steps = std::move(vcpu.steps);
        vcpu = std::move(fresh);
      }
      for (auto& [who, tracer] : tracers_) tracer.pending.clear();  // they tell of a life that is over
      fetch_contexts();
      exclusively([this] { static_cast<void>(apply(VcpuId{0})); });
    }
    done(std::move(reset));
  });
  settle();
}

void Hub::quit_machine() { on_end(api::GuestEnd::kQuit, {}); }

}  // namespace ringside::hub
