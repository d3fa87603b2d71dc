#include "tests/kvm/two_ways.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include "tests/kvm/aim.hpp"
#include "tests/kvm/guest_testing.hpp"

namespace ringside::test {
namespace {

using disasm::InsnLayout;
using disasm::RunInScratch;
using disasm::StepInPlace;
using disasm::StepPlan;
using x86::SimpleInsn;

constexpr disasm::SegmentBases kBases{.fs = TwoWays::kFsBase, .gs = TwoWays::kGsBase};

// Half of the words are addresses of code, for what jumps or returns through memory.
void fill(MutableByteView area) {
  std::mt19937_64 random(42);
  for (std::size_t at = 0; at < area.size(); at += 8) {
    const std::uint64_t word = random();
    store(area.data() + at, at % 16 == 0 ? TwoWays::kAt + word % 0x1800 : word);
  }
}

// The CPU has used every page before: accessed and dirty are set in the three tables (tiny_guest.hpp).
void set_accessed_and_dirty(MutableByteView memory) {
  constexpr std::size_t kTables[] = {0x1000, 0x2000, 0x3000};
  for (const std::size_t table : kTables) memory[table] |= 0x60;
}

bool cannot_be_compared(const InsnLayout& layout) {
  if (layout.map == 0 && layout.opcode == 0x90) return layout.repeat != 0;     // pause: step_test.cpp
  if (layout.map == 0) return layout.opcode == 0x9c || layout.opcode == 0x9d;  // pushf, popf: TF
  if (layout.map != 1) return false;
  switch (layout.opcode) {
    case 0x01:  // swapgs and its like
    case 0x06:  // clts
    case 0x08:
    case 0x09:  // invd, wbinvd
    case 0x20:  // mov from cr
    case 0x31:  // rdtsc
    case 0xa2:  // cpuid
      return true;
    case 0xc7:  // rdrand, rdseed, rdpid
      return !layout.has_memory();
    default:
      return false;
  }
}

std::string text_of(const x86::CoreRegs& regs) {
  return fmt::format("rip {:x} rflags {:x} gpr {:x}", regs.rip, regs.rflags, fmt::join(regs.gpr, " "));
}

}  // namespace

TwoWays::TwoWays(const kvm::System& system)
    : system_(system), planner_(must(disasm::StepPlanner::create())), image_(kAreaEnd) {
  boot();
}

void TwoWays::boot() {
  guest_ = must(run::TinyGuest::create(system_, {}));
  for (std::uint8_t vector = 0; vector < 32; ++vector) guest_->handle(vector, Code{kHlt});
  kvm_sregs sregs = guest_->vcpu().sregs();
  sregs.fs.base = kFsBase;
  sregs.gs.base = kGsBase;
  guest_->vcpu().set_sregs(sregs);
  RS_CHECK(guest_->read(Gpa{0}, image_));
  set_accessed_and_dirty(image_);
  fill(MutableByteView(image_).subspan(kArea));
}

void TwoWays::restore_memory() { RS_CHECK(guest_->write(Gpa{0}, image_)); }

TwoWays::State TwoWays::state() {
  State now{guest_->vcpu().core(), Bytes(image_.size())};
  RS_CHECK(guest_->read(Gpa{0}, now.memory));
  std::fill(now.memory.begin() + kAt, now.memory.begin() + kArea, std::uint8_t{0});
  return now;
}

bool TwoWays::step(ByteView code, Gva at, x86::CoreRegs regs) {
  regs.rip = at.value;
  RS_CHECK(guest_->write(Gpa{at.value}, code));
  guest_->vcpu().set_core(regs);
  guest_->vcpu().set_debug(step_wish());
  const kvm::Exit exit = guest_->vcpu().run();
  if (std::holds_alternative<api::DebugExit>(exit)) return true;
  // A handler's hlt is a fault.  After anything else the guest is as good as new only when it is new.
  if (!std::holds_alternative<kvm::Halted>(exit)) boot();
  return false;
}

Way TwoWays::fault_was_foreseen(const StepPlan& plan, const x86::CpuContext& cpu) {
  restore_memory();
  if (const auto* simple = std::get_if<SimpleInsn>(&plan.how)) {
    x86::CoreRegs regs = cpu.core;
    x86::GuestData data(cpu, *guest_);
    if (x86::emulate(*simple, regs, data) != x86::EmulateResult::kDone) return Way::kFaults;
    complaint_ = fmt::format("{:02x}: faults, and is emulated; from {}", fmt::join(plan.original.view(), " "),
                             text_of(cpu.core));
    return Way::kDifferent;
  }
  const auto* copy = std::get_if<RunInScratch>(&plan.how);
  if (copy == nullptr || !copy->will_not_fault(cpu, kBases, *guest_)) return Way::kFaults;
  complaint_ = fmt::format("{:02x}: faults, which was ruled out; from {}",
                           fmt::join(plan.original.view(), " "), text_of(cpu.core));
  return Way::kDifferent;
}

Way TwoWays::emulated(const SimpleInsn& insn, const x86::CpuContext& cpu) {
  x86::CoreRegs regs = cpu.core;
  x86::GuestData data(cpu, *guest_);
  if (!x86::may_emulate(insn, cpu)) return Way::kRefused;
  if (x86::emulate(insn, regs, data) != x86::EmulateResult::kDone) return Way::kRefused;
  guest_->vcpu().set_core(regs);
  return Way::kSame;
}

Way TwoWays::copied(const RunInScratch& copy, const x86::CpuContext& cpu) {
  const auto code = copy.encode(Gva{kSlot});
  if (!code || !copy.may_run(cpu)) return Way::kRefused;
  const bool sure = copy.will_not_fault(cpu, kBases, *guest_);
  if (!step(code->view(), Gva{kSlot}, cpu.core)) return Way::kDifferent;
  x86::CpuContext after = guest_->vcpu().context();
  x86::GuestData data(after, *guest_);
  x86::CoreRegs regs = after.core;
  if (!copy.fix_up(regs, Gva{kSlot}, data)) return Way::kRefused;
  guest_->vcpu().set_core(regs);
  return sure ? Way::kSame : Way::kSameThoughDoubted;
}

Way TwoWays::judge(const StepPlan& plan, const State& planned) {
  if (planned == native_) return Way::kSame;
  const auto apart = std::ranges::mismatch(planned.memory, native_.memory).in1 - planned.memory.begin();
  complaint_ = fmt::format(
      "{:02x}: differs\n  guest: {}\n  plan:  {}\n  memory differs from {:x} on (it ends at {:x})",
      fmt::join(plan.original.view(), " "), text_of(native_.regs), text_of(planned.regs), apart, kAreaEnd);
  return Way::kDifferent;
}

Way TwoWays::compare(ByteView code, std::mt19937_64& random) {
  const Aimed aimed = aim(code, random);
  return compare(aimed.code, aimed.regs);
}

Way TwoWays::compare(ByteView code, const x86::CoreRegs& start) {
  const StepPlan plan = planner_.plan(code, Gva{kAt});
  if (std::holds_alternative<StepInPlace>(plan.how)) return Way::kInPlace;
  if (cannot_be_compared(*disasm::read_layout(plan.original.view()))) return Way::kSkipped;
  const auto* copy = std::get_if<RunInScratch>(&plan.how);
  if (copy != nullptr && copy->accesses.unpredictable) return Way::kInPlace;

  restore_memory();
  x86::CpuContext cpu = guest_->vcpu().context();
  cpu.core = start;
  cpu.core.rip = kAt;
  if (!step(plan.original.view(), Gva{kAt}, cpu.core)) return fault_was_foreseen(plan, cpu);
  native_ = state();

  restore_memory();
  const Way way = copy != nullptr ? copied(*copy, cpu) : emulated(std::get<SimpleInsn>(plan.how), cpu);
  if (way == Way::kRefused) return way;
  const Way judged = judge(plan, state());
  return judged == Way::kSame ? way : judged;
}

}  // namespace ringside::test
