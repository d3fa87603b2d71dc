#include "stub/hub/single_step.hpp"

#include <algorithm>

#include "arch/x86/control.hpp"
#include "arch/x86/debug_regs.hpp"
#include "arch/x86/paging.hpp"
#include "stub/hub/vcpu_environment.hpp"

namespace ringside::hub {
namespace {

using disasm::Landing;
using disasm::Landings;

// What the vCPU has beyond its context, fetched when first asked for.
class Fetched final : public disasm::SystemRegisters {
 public:
  Fetched(api::VcpuAccess& vcpu, x86::RegisterFile& registers) : vcpu_(vcpu), registers_(registers) {}

  std::uint64_t value(x86::Reg reg) noexcept override {
    const x86::RegGroup group = x86::info(reg).group;
    if (!fetched_.contains(group)) {
      if (!vcpu_.read(group, registers_)) return 0;
      fetched_ |= group;
    }
    return registers_.u64(reg);
  }

 private:
  api::VcpuAccess& vcpu_;
  x86::RegisterFile& registers_;
  x86::RegGroups fetched_;
};

std::uint64_t data_bits(const x86::DebugSlots& slots) {
  std::uint64_t bits = 0;
  for (unsigned i = 0; i < slots.size(); ++i) {
    if (slots[i] && slots[i]->kind != x86::WatchKind::kExecute) bits |= x86::bit(i);
  }
  return bits;
}

constexpr std::size_t kTwoInstructions = 2 * disasm::kLongestInstruction;

// The guest's own code from RIP on, as far as it is mapped.
ByteView code_at(const x86::CpuContext& cpu, const PhysicalMemory& memory, const PointSnapshot& points,
                 std::array<std::uint8_t, kTwoInstructions>& storage) {
  const Gva at = cpu.linear_rip();
  const MutableByteView all(storage);
  if (read_own_bytes(cpu.paging, memory, points, at, all)) return all;
  const MutableByteView some = all.first(std::min(all.size(), bytes_to_page_end(at)));
  if (read_own_bytes(cpu.paging, memory, points, at, some)) return some;
  return {};
}

}  // namespace

bool SingleStep::begin(api::VcpuAccess& vcpu, const PointSnapshot& points, api::DebugWish wish,
                       x86::RegisterFile& registers) {
  before_ = vcpu.context();
  std::array<std::uint8_t, kTwoInstructions> storage;
  Fetched system(vcpu, registers);
  landings_ = find_landings(code_at(before_, memory_, points, storage), before_, system, memory_);
  waiting_.fill(std::nullopt);
  frame_.reset();
  data_bits_ = data_bits(wish.slots);
  const Gva here = before_.linear_rip();
  for (const Landing& landing : landings_.list()) {
    if (landing.at == here) continue;  // a handler's first instruction: it would be met before it is executed
    if (!place(landing, before_.core, here, wish)) break;
  }
  const bool watched = landings_.way == Landings::Way::kTrapFollows ||
                       (landings_.way == Landings::Way::kToFirst && landed_at(landings_.storage[0].at));
  wish.step = true;
  if (!watched) wish.hold_interrupts = false;  // whatever it leads to may need them
  lets_interrupts_in_ = !wish.hold_interrupts;
  vcpu.set_debug(wish);
  active_ = true;
  return watched;
}

// In a free register, else in that of a breakpoint; not of the one here, unless RF says that it has been met.
bool SingleStep::place(const Landing& landing, const x86::CoreRegs& core, Gva here, api::DebugWish& wish) {
  const bool passes_here = (core.rflags & x86::rflags::kRf) != 0;
  const auto may_take = [&](std::size_t i, bool only_free) {
    if (waiting_[i]) return false;
    const auto& slot = wish.slots[i];
    if (only_free || !slot) return !slot.has_value();
    return slot->kind == x86::WatchKind::kExecute && (passes_here || slot->at != here);
  };
  for (const bool only_free : {true, false}) {
    for (std::size_t i = 0; i < wish.slots.size(); ++i) {
      if (!may_take(i, only_free)) continue;
      wish.slots[i] = x86::DebugSlot{.at = landing.at};
      waiting_[i] = landing;
      return true;
    }
  }
  return false;
}

const Landing* SingleStep::landed_at(Gva at) const {
  const auto found = std::ranges::find_if(
      waiting_, [at](const auto& landing) { return landing.has_value() && landing->at == at; });
  return found == waiting_.end() ? nullptr : &**found;
}

bool SingleStep::about_to_end(api::VcpuAccess& vcpu) const {
  if (!active_) return false;
  const Gva now = vcpu.context().linear_rip();
  return now != before_.linear_rip() && landed_at(now) != nullptr;
}

bool SingleStep::finish(api::VcpuAccess& vcpu, api::DebugExit& exit, x86::RegisterFile& registers) {
  const x86::CpuContext now = vcpu.context();
  const Gva here = now.linear_rip();
  const Landing* landed = landed_at(here);
  if (landed == nullptr && (exit.dr6 & x86::dr6::kBs) == 0) return false;
  active_ = false;
  const bool own_trap = (before_.core.rflags & x86::rflags::kTf) != 0;
  Fetched system(vcpu, registers);
  if (!own_trap) clean_up(vcpu, now, landed, system);
  exit.dr6 = (exit.dr6 & data_bits_) | x86::dr6::kBs;
  return true;
}

void SingleStep::clean_up(api::VcpuAccess& vcpu, const x86::CpuContext& now, const Landing* landed,
                          disasm::SystemRegisters& system) {
  const Gva top = disasm::stack_top(now, system);
  if (landed == nullptr) {
    const std::uint64_t moved = now.core.rip - before_.core.rip;
    if (landings_.pushf_end != 0 && moved == landings_.pushf_end) {
      clear_tf(now, top);
    } else if (lets_interrupts_in_ && (now.paging.efer & x86::efer::kLma) != 0) {
      clean_frame(now, top, 8);  // where one has come; its handler need not be where it stopped
    }
  } else if (landed->kind == Landing::Kind::kEntry) {
    x86::CoreRegs core = now.core;
    core.gpr[x86::kR11] &= ~x86::rflags::kTf;
    vcpu.set_core(core);
  } else if (landed->kind == Landing::Kind::kGate) {
    clean_frame(now, landed->error_code ? top + landed->word : top, landed->word);
  }
}

// | instruction pointer | code segment | flags | stack pointer | …, a word each (SDM 3A 6.12.1, 6.14.2).
void SingleStep::clean_frame(const x86::CpuContext& now, Gva top, std::uint8_t word) {
  if (!looks_like_its_frame(now, top, word)) return;
  frame_ = Frame{.at = top, .word = word};
  clear_tf(now, top + 2u * word);
}

// What lies there may be anything, and must not be touched then.
bool SingleStep::looks_like_its_frame(const x86::CpuContext& now, Gva top, std::uint8_t word) const {
  constexpr std::size_t kPointer = 0, kSelector = 1, kStackPointer = 3;
  const auto field = [&](std::size_t index) {
    std::uint64_t value = 0;
    const MutableByteView bytes(reinterpret_cast<std::uint8_t*>(&value), word);
    const bool readable = x86::read_virtual(now.paging, top + index * word, bytes, memory_) == word;
    return readable ? std::optional(value) : std::nullopt;
  };
  const auto pointer = field(kPointer), selector = field(kSelector);
  if (!pointer || !selector) return false;
  if (*pointer - before_.core.rip > kTwoInstructions) return false;
  if (static_cast<std::uint16_t>(*selector) != before_.cs.selector) return false;
  return word != 8 || field(kStackPointer) == before_.core.gpr[x86::kRsp];  // in long mode it is always there
}

// TF alone: the flags' second byte.
void SingleStep::clear_tf(const x86::CpuContext& now, Gva flags) {
  constexpr std::uint8_t kTfInSecondByte = x86::rflags::kTf >> 8;
  std::uint8_t byte = 0;
  const MutableByteView view(&byte, 1);
  if (x86::read_virtual(now.paging, flags + 1, view, memory_) != 1 || (byte & kTfInSecondByte) == 0) return;
  byte &= static_cast<std::uint8_t>(~kTfInSecondByte);
  // Read and not writable is impossible: the CPU has just stored it.
  static_cast<void>(x86::write_virtual(now.paging, flags + 1, view, memory_));
}

}  // namespace ringside::hub
