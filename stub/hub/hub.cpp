#include "stub/hub/hub.hpp"

#include <algorithm>

#include <boost/asio/post.hpp>
#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "stub/hub/observer_port.hpp"
#include "stub/hub/tracer_port.hpp"

namespace ringside::hub {

Hub::Hub(boost::asio::any_io_executor executor, api::Machine& machine, Callbacks callbacks)
    : executor_(std::move(executor)),
      machine_(machine),
      callbacks_(std::move(callbacks)),
      memory_(machine.memory()),
      scratch_(machine.memory(), machine.info().scratch),
      planner_(disasm::StepPlanner::create().value()),
      policy_(
          machine.vcpu_count(), machine.memory(),
          [this](TracerId who, std::string_view text) { printed(who, text); },
          {.busy = [this] { post([this] { replan_points(); }); }, .rewritten = [this] { text_rewritten(); }}),
      holds_(machine.vcpu_count()),
      snapshot_(std::make_shared<PointSnapshot>()),
      vcpus_(machine.vcpu_count()),
      text_timer_(executor_),
      pending_timer_(executor_),
      kernel_(executor_, machine),
      spotter_(machine.memory(), machine.info()),
      hang_timer_(executor_) {
  policy_.listen(
      [this](api::VcpuAccess& vcpu, const api::GuestEvent& event) { return happened(vcpu, event); });
}

Hub::~Hub() = default;

void Hub::post(Work work) { boost::asio::post(executor_, std::move(work)); }

// What a tracer's commands print goes to it and to the log.  Thread: a vCPU's; when the hub does not keep up,
// text is lost, and that is said.
void Hub::printed(TracerId who, std::string_view text) {
  constexpr std::uint32_t kMostUnderWay = 10'000;
  if (prints_under_way_.load(std::memory_order_relaxed) >= kMostUnderWay) {
    prints_lost_.fetch_add(1, std::memory_order_relaxed);
    return;
  }
  prints_under_way_.fetch_add(1, std::memory_order_relaxed);
  post([this, who, text = std::string(text)] {
    prints_under_way_.fetch_sub(1, std::memory_order_relaxed);
    const std::uint64_t lost = prints_lost_.exchange(0, std::memory_order_relaxed);
    const std::string whole = lost == 0 ? text : fmt::format("({} printed texts lost)\n{}", lost, text);
    const std::string_view line = std::string_view(whole).substr(0, whole.find_last_not_of('\n') + 1);
    spdlog::info("{}: {}", who == kMonitor ? "probe left behind" : fmt::format("tracer {}", who.number),
                 line);
    const auto found = tracers_.find(who);
    if (found != tracers_.end()) found->second.events->on_print(whole);
  });
}

Result<void> Hub::start(bool held) {
  if (held) {
    waiting_for_first_ = true;
    holds_.take_all(kMonitor);
  }
  RS_TRY(machine_.start(policy_, *this));
  started_ = true;
  fetch_contexts();
  begin_life();
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
  for (std::uint32_t i = 0; i < vcpus_.size(); ++i) tracer.resumed.insert(VcpuId{i});
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
  link_map_.forget(who);
}

void Hub::become_observer(TracerId who) {
  Tracer& tracer = tracers_.at(who);
  tracer.read_only = true;
  tracer.view = View::kRunning;
  tracer.non_stop = false;  // the observer's port sees to that
  tracer.pending.clear();
  tracer.resumed.clear();
  give_up_claims(who);
}

void Hub::give_up_claims(TracerId who) {
  for (Vcpu& vcpu : vcpus_) vcpu.steps.erase(who);
  if (points_.owned_by(who) > 0) {
    points_.leave(who, kMonitor);
    exclusively([this] {
      sites_.clear();
      static_cast<void>(apply(VcpuId{0}));
    });
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
  // What waits for a person is not let go by one who only records; --wait is.
  if (wants_stops(tracer) || !events_.untold) {
    // From now on this tracer's own holds do what --wait did.
    if (std::exchange(waiting_for_first_, false)) release_monitor();
    tell_untold(who);
  }
  tracer.view = View::kStopping;
  tracer.cpus.assign(vcpus_.size(), View::kStopping);
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

void Hub::stop(TracerId who, const std::vector<VcpuId>& vcpus) {
  Tracer& tracer = tracers_.at(who);
  if (ended_ || !tracer.non_stop) return;
  for (const VcpuId vcpu : vcpus) {
    if (tracer.cpus.at(vcpu.number) != View::kRunning) continue;
    holds_.take(vcpu, who);
    tracer.cpus[vcpu.number] = View::kStopping;
  }
  settle();
}

// What the tracer sees carries over; clients change the mode before they first ask for a stop.
void Hub::set_non_stop(TracerId who, bool on) {
  Tracer& tracer = tracers_.at(who);
  if (std::exchange(tracer.non_stop, on) == on) return;
  if (on) {
    tracer.cpus.assign(vcpus_.size(), tracer.view);
    return;
  }
  tracer.view = View::kRunning;
  if (holds_.holds_any(who)) interrupt(who);
}

Result<void> Hub::resume(TracerId who, std::vector<tracer::ResumeAction> actions) {
  Tracer& tracer = tracers_.at(who);
  if (ended_) return fail(Errc::kGone, "the guest has ended");
  looked_for_pending_ = {};  // it has been stopped: the guest may have mapped anything before
  if (tracer.non_stop) {
    resume_each(who, tracer, actions);
    return {};
  }
  if (tracer.view != View::kStopped) return fail(Errc::kBusy, "the guest is not stopped for you");
  drop_stale_events(who, tracer);
  for (const tracer::ResumeAction& action : actions) {
    tracer.resumed.insert(action.vcpu);
    if (at(action.vcpu).dead) report_death(action.vcpu, who);
  }
  const bool told_first = std::ranges::any_of(
      tracer.pending, [&](const auto& event) { return tracer.resumed.contains(event.vcpu); });
  if (told_first) {
    // Something else happened at the last stop and has not been told, or one of these is dead: nothing runs
    // before that is.
    tracer.view = View::kStopping;
    settle();
    return {};
  }
  tracer.view = View::kRunning;
  if (std::ranges::any_of(actions, [this](const auto& action) { return has_run_on(action); })) {
    interrupt(who);
    return {};
  }
  for (const tracer::ResumeAction& action : actions) release_for(who, action);
  settle();
  // What settle() told this tracer may have made it leave.
  if (tracers_.contains(who)) say_who_is_waited_for(who, actions);
  return {};
}

// This tracer's hold has been taken away (release_other), and the vCPU runs.  A step would not begin where
// the tracer has been shown it: it is shown where the vCPU is by now, instead.
bool Hub::has_run_on(const tracer::ResumeAction& action) const {
  return action.kind != tracer::ResumeAction::Kind::kContinue && !vcpus_.at(action.vcpu.number).parked;
}

void Hub::resume_each(TracerId who, Tracer& tracer, const std::vector<tracer::ResumeAction>& actions) {
  for (const tracer::ResumeAction& action : actions) {
    View& view = tracer.cpus.at(action.vcpu.number);
    if (view != View::kStopped) continue;
    // Something has happened since, when its hold had been taken away: that is told first.
    const bool told_first =
        std::ranges::find(tracer.pending, action.vcpu, &tracer::StopEvent::vcpu) != tracer.pending.end();
    const bool stops = told_first || has_run_on(action);
    view = stops ? View::kStopping : View::kRunning;
    if (stops) {
      holds_.take(action.vcpu, who);
    } else {
      release_for(who, action);
    }
  }
  settle();
  say_who_is_waited_for(who, actions);
}

Result<void> Hub::release_other(TracerId other, TracerId by) {
  const auto found = tracers_.find(other);
  if (found == tracers_.end())
    return fail(Errc::kNotFound, fmt::format("there is no tracer {}", other.number));
  Tracer& tracer = found->second;
  bool any = false;
  for (std::size_t i = 0; i < vcpus_.size(); ++i) {
    // A stop that is still on its way is not stuck: it will be told of, and can be taken away then.
    const View view = tracer.non_stop ? tracer.cpus[i] : tracer.view;
    const VcpuId id{static_cast<std::uint32_t>(i)};
    if (view == View::kStopping || !holds_.release(id, other)) continue;
    vcpus_[i].steps.erase(other);
    std::erase_if(tracer.pending, [id](const auto& event) { return event.vcpu == id; });
    tracer.resumed.insert(id);
    any = true;
  }
  if (!any) return fail(Errc::kNotFound, fmt::format("tracer {} holds nothing", other.number));
  tracer.events->on_message(fmt::format("tracer {} has taken your holds away: the guest runs", by.number));
  settle();
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
    watched_pages_.clear();
    watched_at_.clear();
    pending_since_.clear();
    scratch_.forget();
    kernel_.forget();
    kernel_missing_ = false;
    guard_.reset();
    guard_of_.reset();
    points_.remove_all(kGuard);
    sites_.clear();
    mechanisms_ = {};
    Result<void> reset = machine_.reset();
    if (reset) {
      for (Vcpu& vcpu : vcpus_) {
        auto fresh = Vcpu{};
        fresh.steps = std::move(vcpu.steps);
        vcpu = std::move(fresh);
      }
      for (auto& [who, tracer] : tracers_) tracer.pending.clear();  // they tell of a life that is over
      take_back();
      fetch_contexts();
      begin_life();
      exclusively([this] { static_cast<void>(apply(VcpuId{0})); });
      look_again_after_reset();
    }
    done(std::move(reset));
  });
  settle();
}

void Hub::quit_machine() { on_end(api::GuestEnd::kQuit, {}); }

}  // namespace ringside::hub
