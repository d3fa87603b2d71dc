#include "stub/hub/observer_port.hpp"

#include <algorithm>

namespace ringside::hub {

using tracer::StopEvent;

namespace {

constexpr VcpuId kShown{0};  // the vCPU that a view is of; the others are a `thread 2` away

}  // namespace

Unexpected<Error> ObserverPort::refused() {
  return fail(Errc::kRefused, "you only look on: a read-only tracer changes nothing");
}

void ObserverPort::stop_all(tracer::Done<StopEvent> done) {
  view_ = View::kStopped;
  inner_->look(kShown, std::move(done));
}

void ObserverPort::interrupt() {
  if (view_ == View::kStopped) return;
  view_ = View::kStopped;
  show(kShown);
}

void ObserverPort::stop(const std::vector<VcpuId>& vcpus) {
  for (const VcpuId vcpu : vcpus) show(vcpu);
}

void ObserverPort::show(VcpuId vcpu) {
  inner_->look(vcpu, [this, alive = std::weak_ptr(alive_)](Result<StopEvent> event) {
    if (event && !alive.expired()) events_.on_stop(*event);
  });
}

Result<void> ObserverPort::resume(std::vector<tracer::ResumeAction> actions) {
  if (view_ != View::kStopped && !non_stop_) return fail(Errc::kBusy, "you do not look at a stop");
  RS_TRY(inner_->still_there());
  const auto steps = [](const tracer::ResumeAction& action) {
    return action.kind != tracer::ResumeAction::Kind::kContinue;
  };
  if (std::ranges::any_of(actions, steps)) return refused();
  view_ = View::kRunning;
  return {};
}

std::unique_ptr<tracer::Port> ObserverPort::observer() {
  return std::make_unique<ObserverPort>(std::move(inner_), events_, view_);
}

std::unique_ptr<tracer::Port> TracerPort::observer() {
  const auto view = hub_.tracers_.at(id_).view == Hub::View::kStopped ? ObserverPort::View::kStopped
                                                                      : ObserverPort::View::kRunning;
  auto inner = std::make_unique<TracerPort>(hub_, id_);
  replaced_ = true;
  Hub::Tracer& tracer = hub_.tracers_.at(id_);
  tracer.port = inner.get();
  tracer::Events& events = *tracer.events;
  hub_.become_observer(id_);
  return std::make_unique<ObserverPort>(std::move(inner), events, view);
}

}  // namespace ringside::hub
