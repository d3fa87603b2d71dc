// Non-stop: resumes are answered at once, and stops are told by notifications.  Source: RSP "Remote
// Non-Stop".
#include <spdlog/spdlog.h>

#include "stub/session/client.hpp"

namespace ringside::session {

using tracer::StopEvent;
using tracer::StopReason;

namespace {

// gdb 13 and 17 abort when the answer to their first `?` leads to two stopped threads or more; half a second
// later, when they have asked for the symbols, they take any number.
constexpr std::chrono::milliseconds kFirstStopAlone{500};

}  // namespace

void Client::handle(const rsp::SetNonStop& request) {
  non_stop_ = request.on;
  port_->set_non_stop(request.on);
  reply("OK");
}

void Client::announce() {
  if (wire_ == nullptr) return;
  if (const auto body = notices_.announce()) wire_->send_notification("Stop:" + *body);
}

void Client::notice(const StopEvent& event) {
  if (!event.detail.empty())
    spdlog::info("tracer {}: CPU {}: {}", port_->id().number, event.vcpu.number, event.detail);
  notices_.push({event.vcpu, stop_text(event)});
  interrupted_cpus_.erase(event.vcpu);
  announce();
}

// The rest of what stands still follows by on_stop(), and is told after a while.
void Client::query_each_stop() {
  notices_.hold(true);
  port_->stop_all(then<StopEvent>([](Client& self, Result<StopEvent> stopped) {
    if (!stopped) {
      self.reply(rsp::exited_reply(0, self.agreed_));
      return;
    }
    self.access_ = stopped->vcpu;
    const std::string body = self.stop_text(*stopped);
    self.notices_.restart({stopped->vcpu, body});
    self.reply(body);
    if (self.wire_ == nullptr) return;
    self.wire_->later(kFirstStopAlone, [weak = self.weak_from_this()] {
      const auto client = weak.lock();
      if (client == nullptr) return;
      client->notices_.hold(false);
      client->announce();
    });
  }));
}

void Client::handle(const rsp::NextStop&) { reply(notices_.next().value_or("OK")); }

// Resumes what the client knows to stand still, and stops what it wants to.
void Client::resume_each(std::vector<tracer::ResumeAction> actions, const std::vector<VcpuId>& stops) {
  std::erase_if(actions, [this](const auto& action) { return !notices_.told(action.vcpu); });
  for (const tracer::ResumeAction& action : actions) {
    notices_.resumed(action.vcpu);
    last_resumed_ = action.vcpu;
  }
  if (!caught_any_) drop_catch_probes();
  const Result<void> done = port_->resume(std::move(actions));
  if (done) port_->stop(stops);
  reply_result(done);
}

// vCtrlC: the CPU that the user waits for, which is the one resumed last.
void Client::interrupt_each() {
  interrupted_cpus_.insert(last_resumed_);
  port_->stop({last_resumed_});
  reply("OK");
}

}  // namespace ringside::session
