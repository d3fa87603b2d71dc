#include "stub/hub/stepper.hpp"

#include <algorithm>

#include "arch/x86/control.hpp"
#include "arch/x86/data_access.hpp"
#include "arch/x86/paging.hpp"
#include "stub/hub/vcpu_environment.hpp"

namespace ringside::hub {
namespace {

// Guest data, but for bytes that an int3 of ours stands in for: a write there has to go below it.
class DataBesideInt3 final : public x86::DataAccess {
 public:
  DataBesideInt3(const x86::CpuContext& cpu, PhysicalMemory& memory, const PointSnapshot& points)
      : data_(cpu, memory), paging_(cpu.paging), memory_(memory), points_(points) {}

  bool read(Gva from, MutableByteView to) const noexcept override {
    return clear(from, to.size()) && data_.read(from, to);
  }
  bool write(Gva to, ByteView from) noexcept override {
    return clear(to, from.size()) && data_.write(to, from);
  }

 private:
  bool clear(Gva at, std::size_t size) const noexcept {
    if (points_.int3.empty()) return true;
    const x86::WalkResult leaf = x86::walk(paging_, at, memory_);
    if (!leaf) return false;
    const auto site = points_.from(leaf->gpa);
    return site == points_.int3.end() || site->first - leaf->gpa >= size;
  }

  x86::GuestData data_;
  const x86::PagingState& paging_;
  const PhysicalMemory& memory_;
  const PointSnapshot& points_;
};

bool watches_data(const PointSnapshot& points) {
  return !points.watches.empty() || std::ranges::any_of(points.slots, [](const auto& slot) {
    return slot && slot->kind != x86::WatchKind::kExecute;
  });
}

}  // namespace

Stepper::Passed Stepper::pass(api::VcpuAccess& vcpu, const PointSnapshot& points, const Place& place,
                              x86::RegisterFile& registers) {
  const disasm::StepPlan& plan = place.plan;
  const x86::CpuContext context = vcpu.context();
  // The guest may have patched the instruction since the plan was made.
  std::array<std::uint8_t, disasm::kLongestInstruction> bytes;
  const auto now = MutableByteView(bytes).first(plan.original.length);
  if (now.empty() || !read_own_bytes(context.paging, memory_, points, place.at, now) || !plan.is_of(now))
    return Passed::kNo;
  if (const auto* insn = std::get_if<x86::SimpleInsn>(&plan.how)) {
    return emulate(vcpu, points, *insn, context) ? Passed::kDone : Passed::kNo;
  }
  if (const auto* copy = std::get_if<disasm::RunInScratch>(&plan.how)) {
    return start_copy(vcpu, points, *copy, context, registers) ? Passed::kStarted : Passed::kNo;
  }
  return Passed::kNo;
}

bool Stepper::emulate(api::VcpuAccess& vcpu, const PointSnapshot& points, const x86::SimpleInsn& insn,
                      const x86::CpuContext& context) {
  if (!x86::may_emulate(insn, context)) return false;
  // Neither debug registers nor KVM see what is done here.
  if (insn.touches_memory() && watches_data(points)) return false;
  DataBesideInt3 data(context, memory_, points);
  x86::CoreRegs core = context.core;
  if (x86::emulate(insn, core, data) != x86::EmulateResult::kDone) return false;
  vcpu.set_core(core);
  return true;
}

bool Stepper::start_copy(api::VcpuAccess& vcpu, const PointSnapshot& points, const disasm::RunInScratch& copy,
                         const x86::CpuContext& context, x86::RegisterFile& registers) {
  // A step's TF would be seen in what pushf stores; a repeated instruction is many steps.
  if (!points.scratch || copy.stores_flags || copy.repeats || !copy.may_run(context)) return false;
  const std::uint64_t offset = vcpu.id().number * ScratchPage::kSlotBytes;
  const Gva slot = points.scratch->at + offset;
  const Gpa where = points.scratch->where + offset;
  const x86::WalkResult leaf = x86::walk(context.paging, slot, memory_);
  if (!leaf || leaf->gpa != where || !leaf->executable) return false;
  if (!vcpu.read(x86::RegGroup::kSystem, registers)) return false;
  const disasm::SegmentBases bases{.fs = registers.u64(x86::Reg::kFsBase),
                                   .gs = registers.u64(x86::Reg::kGsBase)};
  if (!copy.will_not_fault(context, bases, memory_)) return false;
  const auto code = copy.encode(slot);
  if (!code || !memory_.write(where, code->view())) return false;
  x86::CoreRegs core = context.core;
  core.rip = slot.value;
  vcpu.set_core(core);
  copy_ = &copy;
  slot_ = slot;
  return true;
}

void Stepper::abandon(api::VcpuAccess& vcpu) {
  if (copy_ == nullptr) return;
  x86::CoreRegs core = vcpu.core();
  core.rip = copy_->at.value;
  vcpu.set_core(core);
  copy_ = nullptr;
}

bool Stepper::finish(api::VcpuAccess& vcpu, const std::optional<SingleStep::Frame>& frame) {
  const x86::CpuContext context = vcpu.context();
  if (context.core.rip == slot_.value) return false;  // not yet: something else came first
  if (frame) {
    correct(context, *frame);
  } else {
    x86::CoreRegs core = context.core;
    x86::GuestData data(context, memory_);
    // A return address that cannot be written although the copy has just done so: let the guest find it
    // there.
    static_cast<void>(copy_->fix_up(core, slot_, data));
    vcpu.set_core(core);
  }
  copy_ = nullptr;
  return true;
}

// A fault after all: what the handler is told of lies where the guest knows it.
void Stepper::correct(const x86::CpuContext& now, const SingleStep::Frame& frame) {
  std::uint64_t pointer = 0;
  const MutableByteView field(reinterpret_cast<std::uint8_t*>(&pointer), frame.word);
  if (x86::read_virtual(now.paging, frame.at, field, memory_) != field.size()) return;
  pointer += copy_->at - slot_;
  static_cast<void>(x86::write_virtual(now.paging, frame.at, field, memory_));
}

}  // namespace ringside::hub
