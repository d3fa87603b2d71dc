// System calls: the strace of a client, and gdb's `catch syscall`.
#include <fmt/format.h>
#include <fmt/ranges.h>

#include "stub/session/client.hpp"
#include "stub/session/strace_service.hpp"
#include "stub/strace/syscall_catch.hpp"

namespace ringside::session {

using strace::SyscallCatch;

void Client::handle(const rsp::StartStrace& request) {
  if (strace_ != nullptr || catch_ != nullptr) {
    reply_error({Errc::kBusy, "system calls are traced on this connection already: take another one"});
    return;
  }
  Result<strace::Options> options = strace::parse_options(request.options);
  if (!options) {
    reply_error(options.error());
    return;
  }
  const std::string unknown = fmt::format("{}", fmt::join(options->unknown, ","));
  auto answer = [weak = weak_from_this()](ByteView records, bool more) {
    const auto self = weak.lock();
    if (self && self->wire_ != nullptr)
      self->reply(rsp::records_reply(records, more ? rsp::More::kMayCome : rsp::More::kNever));
  };
  auto later = [weak = weak_from_this()](std::chrono::milliseconds delay, std::function<void()> what) {
    const auto self = weak.lock();
    if (self && self->wire_ != nullptr) self->wire_->later(delay, std::move(what));
  };
  StraceService::Client client{.port = *port_, .answer = std::move(answer), .later = std::move(later)};
  strace_ = std::make_shared<StraceService>(std::move(client), std::move(*options));
  const auto strace = strace_;  // what is done now may make the client leave
  reply(fmt::format("ringside.strace={};unknown={}", strace::kProtocolVersion, unknown));
  if (strace_ != nullptr) strace->start();
}

void Client::handle(const rsp::HaltStrace&) {
  if (const auto strace = strace_) strace->halt();
  reply("OK");
}

void Client::handle(const rsp::ReadRecords& request) {
  const auto strace = strace_;
  if (strace == nullptr) {
    reply_error({Errc::kNotFound, "there is no strace on this connection"});
    return;
  }
  strace->read(static_cast<std::size_t>(std::min<std::uint64_t>(request.most, rsp::kPacketSize)));
}

// The probes stay as long as calls are caught, though gdb takes the catchpoints away at each stop: the guest
// does not run meanwhile.
void Client::handle(const rsp::CatchSyscalls& request) {
  if (strace_ != nullptr && request.on) {
    reply_error({Errc::kBusy, "this connection has a strace: catch system calls on another one"});
    return;
  }
  SyscallCatch::Numbers wanted;
  if (request.on && request.numbers.empty()) wanted.set();
  for (const std::uint32_t number : request.numbers) {
    if (number < SyscallCatch::kNumbers) wanted.set(number);
  }
  caught_any_ = wanted.any();
  if (catch_ != nullptr) {
    catch_->set(wanted);
    reply("OK");
    return;
  }
  if (!caught_any_) {
    reply("OK");
    return;
  }
  using Found = std::shared_ptr<const guestos::Kernel>;
  port_->guest_kernel(then<Found>([wanted](Client& self, Result<Found> kernel) {
    if (!kernel) {
      self.reply_error({kernel.error().code, "system calls cannot be caught: " + kernel.error().text});
      return;
    }
    self.catch_ = std::make_shared<SyscallCatch>(std::move(*kernel));
    self.catch_->set(wanted);
    auto actions = std::make_shared<tracer::PointActions>();
    actions->watcher = self.catch_;
    self.set_catch_probes(self.catch_->places(), std::move(actions));
  }));
}

void Client::set_catch_probes(std::vector<Gva> places, std::shared_ptr<const tracer::PointActions> actions) {
  if (places.empty()) {
    reply("OK");
    return;
  }
  const tracer::PointSpec spec{.kind = tracer::PointKind::kProbe, .at = places.back(), .length = 1};
  places.pop_back();
  port_->insert_point(
      access_, spec, actions,
      then<void>([places = std::move(places), actions](Client& self, Result<void> done) mutable {
        if (done) {
          self.set_catch_probes(std::move(places), std::move(actions));
          return;
        }
        self.drop_catch_probes();
        self.reply_error(done.error());
      }));
}

void Client::drop_catch_probes() {
  if (catch_ == nullptr) return;
  for (const Gva at : catch_->places()) {
    port_->remove_point({.kind = tracer::PointKind::kProbe, .at = at, .length = 1}, [](Result<void>) {});
  }
  catch_.reset();
}

// At a stop of `catch syscall` the register has the call's number, as for any traced process.
const x86::RegisterFile& Client::with_call_number(const x86::RegisterFile& registers) {
  if (!stopped_ || stopped_->reason != tracer::StopReason::kProbe || stopped_->vcpu != access_)
    return registers;
  at_call_ = registers;
  const std::uint64_t number = SyscallCatch::from_mark(stopped_->mark).number;
  store(at_call_.raw(x86::Reg::kOrigRax).data(), number);
  return at_call_;
}

rsp::StopCause Client::syscall_cause(std::uint64_t mark) {
  using Side = rsp::StoppedBySyscall::Side;
  const SyscallCatch::Caught caught = SyscallCatch::from_mark(mark);
  return rsp::StoppedBySyscall{caught.returns ? Side::kReturn : Side::kEntry, caught.number};
}

}  // namespace ringside::session
