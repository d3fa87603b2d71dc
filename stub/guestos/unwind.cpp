#include "stub/guestos/unwind.hpp"

#include <array>

#include "stub/guestos/module_lookup.hpp"

namespace ringside::guestos {
namespace {

constexpr unsigned kMostStackChanges = 8;  // task, softirq, interrupt, exceptions on stacks of their own
constexpr std::uint32_t kMostModulesSeen = 8192;  // by one walk

// struct pt_regs (arch/x86/include/asm/ptrace.h), as words.
constexpr std::size_t kRegsWords = 21;
enum RegsWord : std::size_t {
  kR13 = 2,
  kBp = 4,
  kR10 = 7,
  kAx = 10,
  kDx = 12,
  kDi = 14,
  kIp = 16,
  kCs = 17,
  kSp = 19
};
constexpr std::uint64_t kIretFrame = 16 * 8;  // where its second part begins, which the CPU pushes

using Reg = OrcEntry::Reg;
using Type = OrcEntry::Type;

bool is_user(std::uint64_t cs) { return (cs & 3) != 0; }

std::uint64_t plus(std::uint64_t value, std::int16_t offset) {
  return value + static_cast<std::uint64_t>(std::int64_t{offset});
}

}  // namespace

struct Unwinder::State {
  StackRegisters at;
  bool interrupted = true;  // where it stands, instead of having called
  unsigned stack_changes = 0;
  std::uint32_t fuel = kMostModulesSeen;
  Gva user_regs;
  const VirtualMemory* memory;

  std::optional<std::uint64_t> word(std::uint64_t address) const noexcept {
    return memory->load_at<std::uint64_t>(Gva{address});
  }
  // The entry that counts is that of the instruction before a return address.
  Gva place() const { return interrupted ? at.ip : at.ip - 1; }

  Step to(Gva ip, std::uint64_t sp, bool may_change_stack) noexcept {
    if (sp <= at.sp.value && (!may_change_stack || ++stack_changes > kMostStackChanges)) return Step::kLost;
    at.ip = ip;
    at.sp = Gva{sp};
    return Step::kOn;
  }
  // All registers are in the frame, or only those that the CPU has pushed.
  Step to_regs(std::uint64_t where, bool all) noexcept;
  std::optional<std::uint64_t> cfa(const OrcEntry& entry) const noexcept;
};

// The canonical frame address: what the stack pointer is above this frame, or where registers are kept.
std::optional<std::uint64_t> Unwinder::State::cfa(const OrcEntry& entry) const noexcept {
  const auto other = [&](std::uint64_t StackRegisters::Others::*which) -> std::optional<std::uint64_t> {
    if (!at.others) return std::nullopt;
    return plus((*at.others).*which, entry.sp_offset);
  };
  switch (entry.sp_reg) {
    case Reg::kSp:
      return plus(at.sp.value, entry.sp_offset);
    case Reg::kBp:
      return plus(at.bp, entry.sp_offset);
    case Reg::kSpIndirect: {
      const auto kept = word(at.sp.value);
      return kept ? std::optional(plus(*kept, entry.sp_offset)) : std::nullopt;
    }
    case Reg::kBpIndirect:
      return word(plus(at.bp, entry.sp_offset));
    case Reg::kR10:
      return other(&StackRegisters::Others::r10);
    case Reg::kR13:
      return other(&StackRegisters::Others::r13);
    case Reg::kDi:
      return other(&StackRegisters::Others::di);
    case Reg::kAx:
      return other(&StackRegisters::Others::ax);
    case Reg::kDx:
      return other(&StackRegisters::Others::dx);
    default:
      return std::nullopt;
  }
}

Unwinder::Step Unwinder::State::to_regs(std::uint64_t where, bool all) noexcept {
  std::array<std::uint64_t, kRegsWords> regs{};
  const std::uint64_t skipped = all ? 0 : kIretFrame;
  const MutableByteView bytes(reinterpret_cast<std::uint8_t*>(regs.data()), sizeof regs);
  if (!memory->read(Gva{where + skipped}, bytes.subspan(skipped))) return Step::kLost;
  if (is_user(regs[kCs])) {
    user_regs = Gva{where};
    return Step::kUser;
  }
  const Step step = to(Gva{regs[kIp]}, regs[kSp], true);
  if (!all || step != Step::kOn) return step;
  at.bp = regs[kBp];
  at.others = StackRegisters::Others{regs[kAx], regs[kDx], regs[kDi], regs[kR10], regs[kR13]};
  return step;
}

Unwinder::Unwinder(const SymbolTable& symbols, const Btf* btf, const std::optional<ModuleLayout>& modules,
                   const VirtualMemory& memory)
    : symbols_(symbols), orc_(OrcTables::find(symbols, btf, modules, memory)), modules_(modules) {
  const auto range = [&symbols](std::string_view begin, std::string_view end) {
    return GvaRange{symbols.find(begin).value_or(Gva{}), symbols.find(end).value_or(Gva{})};
  };
  text_ = range("_stext", "_etext");
  init_text_ = range("_sinittext", "_einittext");
}

Unwinder::Owner Unwinder::owner(State& state) const noexcept {
  const Gva at = state.place();
  if (text_.contains(at) || init_text_.contains(at)) return {.known = true, .module = {}};
  if (!modules_) return {};
  const auto module = find_module(*modules_, at, *state.memory, state.fuel);
  return {.known = module.has_value(), .module = module};
}

Unwinder::Step Unwinder::by_orc(const OrcEntry& entry, State& state) const noexcept {
  if (entry.type == Type::kUndefined) return Step::kLost;
  if (entry.type == Type::kEndOfStack) return Step::kTop;
  const auto cfa = state.cfa(entry);
  if (!cfa) return Step::kLost;
  const std::uint64_t old_bp = state.at.bp;
  Step step = Step::kLost;
  if (entry.type == Type::kCall) {
    const auto ip = state.word(*cfa - 8);
    if (!ip) return Step::kLost;
    step = state.to(Gva{*ip}, *cfa, entry.sp_reg != Reg::kSp);
    state.at.others.reset();
  } else if (entry.type == Type::kRegs) {
    step = state.to_regs(*cfa, true);
  } else {
    step = state.to_regs(*cfa - kIretFrame, false);
  }
  state.interrupted = entry.signal;
  if (step != Step::kOn || (entry.bp_reg != Reg::kPreviousSp && entry.bp_reg != Reg::kBp)) return step;
  const std::uint64_t base = entry.bp_reg == Reg::kBp ? old_bp : *cfa;
  const auto bp = state.word(plus(base, entry.bp_offset));
  if (!bp) return Step::kLost;
  state.at.bp = *bp;
  return step;
}

// A probe stands at a function's begin, before the frame is made.
bool Unwinder::stands_at_begin(const State& state) const noexcept {
  constexpr std::uint64_t kLongestPrologue = 4 + 5;  // endbr64, and ftrace's place
  if (!state.interrupted) return false;
  const auto symbol = symbols_.at_or_before(state.at.ip);
  return symbol && state.at.ip - symbol->at <= kLongestPrologue;
}

// The caller's bp, and above it the return address.  Where registers are kept, bp has their place with its
// lowest bit set (arch/x86/include/asm/frame.h, ENCODE_FRAME_POINTER).
Unwinder::Step Unwinder::by_frame_pointer(State& state) const noexcept {
  state.at.others.reset();
  if (stands_at_begin(state)) {
    const auto ip = state.word(state.at.sp.value);
    state.interrupted = false;
    return ip ? state.to(Gva{*ip}, state.at.sp.value + 8, false) : Step::kLost;
  }
  const std::uint64_t bp = state.at.bp;
  if (bp == 0) return Step::kTop;
  if ((bp & 1) != 0) {
    state.interrupted = true;
    return state.to_regs(bp - 1, true);
  }
  const auto link = state.memory->load_at<std::array<std::uint64_t, 2>>(Gva{bp});
  if (!link) return Step::kLost;
  state.interrupted = false;
  state.at.bp = (*link)[0];
  return state.to(Gva{(*link)[1]}, bp + 16, true);
}

Unwinder::Step Unwinder::past_stranger(State& state) const noexcept {
  State beyond = state;
  const Step step = by_frame_pointer(beyond);
  if (step == Step::kTop || (step == Step::kOn && !owner(beyond).known)) return Step::kLost;
  state = beyond;
  return step;
}

Unwinder::Step Unwinder::next(State& state) const noexcept {
  const Owner code = owner(state);
  if (!code.known) return past_stranger(state);
  if (!orc_) return by_frame_pointer(state);
  const auto entry = code.module ? orc_->in_module(state.place(), *code.module, *state.memory)
                                 : orc_->in_kernel(state.place(), *state.memory);
  return entry ? by_orc(*entry, state) : by_frame_pointer(state);
}

StackWalk Unwinder::walk(const StackRegisters& from, const VirtualMemory& memory,
                         std::span<StackFrame> into) const noexcept {
  StackWalk walk;
  State state{.at = from, .interrupted = !from.behind_call, .user_regs = {}, .memory = &memory};
  for (;;) {
    if (walk.frames == into.size()) {
      walk.end = StackWalk::End::kFull;
      return walk;
    }
    into[walk.frames++] = {.ip = state.at.ip, .behind_call = !state.interrupted};
    switch (next(state)) {
      case Step::kOn:
        break;
      case Step::kUser:
        walk.end = StackWalk::End::kUser;
        walk.user_regs = state.user_regs;
        return walk;
      case Step::kTop:
        walk.end = StackWalk::End::kTop;
        return walk;
      case Step::kLost:  // what is no code has not been a frame
        if (walk.frames > 1 && !owner(state).known) --walk.frames;
        return walk;
    }
  }
}

std::optional<StackRegisters> Unwinder::sleeping(const SleepLayout& layout, Gva task,
                                                 const VirtualMemory& memory) const noexcept {
  const auto sp = memory.load_at<std::uint64_t>(task + layout.saved_sp);
  if (!sp) return std::nullopt;
  const auto bp = memory.load_at<std::uint64_t>(Gva{*sp} + layout.frame_bp);
  const auto ip = memory.load_at<std::uint64_t>(Gva{*sp} + layout.frame_ret_addr);
  if (!bp || !ip) return std::nullopt;
  const auto symbol = symbols_.at_or_before(Gva{*ip});
  const bool has_run = !symbol || symbol->at != Gva{*ip};  // a new task begins with ret_from_fork
  return StackRegisters{
      .ip = Gva{*ip}, .sp = Gva{*sp} + layout.frame_bytes, .bp = *bp, .behind_call = has_run};
}

}  // namespace ringside::guestos
