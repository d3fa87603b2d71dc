#include "tests/fakes/fake_machine.hpp"

#include <algorithm>
#include <utility>

#include "arch/x86/control.hpp"
#include "arch/x86/paging.hpp"

namespace ringside::fakes {
namespace {

constexpr std::uint64_t kTables = 0x1000;
constexpr std::uint8_t kNop = 0x90, kInt3 = 0xcc, kJump = 0xeb, kHlt = 0xf4, kIncrement = 0xfe,
                       kTwoByte = 0x0f;

}  // namespace

FakeVcpu::FakeVcpu(FakeMachine& machine, VcpuId id) : machine_(machine), id_(id) { reset(); }

void FakeVcpu::reset() {
  context_.core = {};
  context_.core.rip = kCode + 0x100 * id_.number;
  registers = {};
  registers.set_u64(x86::Reg::kCr0, x86::cr0::kPg | x86::cr0::kPe);
  registers.set_u64(x86::Reg::kCr3, kTables);
  registers.set_u64(x86::Reg::kCr4, x86::cr4::kPae);
  registers.set_u64(x86::Reg::kEfer, x86::efer::kLme | x86::efer::kLma);
  registers.set_u64(x86::Reg::kCs, 0x10);
  wish_ = {};
}

void FakeVcpu::run() {
  RS_CHECK(!running_);
  running_ = true;
  pause_asked_ = false;
  ++runs;
  api::DebugExit exit;
  const api::Verdict verdict = machine_.policy_->before_run(*this, exit);
  follow(verdict, exit);
}

void FakeVcpu::pause() {
  if (!running_) return;
  ++pauses;
  pause_asked_ = true;
  if (machine_.prompt) answer_pause();
}

bool FakeVcpu::answer_pause() {
  if (!running_ || !pause_asked_ || machine_.policy_->unfinished(*this)) return false;
  park(api::StopCause::kPaused, {}, {});
  return true;
}

void FakeVcpu::post(Work work) {
  inbox_.push_back(std::move(work));
  if (machine_.prompt) answer_post();
}

bool FakeVcpu::answer_post() {
  if (inbox_.empty()) return false;
  Work work = std::move(inbox_.front());
  inbox_.pop_front();
  work(*this);
  return true;
}

void FakeVcpu::stop(api::StopCause cause, std::string detail) {
  RS_CHECK(running_);
  park(cause, {}, std::move(detail));
}

void FakeVcpu::park(api::StopCause cause, api::DebugExit debug, std::string detail) {
  running_ = false;
  pause_asked_ = false;
  machine_.listener_->on_stop(
      {.vcpu = id_, .cause = cause, .debug = debug, .context = context(), .detail = std::move(detail)});
}

bool FakeVcpu::debug_exit(api::DebugExit exit) {
  const api::Verdict verdict = machine_.policy_->on_debug_exit(*this, exit);
  return follow(verdict, exit);
}

void FakeVcpu::event(const api::GuestEvent& event) {
  if (machine_.policy_->on_event(*this, event)) pause();
}

bool FakeVcpu::follow(api::Verdict verdict, const api::DebugExit& exit) {
  if (verdict == api::Verdict::kResume) return true;
  const auto cause = verdict == api::Verdict::kStepAlone       ? api::StopCause::kStepAlone
                     : verdict == api::Verdict::kStepUnwatched ? api::StopCause::kStepUnwatched
                     : verdict == api::Verdict::kReview        ? api::StopCause::kReview
                                                               : api::StopCause::kDebug;
  park(cause, exit, {});
  return false;
}

const x86::CpuContext& FakeVcpu::context() {
  context_.paging = {.cr0 = registers.u64(x86::Reg::kCr0),
                     .cr3 = registers.u64(x86::Reg::kCr3),
                     .cr4 = registers.u64(x86::Reg::kCr4),
                     .efer = registers.u64(x86::Reg::kEfer)};
  context_.gs_base = registers.u64(x86::Reg::kGsBase);
  context_.cs.selector = 0x10;
  context_.cs.long_mode = long_mode;
  context_.cs.default_big = !long_mode;
  return context_;
}

Result<void> FakeVcpu::read(x86::RegGroups groups, x86::RegisterFile& into) {
  x86::RegisterFile all = registers;
  x86::pack_core(context_.core, all);
  for (std::size_t i = 0; i < x86::kRegCount; ++i) {
    const auto reg = static_cast<x86::Reg>(i);
    if (groups.contains(x86::info(reg).group)) into.set_raw(reg, std::as_const(all).raw(reg));
  }
  for (const x86::RegGroup group : groups) {
    const x86::CpuFeatures& cpu = machine_.info_.features;
    const bool lacks = (group == x86::RegGroup::kAvx && !cpu.avx) ||
                       (group == x86::RegGroup::kAvx512 && !cpu.avx512) ||
                       (group == x86::RegGroup::kPkru && !cpu.pkru);
    into.set_available(group, !lacks);
  }
  return {};
}

Result<void> FakeVcpu::write(x86::Reg reg, ByteView value) {
  if (value.size() != x86::info(reg).bytes) return fail(Errc::kMalformed, "wrong size");
  if (refused.contains(reg)) return fail(Errc::kRefused, "the CPU does not take it");
  if (x86::info(reg).group != x86::RegGroup::kCore) {
    registers.set_raw(reg, value);
    return {};
  }
  x86::RegisterFile all;
  x86::pack_core(context_.core, all);
  all.set_raw(reg, value);
  context_.core = x86::unpack_core(all);
  return {};
}

Result<void> FakeVcpu::reinject_int3() {
  ++own_int3;
  ++context_.core.rip;  // as if the guest's handler had returned
  context_.core.rflags &= ~x86::rflags::kRf;
  return {};
}

Result<void> FakeVcpu::reinject_debug_trap(std::uint64_t dr6) {
  own_traps.push_back(dr6);
  return {};
}

std::optional<std::uint8_t> FakeVcpu::fetch(std::uint64_t offset) {
  const x86::CpuContext now = context();
  const x86::WalkResult leaf = x86::walk(now.paging, now.linear_rip() + offset, machine_.memory_);
  if (!leaf) return std::nullopt;
  return machine_.memory_.load_at<std::uint8_t>(leaf->gpa);
}

// Bits of DR6 for an access at `at`: the fakes' data accesses are all writes of one byte.
std::uint64_t FakeVcpu::slots_hit(Gva at, bool execution) const {
  std::uint64_t hit = 0;
  for (std::size_t i = 0; i < wish_.slots.size(); ++i) {
    const auto& slot = wish_.slots[i];
    if (!slot || (slot->kind == x86::WatchKind::kExecute) != execution) continue;
    if (slot->at <= at && at - slot->at < slot->length) hit |= x86::bit(static_cast<unsigned>(i));
  }
  return hit;
}

// SDM 3B 17.3.1: an execute breakpoint is a fault before the instruction, unless RF is set; data breakpoints
// and single steps are traps after it.
bool FakeVcpu::advance() {
  if (!running_) return false;
  const bool passes = (context_.core.rflags & x86::rflags::kRf) != 0;
  if (const std::uint64_t hit = slots_hit(context().linear_rip(), true); hit != 0 && !passes) {
    return debug_exit({.int3 = false, .dr6 = hit});
  }
  std::uint64_t dr6 = 0;
  if (wish_.trap_int3 && fetch(0) == kInt3) return int3_exits();
  if (!execute(dr6)) {
    park(api::StopCause::kTripleFault, {}, "triple fault");
    return false;
  }
  context_.core.rflags &= ~x86::rflags::kRf;
  if (std::exchange(tell_write_, false)) {  // KVM reports no step then
    api::DebugExit exit;
    const api::Verdict verdict = machine_.policy_->after_guest_write(*this, exit);
    return follow(verdict, exit);
  }
  if (wish_.step) dr6 |= x86::dr6::kBs;
  return dr6 == 0 || debug_exit({.int3 = false, .dr6 = dr6});
}

// When the guest gets it, that is an instruction like any other: a step ends behind it.
bool FakeVcpu::int3_exits() {
  const int before = own_int3;
  const bool goes_on = debug_exit({.int3 = true, .dr6 = 0});
  if (!goes_on || own_int3 == before || !wish_.step) return goes_on;
  return debug_exit({.int3 = false, .dr6 = x86::dr6::kBs});
}

bool FakeVcpu::execute(std::uint64_t& dr6) {
  switch (fetch(0).value_or(kTwoByte)) {
    case kNop:
      ++context_.core.rip;
      return true;
    case kInt3:
      ++context_.core.rip, ++own_int3;
      return true;
    case kJump:
      context_.core.rip += 2 + static_cast<std::uint64_t>(static_cast<std::int8_t>(fetch(1).value_or(0)));
      return true;
    case kIncrement:
      return increment(dr6);
    case kHlt:
      return true;
    default:
      return false;
  }
}

bool FakeVcpu::increment(std::uint64_t& dr6) {
  std::uint32_t at = 0;
  for (unsigned i = 0; i < 4; ++i) at |= static_cast<std::uint32_t>(fetch(3 + i).value_or(0)) << (8 * i);
  const auto value = machine_.memory_.load_at<std::uint8_t>(Gpa{at});
  if (!value) return false;
  const auto next = static_cast<std::uint8_t>(*value + 1);
  context_.core.rip += 7;
  const bool watched =
      std::ranges::any_of(machine_.watched, [at](const auto& range) { return range.contains(Gpa{at}); });
  if (watched) {
    tell_write_ = machine_.policy_->on_guest_write(*this, Gpa{at}, {&next, 1}) == api::WriteVerdict::kTell;
    return true;
  }
  machine_.memory_.put(at, next);
  dr6 |= slots_hit(Gva{at}, false);
  return true;
}

FakeMachine::FakeMachine(std::size_t vcpus) {
  info_.watches_writes = true;
  info_.engine = "fake";
  info_.ram_bytes = kRamBytes;
  info_.ram = {{Gpa{0}, Gpa{kRamBytes}}};
  write_tables();
  for (std::uint32_t i = 0; i < vcpus; ++i) vcpus_.push_back(std::make_unique<FakeVcpu>(*this, VcpuId{i}));
}

// PML4 at 0x1000: entry 0 and entry 511 lead to PDPTs whose entries 0 and 510 lead to one directory.
void FakeMachine::write_tables() {
  constexpr std::uint64_t kPresentWritable = 3, kLargePage = 0x80;
  memory_.put(kTables, std::uint64_t{0x2000 | kPresentWritable});
  memory_.put(kTables + 511 * 8, std::uint64_t{0x3000 | kPresentWritable});
  memory_.put(0x2000, std::uint64_t{0x4000 | kPresentWritable});
  memory_.put(0x3000 + 510 * 8, std::uint64_t{0x4000 | kPresentWritable});
  memory_.put(0x4000, std::uint64_t{kPresentWritable | kLargePage});
}

Result<void> FakeMachine::start(api::DebugPolicy& policy, api::MachineListener& listener) {
  policy_ = &policy;
  listener_ = &listener;
  loaded_ = memory_;
  return {};
}

Result<void> FakeMachine::reset() {
  ++resets;
  if (reset_fails) return unexpected(*reset_fails);
  for (auto& vcpu : vcpus_) {
    RS_CHECK(!vcpu->running());
    vcpu->reset();
  }
  if (loaded_) memory_ = *loaded_;
  return {};
}

Result<void> FakeMachine::watch_writes(std::span<const GpaRange> pages) {
  for (const auto& vcpu : vcpus_) RS_CHECK(!vcpu->running());
  watched.assign(pages.begin(), pages.end());
  return {};
}

void FakeMachine::put(std::uint64_t at, const Bytes& bytes) {
  const bool written = memory_.write(Gpa{at}, bytes);
  RS_CHECK(written);
}

}  // namespace ringside::fakes
