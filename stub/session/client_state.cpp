// The requests that look at the guest or change it: threads, registers, memory, points, resumes.
#include <algorithm>

#include <fmt/format.h>

#include "stub/session/client.hpp"
#include "stub/tracer/variables.hpp"

namespace ringside::session {

using rsp::ThreadRef;

std::optional<VcpuId> Client::one_vcpu(const ThreadRef& who) const {
  if (who.kind != ThreadRef::Kind::kOne) return access_;
  if (!known(who.vcpu)) return std::nullopt;
  return who.vcpu;
}

void Client::handle(const rsp::SelectThread& request) {
  const std::optional<VcpuId> vcpu = one_vcpu(request.who);
  if (!vcpu) {
    reply_error({Errc::kNotFound, "no such CPU"}, false);
    return;
  }
  if (request.use == rsp::SelectThread::For::kAccess) {
    access_ = *vcpu;
  } else {
    step_thread_.reset();
    if (request.who.kind == ThreadRef::Kind::kOne) step_thread_ = *vcpu;
  }
  reply("OK");
}

void Client::handle(const rsp::QueryCurrentThread&) { reply(rsp::current_thread_reply(access_, agreed_)); }

void Client::handle(const rsp::ListThreads& request) {
  std::vector<VcpuId> all;
  for (std::uint32_t i = 0; request.first && i < port_->vcpu_count(); ++i) all.push_back(VcpuId{i});
  reply(rsp::thread_list_reply(all, agreed_));
}

void Client::handle(const rsp::QueryThreadInfo& request) {
  const std::optional<VcpuId> vcpu = one_vcpu(request.who);
  if (!vcpu) {
    reply_error({Errc::kNotFound, "no such CPU"}, false);
    return;
  }
  reply(rsp::hex_text_reply(fmt::format("{} {}", thread_name(*vcpu), port_->vcpu_note(*vcpu))));
}

void Client::handle(const rsp::ThreadAlive& request) {
  reply(one_vcpu(request.who) ? "OK" : rsp::error_reply(rsp::errno_of(Errc::kNotFound)));
}

// With who runs there, where that is known: `CPU#0 [bash/123]`.
std::string Client::thread_name(VcpuId vcpu) const {
  const auto task = port_->task_on(vcpu);
  if (!task) return fmt::format("CPU#{}", vcpu.number);
  std::string comm;
  for (const char c : task->comm()) comm += c >= ' ' && c <= '~' ? c : '?';
  return fmt::format("CPU#{} [{}/{}]", vcpu.number, comm, task->tgid);
}

std::string Client::thread_document() const {
  std::vector<rsp::ThreadRow> rows;
  for (std::uint32_t i = 0; i < port_->vcpu_count(); ++i) {
    rows.push_back({.vcpu = VcpuId{i}, .name = thread_name(VcpuId{i}), .extra = port_->vcpu_note(VcpuId{i})});
  }
  return rsp::threads_xml(rows, agreed_);
}

void Client::handle(const rsp::ReadRegisters&) {
  port_->read_registers(access_, x86::g_packet_groups(),
                        then<const x86::RegisterFile*>([](Client& self, auto file) {
                          if (!file) {
                            self.reply_error(file.error());
                            return;
                          }
                          self.reply(rsp::g_packet(self.with_call_number(**file)));
                        }));
}

void Client::handle(const rsp::ReadRegister& request) {
  const auto reg =
      x86::by_number(static_cast<unsigned>(std::min<std::uint64_t>(request.number, x86::kRegCount)));
  if (!reg || !x86::has_feature(port_->features(), x86::info(*reg).feature)) {
    reply_error({Errc::kNotFound, "no such register"}, false);
    return;
  }
  port_->read_registers(access_, x86::info(*reg).group,
                        then<const x86::RegisterFile*>([reg = *reg](Client& self, auto file) {
                          if (!file) {
                            self.reply_error(file.error());
                            return;
                          }
                          self.reply(rsp::register_reply(self.with_call_number(**file), reg));
                        }));
}

// Only what differs is written: a G after one `set` must not touch 70 other registers.
void Client::handle(const rsp::WriteRegisters& request) {
  port_->read_registers(
      access_, x86::g_packet_groups(),
      then<const x86::RegisterFile*>([hex = request.hex](Client& self, Result<const x86::RegisterFile*> now) {
        if (!now) {
          self.reply_error(now.error());
          return;
        }
        x86::RegisterFile wanted = **now;
        if (const auto groups = rsp::read_g_packet(hex, wanted); !groups) {
          self.reply_error(groups.error());
          return;
        }
        std::vector<std::pair<x86::Reg, Bytes>> changed;
        for (std::size_t i = 0; i < x86::g_packet_end(); ++i) {
          const auto reg = static_cast<x86::Reg>(i);
          const ByteView value = std::as_const(wanted).raw(reg);
          if (!std::ranges::equal(value, (*now)->raw(reg)))
            changed.emplace_back(reg, Bytes(value.begin(), value.end()));
        }
        self.port_->write_registers(self.access_, std::move(changed),
                                    self.then<void>([](Client& me, auto done) { me.reply_result(done); }));
      }));
}

void Client::handle(const rsp::WriteRegister& request) {
  const auto reg =
      x86::by_number(static_cast<unsigned>(std::min<std::uint64_t>(request.number, x86::kRegCount)));
  if (!reg || !x86::has_feature(port_->features(), x86::info(*reg).feature)) {
    reply_error({Errc::kNotFound, "no such register"}, false);
    return;
  }
  port_->write_registers(access_, {{*reg, request.value}},
                         then<void>([](Client& self, auto done) { self.reply_result(done); }));
}

void Client::handle(const rsp::ReadMemory& request) {
  port_->read_memory(access_, space(), request.at, request.length,
                     then<Bytes>([form = request.form](Client& self, Result<Bytes> data) {
                       if (!data) {
                         self.reply_error(data.error());
                       } else if (form == rsp::ReadMemory::Form::kHex) {
                         self.reply(rsp::hex_reply(*data));
                       } else {
                         self.reply(rsp::binary_reply(*data));
                       }
                     }));
}

void Client::handle(const rsp::WriteMemory& request) {
  if (request.data.empty()) {
    reply("OK");  // gdb asks with an empty X whether X is there
    return;
  }
  port_->write_memory(access_, space(), request.at, request.data,
                      then<void>([](Client& self, auto done) { self.reply_result(done); }));
}

void Client::handle(const rsp::SearchMemory& request) {
  port_->search_memory(access_, space(), request.at, request.length, request.pattern,
                       then<std::optional<Gva>>([](Client& self, Result<std::optional<Gva>> found) {
                         if (!found) {
                           self.reply_error(found.error());
                         } else {
                           self.reply(rsp::search_reply(*found));
                         }
                       }));
}

namespace {

tracer::PointSpec point_spec(rsp::PointType type, Gva at, std::uint64_t kind) {
  switch (type) {
    case rsp::PointType::kSoftware:
      return {tracer::PointKind::kSoftware, at, 1};
    case rsp::PointType::kHardware:
      return {tracer::PointKind::kHardware, at, 1};
    case rsp::PointType::kWriteWatch:
      return {tracer::PointKind::kWrite, at, kind};
    case rsp::PointType::kReadWatch:
      return {tracer::PointKind::kRead, at, kind};
    case rsp::PointType::kAccessWatch:
      return {tracer::PointKind::kAccess, at, kind};
  }
  return {};
}

Result<std::vector<agent::Program>> verified(const std::vector<Bytes>& codes) {
  std::vector<agent::Program> programs;
  for (const Bytes& code : codes) programs.push_back(RS_TRY(agent::Program::verify(code)));
  return programs;
}

// Null when the point simply stops.
Result<std::shared_ptr<const tracer::PointActions>> point_actions(const rsp::InsertPoint& request) {
  if (request.conditions.empty() && request.commands.empty()) return nullptr;
  auto actions = std::make_shared<tracer::PointActions>();
  actions->conditions = RS_TRY(verified(request.conditions));
  actions->commands = RS_TRY(verified(request.commands));
  actions->persist = request.persist;
  return actions;
}

}  // namespace

void Client::handle(const rsp::InsertPoint& request) {
  Result<std::shared_ptr<const tracer::PointActions>> actions = point_actions(request);
  if (!actions) {
    on_message(actions.error().text);
    reply_error(actions.error());
    return;
  }
  port_->insert_point(access_, point_spec(request.type, request.at, request.kind), std::move(*actions),
                      then<void>([](Client& self, auto done) {
                        // The reason goes to people in any case: gdb before 17 shows its own words only.
                        if (!done) self.on_message(done.error().text);
                        self.reply_result(done);
                      }));
}

void Client::handle(const rsp::RemovePoint& request) {
  port_->remove_point(point_spec(request.type, request.at, request.kind),
                      then<void>([](Client& self, auto done) { self.reply_result(done); }));
}

// One a reply: number, value, whether it is built in, name (RSP "Tracepoint Packets", qTfV).
void Client::handle(const rsp::ListTraceVariables& request) {
  if (request.first) next_variable_ = 0;
  if (next_variable_ >= tracer::kVariables.size()) {
    reply("l");
    return;
  }
  const tracer::VariableInfo& variable = tracer::kVariables[next_variable_++];
  reply(
      fmt::format("{:x}:0:1:{}", static_cast<unsigned>(variable.number), rsp::hex_text_reply(variable.name)));
}

// They have values when a point is hit; between hits the CPU is known, and who runs on it.
void Client::handle(const rsp::ReadTraceVariable& request) {
  const auto is = [&](tracer::Variable one) { return request.number == static_cast<std::uint64_t>(one); };
  std::optional<std::uint64_t> value;
  const auto task = port_->task_on(access_);
  if (is(tracer::Variable::kCpu)) value = access_.number;
  if (task && is(tracer::Variable::kPid)) value = static_cast<std::uint64_t>(std::int64_t{task->pid});
  if (task && is(tracer::Variable::kTgid)) value = static_cast<std::uint64_t>(std::int64_t{task->tgid});
  if (task && is(tracer::Variable::kComm)) value = tracer::comm_value(task->comm_bytes);
  reply(value ? fmt::format("V{:x}", *value) : "U");
}

void Client::resume(std::vector<tracer::ResumeAction> actions) {
  if (guest_end_) {
    reply(rsp::exited_reply(0, agreed_));
    return;
  }
  if (actions.empty()) {
    reply(agreed_.no_resumed() ? rsp::no_resumed_reply() : rsp::error_reply(rsp::errno_of(Errc::kMalformed)));
    return;
  }
  running_ = true;
  interrupted_ = false;
  if (!caught_any_) drop_catch_probes();
  if (auto done = port_->resume(std::move(actions)); !done) {
    running_ = false;
    reply_error(done.error());
    return;
  }
  if (interrupt_after_) {
    interrupt_after_.reset();
    interrupt();
  }
}

void Client::handle(const rsp::ResumeMany& request) {
  using Kind = tracer::ResumeAction::Kind;
  std::vector<tracer::ResumeAction> plan;
  std::vector<VcpuId> stops;
  for (std::uint32_t i = 0; i < port_->vcpu_count(); ++i) {
    const auto names = [&](const rsp::ResumeAction& action) {
      return action.who.kind != ThreadRef::Kind::kOne || action.who.vcpu == VcpuId{i};
    };
    const auto action = std::ranges::find_if(request.actions, names);
    if (action == request.actions.end()) continue;
    switch (action->kind) {
      case rsp::ResumeAction::Kind::kContinue:
        plan.push_back({VcpuId{i}, Kind::kContinue, {}});
        break;
      case rsp::ResumeAction::Kind::kStep:
        plan.push_back({VcpuId{i}, Kind::kStep, {}});
        break;
      case rsp::ResumeAction::Kind::kRangeStep:
        plan.push_back({VcpuId{i}, Kind::kStepRange, action->range});
        break;
      case rsp::ResumeAction::Kind::kStop:
        stops.push_back(VcpuId{i});
        break;
    }
  }
  if (non_stop_) {
    resume_each(std::move(plan), stops);
  } else {
    resume(std::move(plan));
  }
}

// c and s as LLDB and old scripts send them: the selected CPU steps, all others continue.
void Client::handle(const rsp::ResumeLegacy& request) {
  using Kind = tracer::ResumeAction::Kind;
  const VcpuId selected = step_thread_.value_or(access_);
  std::vector<tracer::ResumeAction> plan;
  for (std::uint32_t i = 0; i < port_->vcpu_count(); ++i) {
    const bool step = request.kind == rsp::ResumeAction::Kind::kStep && selected == VcpuId{i};
    plan.push_back({VcpuId{i}, step ? Kind::kStep : Kind::kContinue, {}});
  }
  if (non_stop_) {
    reply_error({Errc::kUnsupported, "in non-stop mode use vCont"}, false);
    return;
  }
  if (!request.at) {
    resume(std::move(plan));
    return;
  }
  const ByteView rip = bytes_of(request.at->value);
  port_->write_registers(selected, {{x86::Reg::kRip, Bytes(rip.begin(), rip.end())}},
                         then<void>([plan = std::move(plan)](Client& self, Result<void> done) mutable {
                           if (!done) {
                             self.reply_error(done.error());
                           } else {
                             self.resume(std::move(plan));
                           }
                         }));
}

}  // namespace ringside::session
