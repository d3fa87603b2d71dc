// Guest bytes as code: planned, and carried out as far as that needs no CPU.  The registers come from the
// same input, behind the instruction.
#include <algorithm>
#include <cstdlib>
#include <cstring>

#include "disasm/step_plan.hpp"

namespace {

using namespace ringside;

constexpr Gva kAt{0xffff'ffff'8100'0000}, kSlot{0xffff'ffff'bfe0'0000};

// Grants everything and keeps nothing.
class AnyData final : public x86::DataAccess {
 public:
  explicit AnyData(ByteView source) : source_(source) {}
  bool read(Gva from, MutableByteView to) const noexcept override {
    for (std::size_t i = 0; i < to.size(); ++i) {
      to[i] = source_.empty() ? 0 : source_[(from.value + i) % source_.size()];
    }
    return true;
  }
  bool write(Gva, ByteView) noexcept override { return true; }

 private:
  ByteView source_;
};

void require(bool holds) {
  if (!holds) std::abort();
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const disasm::StepPlanner planner = std::move(disasm::StepPlanner::create()).value();
  const ByteView input(data, size);
  const disasm::StepPlan plan = planner.plan(input, kAt);
  require(plan.original.length <= std::min<std::size_t>(size, 15));
  require(plan.is_of(input) == (plan.original.length != 0));
  x86::CoreRegs regs;
  const ByteView rest = input.subspan(plan.original.length);
  std::memcpy(regs.gpr.data(), rest.data(), std::min(rest.size(), sizeof regs.gpr));
  regs.rip = kAt.value;
  AnyData memory(rest);
  if (const auto* simple = std::get_if<x86::SimpleInsn>(&plan.how)) {
    require(simple->length == plan.original.length);
    (void)x86::emulate(*simple, regs, memory);
  }
  if (const auto* copy = std::get_if<disasm::RunInScratch>(&plan.how)) {
    require(copy->encode(kAt) == plan.original);
    (void)copy->encode(kSlot);
    regs.rip = kSlot.value + copy->code.length;
    require(copy->fix_up(regs, kSlot, memory));
  }
  return 0;
}
