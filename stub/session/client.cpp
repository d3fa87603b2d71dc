#include "stub/session/client.hpp"

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "stub/rsp/parse.hpp"
#include "stub/rsp/target_xml.hpp"
#include "stub/session/monitor.hpp"
#include "stub/session/strace_service.hpp"
#include "stub/strace/syscall_catch.hpp"

namespace ringside::session {

using tracer::StopEvent;
using tracer::StopReason;

namespace {

// No client sends much ahead: gdb and LLDB wait for each answer.
constexpr std::size_t kMostWaiting = 1000;
constexpr std::size_t kMostWaitingBytes = 8u << 20;
constexpr std::size_t kMostText = 1u << 20;  // of one answer for a person

}  // namespace

void Client::disconnected() {
  wire_ = nullptr;
  strace_.reset();
  waiting_.clear();
  waiting_bytes_ = 0;
  port_.reset();
}

void Client::packet(std::string body) { arrived(std::move(body)); }

void Client::oversize() { arrived(std::nullopt); }

void Client::arrived(Arrived request) {
  const std::size_t bytes = request ? request->size() : 0;
  if (waiting_.size() >= kMostWaiting || waiting_bytes_ + bytes > kMostWaitingBytes) {
    wire_->drop("it sends request upon request without waiting for the answer");
    return;
  }
  waiting_bytes_ += bytes;
  waiting_.push_back(std::move(request));
  if (const auto strace = strace_) strace->yield();
  work_off();
}

// Not by recursion from reply(): the queue may be long.
void Client::work_off() {
  if (std::exchange(working_, true)) return;
  while (!busy_ && wire_ != nullptr && !waiting_.empty()) {
    const Arrived request = std::move(waiting_.front());
    waiting_.pop_front();
    if (interrupt_after_ && (*interrupt_after_)-- == 0) interrupt_after_.reset();
    busy_ = true;
    if (request) {
      waiting_bytes_ -= request->size();
      dispatch(*request);
    } else {
      reply_error({Errc::kMalformed, "a packet that is too long"}, false);
    }
  }
  working_ = false;
}

void Client::dispatch(const std::string& body) {
  if (first_) recognise(body);
  Result<rsp::Request> request = rsp::parse(body, agreed_);
  if (!request) {
    reply_error(request.error(), false);
    return;
  }
  if (port_ == nullptr && !std::holds_alternative<rsp::Unknown>(*request)) {
    reply_error({Errc::kGone, "detached"}, false);
    return;
  }
  std::visit([this](const auto& one) { handle(one); }, *request);
}

// LLDB's first packet is QStartNoAckMode, gdb's qSupported (seen with gdb 13 to 17 and LLDB 14).
void Client::recognise(std::string_view body) {
  first_ = false;
  lldb_ = body.starts_with("QStartNoAckMode") || body.starts_with("QThreadSuffixSupported");
}

void Client::reply(std::string_view body) {
  busy_ = false;
  if (wire_ == nullptr) return;
  wire_->send_packet(body);
  work_off();
}

void Client::no_reply() { busy_ = false; }

void Client::reply_error(const Error& error, bool may_be_text) {
  spdlog::debug("tracer {}: error: {}", port_ ? port_->id().number : 0, error.text);
  reply(may_be_text ? rsp::error_reply(error, agreed_) : rsp::error_reply(rsp::errno_of(error.code)));
}

void Client::reply_result(const Result<void>& result) {
  if (result) {
    reply("OK");
  } else {
    reply_error(result.error());
  }
}

// Text for the person, where the protocol has a place for it: while the client waits for a stop, or for the
// answer of qRcmd.
void Client::print(std::string_view text) {
  if (wire_ == nullptr) return;
  const std::string_view shown = text.substr(0, kMostText);
  for (const std::string& body : rsp::console_replies(shown)) wire_->send_packet(body);
  if (shown.size() == text.size()) return;
  const std::string rest = fmt::format("\n... and {} bytes more\n", text.size() - shown.size());
  for (const std::string& body : rsp::console_replies(rest)) wire_->send_packet(body);
}

void Client::interrupt() {
  if (port_ == nullptr) return;
  if (!running_) {
    if (busy_) interrupt_after_ = waiting_.size();
    return;
  }
  interrupted_ = true;
  port_->interrupt();
}

void Client::handle(const rsp::InterruptAll&) {
  if (non_stop_) {
    interrupt_each();
    return;
  }
  interrupt();
  reply("OK");
}

void Client::on_stop(const StopEvent& event) {
  if (const auto strace = strace_; strace && event.reason == StopReason::kProbe) {
    strace->on_full();
    return;
  }
  stopped_ = event;
  if (non_stop_) {
    notice(event);
    return;
  }
  if (!std::exchange(running_, false)) return;
  access_ = event.vcpu;
  if (!event.detail.empty()) print(event.detail + "\n");
  reply(stop_text(event));
}

void Client::on_guest_end(std::string detail) {
  guest_end_ = std::move(detail);
  if (const auto strace = strace_) strace->guest_ended();
  if (non_stop_) {
    notices_.push({std::nullopt, rsp::exited_reply(0, agreed_)});
    announce();
    return;
  }
  if (!std::exchange(running_, false)) return;
  if (!guest_end_->empty()) print(*guest_end_ + "\n");
  reply(rsp::exited_reply(0, agreed_));
}

void Client::on_message(const std::string& text) {
  spdlog::info("tracer {}: {}", port_ ? port_->id().number : 0, text);
  if (running_) print(text + "\n");
}

// In non-stop mode the protocol has no place for it; the log has it in any case.
void Client::on_print(const std::string& text) {
  if (running_) print(text);
}

// Of a stop without an event of its own: asked for, or together with another vCPU.
std::uint8_t Client::quiet_signal(VcpuId vcpu) const {
  if (non_stop_) return interrupted_cpus_.contains(vcpu) ? rsp::kSignalInt : rsp::kSignalNone;
  return interrupted_ ? rsp::kSignalInt : rsp::kSignalTrap;
}

std::string Client::stop_text(const StopEvent& event) const {
  rsp::StopReply stop;
  stop.vcpu = event.vcpu;
  using Kind = rsp::StoppedByWatch::Kind;
  switch (event.reason) {
    case StopReason::kNone:
      stop.signal = quiet_signal(event.vcpu);
      break;
    case StopReason::kStep:
    case StopReason::kEvent:
      break;
    case StopReason::kSoftwareBreak:
      stop.cause = rsp::StoppedBySwBreak{};
      break;
    case StopReason::kHardwareBreak:
      stop.cause = rsp::StoppedByHwBreak{};
      break;
    case StopReason::kWriteWatch:
      stop.cause = rsp::StoppedByWatch{Kind::kWrite, event.at};
      break;
    case StopReason::kReadWatch:
      stop.cause = rsp::StoppedByWatch{Kind::kRead, event.at};
      break;
    case StopReason::kAccessWatch:
      stop.cause = rsp::StoppedByWatch{Kind::kAccess, event.at};
      break;
    case StopReason::kProbe:
      stop.cause = syscall_cause(event.mark);
      break;
    case StopReason::kTripleFault:
    case StopReason::kFailure:
      stop.signal = rsp::kSignalAbrt;
      break;
  }
  // gdb looks for its breakpoint at rip.  Told of one where it has none it believes that it has just removed
  // it and runs on without a word (gdb 13 infrun.c, handle_signal_stop): where CS has a base it is told of a
  // trap only.
  const bool at_rip = event.context.linear_rip() == Gva{event.context.core.rip};
  const bool breakpoint =
      event.reason == StopReason::kSoftwareBreak || event.reason == StopReason::kHardwareBreak;
  if (breakpoint && !at_rip) stop.cause = std::monostate{};
  x86::RegisterFile registers;
  x86::pack_core(event.context.core, registers);
  static constexpr x86::Reg kExpedite[] = {x86::Reg::kRip, x86::Reg::kRsp, x86::Reg::kRbp, x86::Reg::kEflags};
  return rsp::stop_reply(stop, agreed_, &registers, kExpedite);
}

void Client::handle(const rsp::QuerySupported& request) {
  agreed_.client = request.client;
  // Who runs is part of what it will be shown: looked for from now on.
  port_->guest_kernel([](const auto&) {});
  reply(rsp::supported_reply(agreed_.server));
}

void Client::handle(const rsp::StartNoAckMode&) {
  reply("OK");
  if (wire_ != nullptr) wire_->stop_acks();
}

// RSP "qOffsets" knows no delta for all sections: gdb takes TextSeg for every one, LLDB wants Text, Data,
// Bss.
void Client::handle(const rsp::QueryOffsets&) {
  port_->kernel_slide(access_, then<std::optional<tracer::KernelSlide>>([](Client& self, auto found) {
                        if (!found || !*found) {
                          self.reply({});
                          return;
                        }
                        const tracer::KernelSlide& kernel = **found;
                        self.reply(self.lldb_ ? rsp::section_offsets_reply(kernel.slide)
                                              : rsp::text_segment_reply(kernel.link_text + kernel.slide));
                      }));
}

// The same for every client of a machine: made once, and read in many pieces.
const std::string& Client::description() const {
  thread_local x86::CpuFeatures made_for;
  thread_local std::string text;
  const x86::CpuFeatures features = port_->features();
  if (text.empty() || features != made_for) text = rsp::target_xml(features, rsp::Personality::kLinux);
  made_for = features;
  return text;
}

void Client::handle(const rsp::ReadXfer& request) {
  if (request.object == rsp::XferObject::kFeatures) {
    if (request.annex != "target.xml") {
      reply("E00");
      return;
    }
    reply(rsp::xfer_reply(description(), request.offset, request.length));
    return;
  }
  if (request.object == rsp::XferObject::kThreads) {
    reply(rsp::xfer_reply(thread_document(), request.offset, request.length));
    return;
  }
  if (request.object == rsp::XferObject::kExecFile) {
    port_->symbol_file(then<std::string>([request](Client& self, Result<std::string> file) {
      if (!file) {
        self.reply_error(file.error(), false);
        return;
      }
      self.reply(rsp::xfer_reply(*file, request.offset, request.length));
    }));
    return;
  }
  reply({});
}

void Client::handle(const rsp::QueryStopReason&) {
  if (guest_end_) {
    reply(rsp::exited_reply(0, agreed_));
    return;
  }
  if (non_stop_) {
    query_each_stop();
    return;
  }
  port_->stop_all(then<StopEvent>([](Client& self, Result<StopEvent> stopped) {
    if (!stopped) {
      self.reply(rsp::exited_reply(0, self.agreed_));
      return;
    }
    // Asked again without having resumed, it is the same stop.
    if (!self.stopped_) self.stopped_ = std::move(*stopped);
    self.access_ = self.stopped_->vcpu;
    self.reply(self.stop_text(*self.stopped_));
  }));
}

// The reply goes out before the connection ends; what it had inserted goes now.
void Client::end_session() {
  strace_.reset();
  port_.reset();
  if (wire_ != nullptr) wire_->close_when_sent();
}

void Client::handle(const rsp::Detach&) {
  reply("OK");
  end_session();
}

// For a machine `kill` is a typing error nine times of ten: only `monitor quit` ends the guest.
void Client::handle(const rsp::Kill& request) {
  if (request.pid) {
    reply("OK");
  } else {
    no_reply();
  }
  end_session();
}

void Client::handle(const rsp::Run&) { reply_error({Errc::kUnsupported, "use: monitor reset"}); }

void Client::handle(const rsp::AttachTo&) { handle(rsp::QueryStopReason{}); }

void Client::handle(const rsp::Monitor& request) { MonitorCommands(*this).run(request.command); }

void Client::handle(const rsp::PhysicalMode& request) {
  if (!request.set) {
    reply(physical_ ? "1" : "0");
    return;
  }
  physical_ = *request.set;
  reply("OK");
}

void Client::handle(const rsp::StepFlags& request) {
  if (!request.set) {
    reply("0x" + std::to_string(step_flags_));
    return;
  }
  constexpr unsigned kNoIrq = 2;
  step_flags_ = static_cast<unsigned>(*request.set & 7u);
  port_->set_step_holds_interrupts((step_flags_ & kNoIrq) != 0);
  reply("OK");
}

}  // namespace ringside::session
