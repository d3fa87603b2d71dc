// Arguments of calls on signals: sets, actions, stacks, events.
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace {

namespace {

constexpr std::uint64_t kSetSize = 8;            // NSIG / 8
constexpr std::uint32_t kRestorer = 0x04000000;  // SA_RESTORER

void print_handler_address(Printer& printer, std::uint64_t handler) {
  constexpr Name kHandlers[] = {{0, "SIG_DFL"}, {1, "SIG_IGN"}};
  constexpr std::uint64_t kErrorHandler = ~std::uint64_t{0};
  if (handler == kErrorHandler || (printer.i386() && handler == 0xffffffff)) return printer.text("SIG_ERR");
  const std::string_view name = find_name({kHandlers, {}}, handler);
  name.empty() ? printer.hex(handler) : printer.text(name);
}

struct Action {
  std::uint64_t handler, flags, restorer;
  std::array<std::uint8_t, 8> mask;
};

// handler, flags, restorer, mask: longs, and a set (Linux: include/linux/signal_types.h).
std::optional<Action> load_action(const Printer& printer, std::uint64_t at) {
  const std::uint64_t word = printer.word_size();
  const auto handler = printer.load_word(at);
  const auto flags = printer.load_word(at + word);
  const auto restorer = printer.load_word(at + 2 * word);
  const auto mask = printer.load<std::array<std::uint8_t, 8>>(at + 3 * word);
  if (!handler || !flags || !restorer || !mask) return std::nullopt;
  return Action{*handler, *flags, *restorer, *mask};
}

// The old one of i386 has a set of one word behind the handler.
std::optional<Action> load_old_action(const Printer& printer, std::uint64_t at) {
  const auto words = printer.load<std::array<std::uint32_t, 4>>(at);
  if (!words) return std::nullopt;
  Action action{(*words)[0], (*words)[2], (*words)[3], {}};
  store(action.mask.data(), (*words)[1]);
  return action;
}

void print_action(Printer& printer, std::uint64_t at, const std::optional<Action>& action,
                  std::size_t mask_bytes) {
  if (!action) return printer.pointer(at);
  printer.text("{sa_handler=");
  print_handler_address(printer, action->handler);
  printer.text(", sa_mask=");
  printer.signal_set(ByteView(action->mask).first(mask_bytes));
  printer.text(", sa_flags=");
  printer.flags(names::sigaction_flags, action->flags);
  if ((action->flags & kRestorer) != 0) {
    printer.text(", sa_restorer=");
    printer.pointer(action->restorer);
  }
  printer.text("}");
}

void print_stack(Printer& printer, std::uint64_t at) {
  const std::uint64_t word = printer.word_size();
  const auto base = at == 0 ? std::nullopt : printer.load_word(at);
  const auto flags = at == 0 ? std::nullopt : printer.load<std::uint32_t>(at + word);
  const auto size = at == 0 ? std::nullopt : printer.load_word(at + 2 * word);
  if (!base || !flags || !size) return printer.pointer(at);
  printer.text("{ss_sp=");
  printer.pointer(*base);
  printer.text(", ss_flags=");
  printer.flags(names::sigaltstack_flags, *flags);
  printer.format(", ss_size={}}}", *size);
}

void print_old_set(Printer& printer, std::uint32_t set) {
  std::array<std::uint8_t, 4> bytes;
  store(bytes.data(), set);
  printer.signal_set(bytes);
}

}  // namespace

void print_signal_set(Printer& printer, std::uint64_t at, std::uint64_t size) {
  std::array<std::uint8_t, kSetSize> set{};
  // A set of another size is not what the kernel takes; strace shows those that are words.
  if (at == 0 || size != kSetSize || !printer.read(at, set)) return printer.pointer(at);
  printer.signal_set(set);
}

namespace arguments {

void print_signal_(Printer& printer, unsigned at) { printer.signal(printer.uint_arg(at)); }
void print_handler(Printer& printer, unsigned at) { print_handler_address(printer, printer.arg(at)); }

void print_sigaction_in(Printer& printer, unsigned at) {
  const std::uint64_t where = printer.arg(at);
  if (where == 0) return printer.text("NULL");
  print_action(printer, where, load_action(printer, where), 8);
}
void print_sigaction_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_sigaction_in(printer, at);
}
void print_old_sigaction_in(Printer& printer, unsigned at) {
  const std::uint64_t where = printer.arg(at);
  if (where == 0) return printer.text("NULL");
  print_action(printer, where, load_old_action(printer, where), 4);
}
void print_old_sigaction_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_old_sigaction_in(printer, at);
}

void print_sigset_in(Printer& printer, unsigned at) {
  print_signal_set(printer, printer.arg(at), printer.arg(3));  // rt_sigprocmask
}
void print_sigset_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_sigset_in(printer, at);
}
void print_sigset_pending(Printer& printer, unsigned at) {
  if (printer.failed()) return printer.pointer(printer.arg(at));
  print_signal_set(printer, printer.arg(at), printer.arg(at + 1));
}
void print_sigset_wait(Printer& printer, unsigned at) {
  print_signal_set(printer, printer.arg(at), printer.arg(3));  // rt_sigtimedwait
}
void print_sigset_suspend(Printer& printer, unsigned at) {
  print_signal_set(printer, printer.arg(at), printer.arg(at + 1));
}

void print_old_sigset_in(Printer& printer, unsigned at) {
  const auto set = printer.arg(at) == 0 ? std::nullopt : printer.load<std::uint32_t>(printer.arg(at));
  set ? print_old_set(printer, *set) : printer.pointer(printer.arg(at));
}
void print_old_sigset_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_old_sigset_in(printer, at);
}
// The mask is the last of three; the others mean nothing.
void print_old_sigset_value(Printer& printer, unsigned at) {
  print_old_set(printer, printer.uint_arg(at + 2));
}

void print_old_sigset_word(Printer& printer, unsigned at) { print_old_set(printer, printer.uint_arg(at)); }

// pselect6's sixth argument: a set's address and size.
void print_sigmask_argument(Printer& printer, unsigned at) {
  Printer reading = printer.before_return();
  const std::uint64_t where = printer.arg(at);
  const auto set = where == 0 ? std::nullopt : reading.load_word(where);
  const auto size = where == 0 ? std::nullopt : reading.load_word(where + printer.word_size());
  if (!set || !size) return printer.pointer(where);
  printer.text("{sigmask=");
  print_signal_set(reading, *set, *size);
  printer.format(", sigsetsize={}}}", *size);
}

void print_stack_in(Printer& printer, unsigned at) { print_stack(printer, printer.arg(at)); }
void print_stack_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_stack(printer, printer.arg(at));
}

void print_siginfo_in(Printer& printer, unsigned at) { print_siginfo_at(printer, printer.arg(at)); }
void print_siginfo_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_siginfo_at(printer, printer.arg(at));
}

void print_sigevent_in(Printer& printer, unsigned at) {
  enum : std::uint32_t { kSignalNotify = 0, kThread = 2, kThreadId = 4 };
  const std::uint64_t where = printer.arg(at);
  const std::uint64_t word = printer.word_size();
  const auto value = where == 0 ? std::nullopt : printer.load_word(where);
  const auto rest = where == 0 ? std::nullopt : printer.load<std::array<std::uint32_t, 3>>(where + word);
  if (!value || !rest) return printer.pointer(where);
  const auto [number, notify, thread] = *rest;
  printer.text("{");
  if (*value != 0) {
    printer.format("sigev_value={{sival_int={}, sival_ptr=", static_cast<std::int32_t>(*value));
    printer.pointer(*value);
    printer.text("}, ");
  }
  printer.text("sigev_signo=");
  notify == kSignalNotify || notify == kThreadId ? printer.signal(number) : printer.unsigned_decimal(number);
  printer.text(", sigev_notify=");
  printer.named(names::sigev_notify, notify);
  if (notify == kThreadId) printer.format(", sigev_notify_thread_id={}", static_cast<std::int32_t>(thread));
  printer.text("}");
}

namespace {

// The frame that the handler leaves on the stack (Linux: arch/x86/include/asm/sigframe.h): where in it the
// mask's two words stand, seen from the stack pointer at the call.
struct MaskPlace {
  std::uint64_t low, high;
};
constexpr MaskPlace next_to_each_other(std::uint64_t at) { return {at, at + 4}; }
// ucontext: flags, link, stack, then sigcontext.
constexpr MaskPlace kFrameX64 = next_to_each_other(8 + 8 + 24 + 256);
// The handler has popped the address that it returned to; before ucontext: number, two pointers, siginfo.
constexpr MaskPlace kFrameI386 = next_to_each_other(3 * 4 + 128 + 4 + 4 + 12 + 88);
// The old one: its restorer has popped the number, too.  The first word is sigcontext's oldmask, the other
// stands behind what used to be the state of the FPU.
constexpr MaskPlace kOldFrameI386{80, 88 + 624};

}  // namespace

void print_signal_frame(Printer& printer, unsigned) {
  constexpr std::uint32_t kOldSigreturn = 119;
  const std::uint64_t stack = printer.call().stack;
  const bool old = printer.i386() && printer.call().number == kOldSigreturn;
  const MaskPlace place = old ? kOldFrameI386 : printer.i386() ? kFrameI386 : kFrameX64;
  std::array<std::uint8_t, 8> mask;
  const MutableByteView bytes(mask);
  if (stack == 0 || !printer.read(stack + place.low, bytes.first(4)) ||
      !printer.read(stack + place.high, bytes.last(4)))
    return;
  printer.text("{mask=");
  printer.signal_set(mask);
  printer.text("}");
}

}  // namespace arguments

}  // namespace ringside::strace
