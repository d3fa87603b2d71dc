// One gdb or LLDB: requests in, replies out, all state that the connection has.  No socket here.
//
// Every packet gets exactly one reply, except k and R (none) and resumes (the stop reply, when it comes).
// Requests are worked off in order: one that waits for a vCPU keeps the later ones waiting, up to a bound;
// 0x03 does not wait. Thread: hub.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <string>
#include <string_view>

#include "stub/rsp/features.hpp"
#include "stub/rsp/reply.hpp"
#include "stub/rsp/request.hpp"
#include "stub/session/notices.hpp"
#include "stub/session/wire.hpp"
#include "stub/tracer/port.hpp"

namespace ringside::strace {
class SyscallCatch;
}

namespace ringside::session {

class StraceService;

class Client final : public tracer::Events, public std::enable_shared_from_this<Client> {
 public:
  explicit Client(Wire& wire) : wire_(&wire) {}

  void attached(std::unique_ptr<tracer::Port> port) { port_ = std::move(port); }
  // The connection is gone: detaches.  Nothing is sent any more.
  void disconnected();

  void packet(std::string body);
  void interrupt();
  void oversize();

  void on_stop(const tracer::StopEvent& event) override;
  void on_guest_end(std::string detail) override;
  void on_message(const std::string& text) override;
  void on_print(const std::string& text) override;
  bool wants_stops() const override { return strace_ == nullptr; }

 private:
  friend class MonitorCommands;

  // A request that has come; nothing: one that was too long to be taken.
  using Arrived = std::optional<std::string>;
  void arrived(Arrived request);
  void work_off();
  void dispatch(const std::string& body);
  void recognise(std::string_view body);
  void reply(std::string_view body);
  void reply_error(const Error& error, bool may_be_text = true);
  void reply_result(const Result<void>& result);
  void no_reply();
  void print(std::string_view text);

  // Wraps the answer to an asynchronous question, so that it finds us gone when we are.
  template <typename T, typename F>
  tracer::Done<T> then(F use) {
    return [weak = weak_from_this(), use = std::move(use)](Result<T> result) mutable {
      if (const auto self = weak.lock(); self && self->wire_ != nullptr) use(*self, std::move(result));
    };
  }

  void handle(const rsp::QuerySupported& request);
  void handle(const rsp::MustReplyEmpty&) { reply({}); }
  void handle(const rsp::StartNoAckMode&);
  void handle(const rsp::ExtendedMode&) { reply("OK"); }
  void handle(const rsp::SetNonStop& request);
  void handle(const rsp::QueryAttached&) { reply("1"); }
  void handle(const rsp::QueryOffsets&);
  void handle(const rsp::OfferSymbol&) { reply("OK"); }
  void handle(const rsp::ReadXfer& request);
  void handle(const rsp::SelectThread& request);
  void handle(const rsp::QueryCurrentThread&);
  void handle(const rsp::ListThreads& request);
  void handle(const rsp::QueryThreadInfo& request);
  void handle(const rsp::ThreadAlive& request);
  void handle(const rsp::SetThreadEvents&) { reply("OK"); }
  void handle(const rsp::ReadRegisters&);
  void handle(const rsp::WriteRegisters& request);
  void handle(const rsp::ReadRegister& request);
  void handle(const rsp::WriteRegister& request);
  void handle(const rsp::ReadMemory& request);
  void handle(const rsp::WriteMemory& request);
  void handle(const rsp::SearchMemory& request);
  void handle(const rsp::QueryCrc&) { reply({}); }
  void handle(const rsp::InsertPoint& request);
  void handle(const rsp::RemovePoint& request);
  void handle(const rsp::QueryStopReason&);
  void handle(const rsp::QueryVCont&) { reply(rsp::vcont_reply()); }
  void handle(const rsp::ResumeMany& request);
  void handle(const rsp::ResumeLegacy& request);
  void handle(const rsp::ResumeReverse&) { reply({}); }
  void handle(const rsp::InterruptAll&);
  void handle(const rsp::NextStop&);
  void handle(const rsp::Detach&);
  void handle(const rsp::Kill& request);
  void handle(const rsp::Restart&) { no_reply(); }
  void handle(const rsp::Run&);
  void handle(const rsp::AttachTo&);
  void handle(const rsp::SetPassSignals&) { reply("OK"); }
  void handle(const rsp::SetProgramSignals&) { reply("OK"); }
  void handle(const rsp::CatchSyscalls& request);
  // No tracepoints yet: this is here for the variables, which gdb asks for only of a target that can trace.
  void handle(const rsp::QueryTraceStatus&) { reply("T0;tnotrun:0"); }
  void handle(const rsp::ListTraceVariables& request);
  void handle(const rsp::ListTracepoints&) { reply("l"); }
  void handle(const rsp::ReadTraceVariable& request);
  void handle(const rsp::Monitor& request);
  void handle(const rsp::PhysicalMode& request);
  void handle(const rsp::QueryStepBits&) { reply("ENABLE=1,NOIRQ=2,NOTIMER=4"); }
  void handle(const rsp::StepFlags& request);
  void handle(const rsp::StartStrace& request);
  void handle(const rsp::HaltStrace&);
  void handle(const rsp::ReadRecords& request);
  void handle(const rsp::Unknown&) { reply({}); }

  bool known(VcpuId vcpu) const { return vcpu.number < port_->vcpu_count(); }
  std::optional<VcpuId> one_vcpu(const rsp::ThreadRef& who) const;
  void resume(std::vector<tracer::ResumeAction> actions);
  void resume_each(std::vector<tracer::ResumeAction> actions, const std::vector<VcpuId>& stops);
  void query_each_stop();
  void interrupt_each();
  void notice(const tracer::StopEvent& event);
  void announce();
  void write_register(x86::Reg reg, const Bytes& value);
  const std::string& description() const;
  std::string thread_document() const;
  std::string thread_name(VcpuId vcpu) const;
  std::uint8_t quiet_signal(VcpuId vcpu) const;
  std::string stop_text(const tracer::StopEvent& event) const;
  void end_session();
  void set_catch_probes(std::vector<Gva> places, std::shared_ptr<const tracer::PointActions> actions);
  void drop_catch_probes();
  const x86::RegisterFile& with_call_number(const x86::RegisterFile& registers);
  static rsp::StopCause syscall_cause(std::uint64_t mark);
  tracer::AddressSpace space() const {
    return physical_ ? tracer::AddressSpace::kPhysical : tracer::AddressSpace::kVirtual;
  }

  Wire* wire_;  // null once disconnected
  std::unique_ptr<tracer::Port> port_;
  rsp::Features agreed_;
  std::deque<Arrived> waiting_;
  std::size_t waiting_bytes_ = 0;
  bool working_ = false;  // work_off() is at it
  bool busy_ = false;     // a request has been taken up and not been answered
  bool running_ = false;  // a resume is out: the next reply is its stop
  bool interrupted_ = false;
  bool non_stop_ = false;
  StopNotices notices_;                // non-stop
  std::set<VcpuId> interrupted_cpus_;  // non-stop: their next stop is the answer to vCtrlC
  VcpuId last_resumed_;                // non-stop
  // A 0x03 came while requests were being worked off, of which a resume may be one: so many are before it.
  std::optional<std::size_t> interrupt_after_;
  bool first_ = true;
  bool lldb_ = false;
  std::size_t next_variable_ = 0;  // of the list that qTsV goes on with
  bool physical_ = false;
  unsigned step_flags_ = 7;  // QEMU's: ENABLE, NOIRQ, NOTIMER
  VcpuId access_;
  std::optional<VcpuId> step_thread_;
  std::optional<tracer::StopEvent> stopped_;
  std::optional<std::string> guest_end_;
  std::shared_ptr<StraceService> strace_;
  std::shared_ptr<strace::SyscallCatch> catch_;  // its probes are set
  bool caught_any_ = false;
  x86::RegisterFile at_call_;  // what is shown at a stop of catch_
};

}  // namespace ringside::session
