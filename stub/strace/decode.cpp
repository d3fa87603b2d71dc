#include "stub/strace/decode.hpp"

#include "stub/strace/syscalls.hpp"

namespace ringside::strace {

namespace {

When when_of(const Kind& kind, const Call& call) {
  return kind.decide != nullptr ? kind.decide(call) : kind.when;
}

// The arguments from where `skip` says on.  kEntry: up to the first that has a part at the return; kReturn:
// what that has left.
class Walk {
 public:
  Walk(const Syscall& syscall, const Call& call) : syscall_(syscall), call_(call) {}

  void entry(Printer& printer) {
    for (; index_ < syscall_.argument_count; step()) {
      const When when = when_of(kind(), call_);
      if (when == When::kReturn) return;
      print(printer);
      if (when == When::kBoth) return;
    }
  }

  void skip_entry() {
    for (; index_ < syscall_.argument_count; step()) {
      if (when_of(kind(), call_) != When::kEntry) return;
    }
  }

  bool done() const { return index_ >= syscall_.argument_count; }

  // Begins where skip_entry() has stopped: at a kBoth that entry() has begun, or at a kReturn.
  void rest(Printer& at_entry, Printer& at_return) {
    bool begun = true;
    for (; index_ < syscall_.argument_count; step(), begun = false) {
      const bool both = when_of(kind(), call_) == When::kBoth;
      if (both && !begun) print(at_entry);
      both ? kind().print(at_return, at_) : print(at_return);
    }
  }

 private:
  const Kind& kind() const { return *syscall_.arguments[index_]; }
  void step() {
    at_ += call_.abi == Abi::kI386 ? kind().registers_i386 : kind().registers;
    ++index_;
  }
  void print(Printer& printer) {
    if (index_ > 0 && !kind().tail) printer.next();
    kind().print(printer, at_);
  }

  const Syscall& syscall_;
  const Call& call_;
  std::size_t index_ = 0;
  unsigned at_ = 0;
};

void print_unknown(Printer& printer) {
  for (unsigned i = 0; i < 6; ++i) {
    if (i > 0) printer.next();
    printer.hex(printer.arg(i));
  }
}

}  // namespace

void print_entry(const Call& call, const Process& process, const Style& style, Text& into) noexcept {
  Printer printer(call, process, style, into, Phase::kEntry);
  const Syscall* const syscall = find_syscall(call.abi, call.number);
  if (syscall == nullptr) return print_unknown(printer);
  Walk(*syscall, call).entry(printer);
}

void print_return(const Call& call, const Process& process, const Style& style, Text& into) noexcept {
  const Syscall* const syscall = find_syscall(call.abi, call.number);
  if (syscall == nullptr) return;
  Printer at_entry(call, process, style, into, Phase::kEntry);
  Printer at_return(call, process, style, into, Phase::kReturn);
  Walk walk(*syscall, call);
  walk.skip_entry();
  walk.rest(at_entry, at_return);
}

void print_path(Gva at, const Process& process, const Style& style, Text& into) noexcept {
  const Call call;
  Printer(call, process, style, into, Phase::kEntry).path(at.value);
}

bool complete_at_entry(const Call& call) noexcept {
  const Syscall* const syscall = find_syscall(call.abi, call.number);
  if (syscall == nullptr) return true;
  Walk walk(*syscall, call);
  walk.skip_entry();
  return walk.done();
}

bool never_returns(Abi abi, std::uint32_t number) noexcept {
  const Syscall* const syscall = find_syscall(abi, number);
  return syscall != nullptr && syscall->result == ResultKind::kNever;
}

std::string_view name_of(Abi abi, std::uint32_t number) noexcept {
  const Syscall* const syscall = find_syscall(abi, number);
  return syscall != nullptr ? syscall->name : std::string_view{};
}

ShownName::ShownName(Abi abi, std::uint32_t number) noexcept : name_(name_of(abi, number)) {
  Text text(made_up_);
  text.format("syscall_{:#x}", number);
  size_ = text.view().size();
}

}  // namespace ringside::strace
