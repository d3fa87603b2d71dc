#include "disasm/step_plan.hpp"

#include <algorithm>
#include <span>

#include <capstone/capstone.h>

#include "arch/x86/control.hpp"
#include "disasm/simple.hpp"

namespace ringside::disasm {
namespace {

CodeBytes first_bytes(ByteView code, std::size_t length) {
  CodeBytes bytes;
  bytes.length = static_cast<std::uint8_t>(length);
  std::ranges::copy(code.first(length), bytes.storage.begin());
  return bytes;
}

InPlace reason_of(LayoutFault fault) {
  switch (fault) {
    case LayoutFault::kCutOff:
      return InPlace::kCutOff;
    case LayoutFault::kVendor:
      return InPlace::kVendor;
    case LayoutFault::kUnknown:
      break;
  }
  return InPlace::kUndecodable;
}

bool is_string_instruction(const InsnLayout& layout) {
  const std::uint8_t op = layout.opcode;
  return layout.map == 0 && ((op >= 0xa4 && op <= 0xa7) || (op >= 0xaa && op <= 0xaf));
}

RunInScratch copy_of(const InsnLayout& layout, const CodeBytes& code, Gva at, std::uint8_t operand_bytes) {
  RunInScratch copy;
  copy.at = at;
  copy.code = code;
  if (layout.rip_relative()) copy.rip_field = layout.displacement_at;
  copy.calls = layout.map == 0 && layout.opcode == 0xff && layout.group() == 2;
  copy.repeats = layout.repeat != 0 && is_string_instruction(layout);
  copy.stores_flags = layout.map == 0 && layout.opcode == 0x9c;
  copy.accesses = accesses_of(layout, operand_bytes);
  return copy;
}

}  // namespace

std::optional<CodeBytes> RunInScratch::encode(Gva slot) const {
  CodeBytes copy = code;
  if (rip_field == 0) return copy;
  std::uint8_t* field = copy.storage.data() + rip_field;
  const auto distance = load<std::int32_t>(field);
  // In 64 bits nothing is lost: it is this sum that must fit in 32 again.
  const auto moved = static_cast<std::int64_t>(at - slot);
  std::int64_t adjusted = 0;
  if (__builtin_add_overflow(moved, std::int64_t{distance}, &adjusted)) return std::nullopt;
  const auto narrow = static_cast<std::int32_t>(adjusted);
  if (narrow != adjusted) return std::nullopt;
  store(field, narrow);
  return copy;
}

bool RunInScratch::may_run(const x86::CpuContext& cpu) const {
  if (cpu.code_size() != x86::CodeSize::k64 || cpu.cs.cpl != 0) return false;
  if ((cpu.core.rflags & x86::rflags::kTf) != 0) return false;
  return !calls || (cpu.paging.cr4 & x86::cr4::kCet) == 0;
}

bool RunInScratch::will_not_fault(const x86::CpuContext& cpu, const SegmentBases& bases,
                                  const PhysicalMemory& memory) const {
  return disasm::will_not_fault(accesses, cpu, bases, at + code.length, memory);
}

bool RunInScratch::fix_up(x86::CoreRegs& after, Gva slot, x86::DataAccess& data) const {
  const Gva behind = slot + code.length;
  const std::uint64_t next = (at + code.length).value;
  if (calls && after.rip != slot.value) {
    const Gva top{after.gpr[x86::kRsp]};
    std::uint64_t back = 0;
    if (!data.read(top, {reinterpret_cast<std::uint8_t*>(&back), sizeof back})) return false;
    // Anything else is an exception's frame: the call has not happened.
    if (back == behind.value && !data.write(top, bytes_of(next))) return false;
    return true;
  }
  if (after.rip == slot.value) after.rip = at.value;
  if (after.rip == behind.value) after.rip = next;
  return true;
}

bool StepPlan::is_of(ByteView now) const {
  return original.length != 0 && now.size() >= original.length &&
         std::ranges::equal(original.view(), now.first(original.length));
}

struct StepPlanner::Engine {
  csh handle = 0;
  cs_insn* insn = nullptr;
  Engine() = default;
  Engine(const Engine&) = delete;
  Engine& operator=(const Engine&) = delete;
  ~Engine() {
    if (insn != nullptr) cs_free(insn, 1);
    if (handle != 0) cs_close(&handle);
  }

  // Bytes of the memory operand (0: there is none), if Capstone finds an instruction of the same length.
  std::optional<std::uint8_t> second_opinion(ByteView code, const InsnLayout& layout, Gva at) const {
    const std::uint8_t* next = code.data();
    std::size_t left = layout.length;
    std::uint64_t address = at.value;
    if (!cs_disasm_iter(handle, &next, &left, &address, insn) || left != 0) return std::nullopt;
    // Its word on reading and writing is not asked for: 4.0 says that setb and rolb only read.
    const std::span operands(insn->detail->x86.operands, insn->detail->x86.op_count);
    const auto operand = std::ranges::find(operands, X86_OP_MEM, &cs_x86_op::type);
    return operand == operands.end() ? std::uint8_t{0} : operand->size;
  }
};

StepPlanner::StepPlanner(std::unique_ptr<Engine> engine) : engine_(std::move(engine)) {}
StepPlanner::StepPlanner(StepPlanner&&) noexcept = default;
StepPlanner& StepPlanner::operator=(StepPlanner&&) noexcept = default;
StepPlanner::~StepPlanner() = default;

Result<StepPlanner> StepPlanner::create() {
  auto engine = std::make_unique<Engine>();
  const cs_err error = cs_open(CS_ARCH_X86, CS_MODE_64, &engine->handle);
  if (error != CS_ERR_OK) return fail(Errc::kSystem, std::string("Capstone: ") + cs_strerror(error));
  cs_option(engine->handle, CS_OPT_DETAIL, CS_OPT_ON);
  engine->insn = cs_malloc(engine->handle);
  if (engine->insn == nullptr) return fail(Errc::kSystem, "Capstone: out of memory");
  return StepPlanner(std::move(engine));
}

StepPlan StepPlanner::plan(ByteView code, Gva at) const {
  const auto layout = read_layout(code);
  if (!layout) return {{}, StepInPlace{reason_of(layout.error())}};
  const auto operand_bytes = engine_->second_opinion(code, *layout, at);
  if (!operand_bytes) return {{}, StepInPlace{InPlace::kUndecodable}};
  const CodeBytes original = first_bytes(code, layout->length);
  if (const auto simple = simple_insn(*layout)) return {original, *simple};
  if (const auto why = in_place_reason(*layout)) return {original, StepInPlace{*why}};
  return {original, copy_of(*layout, original, at, *operand_bytes)};
}

}  // namespace ringside::disasm
