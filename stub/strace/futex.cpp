// futex, by operation.
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace::arguments {

namespace {

enum : std::uint32_t {
  kWait = 0,
  kWake = 1,
  kFd = 2,
  kRequeue = 3,
  kCmpRequeue = 4,
  kWakeOp = 5,
  kLockPi = 6,
  kUnlockPi = 7,
  kTrylockPi = 8,
  kWaitBitset = 9,
  kWakeBitset = 10,
  kWaitRequeuePi = 11,
  kCmpRequeuePi = 12,
  kLockPi2 = 13,
  kPrivate = 128,
  kClockRealtime = 256,
};

void print_bits(Printer& printer, std::uint32_t bits) {
  bits == 0xffffffff ? printer.text("FUTEX_BITSET_MATCH_ANY") : printer.hex(bits);
}

// Operation, comparison and their two arguments in one word (linux/futex.h, FUTEX_OP).
void print_wake_operation(Printer& printer, std::uint32_t value) {
  constexpr std::uint32_t kShiftArgument = 8;
  const std::uint32_t operation = value >> 28;
  const std::uint32_t comparison = value >> 24 & 15;
  if ((operation & kShiftArgument) != 0) printer.text("FUTEX_OP_OPARG_SHIFT<<28|");
  const std::string_view operation_name = find_name(names::futex_wake_operations, operation & 7);
  operation_name.empty() ? printer.hex(operation & 7) : printer.text(operation_name);
  if (operation_name.empty()) printer.comment("FUTEX_OP_???");
  printer.text("<<28|");
  printer.hex(value >> 12 & 0xfff);
  printer.text("<<12|");
  const std::string_view comparison_name = find_name(names::futex_wake_comparisons, comparison);
  comparison_name.empty() ? printer.hex(comparison) : printer.text(comparison_name);
  if (comparison_name.empty()) printer.comment("FUTEX_OP_CMP_???");
  printer.text("<<24|");
  printer.hex(value & 0xfff);
}

void print_rest(Printer& printer, unsigned at, std::uint64_t word) {
  const std::uint64_t timeout = printer.arg(at + 1);
  const std::uint64_t second = printer.arg(at + 2);
  const std::uint32_t value = printer.uint_arg(at);
  const std::uint32_t value2 = printer.uint_arg(at + 1);
  const std::uint32_t value3 = printer.uint_arg(at + 3);
  const std::uint32_t operation = printer.uint_arg(1) & 127;
  if (operation == kUnlockPi || operation == kTrylockPi) return;
  printer.next();
  if (operation == kLockPi || operation == kLockPi2) return print_timespec(printer, timeout, word);
  const bool wakes = operation != kWait && operation != kWaitBitset && operation != kWaitRequeuePi;
  wakes&& operation <= kLockPi2 ? printer.decimal(static_cast<std::int32_t>(value))
                                : printer.unsigned_decimal(value);
  switch (operation) {
    case kWake:
    case kFd:
      return;
    case kWait:
      return printer.next(), print_timespec(printer, timeout, word);
    case kWaitBitset:
      printer.next(), print_timespec(printer, timeout, word);
      return printer.next(), print_bits(printer, value3);
    case kWakeBitset:
      return printer.next(), print_bits(printer, value3);
    case kRequeue:
    case kCmpRequeue:
    case kCmpRequeuePi:
    case kWakeOp:
      printer.next(), printer.decimal(static_cast<std::int32_t>(value2));
      printer.next(), printer.pointer(second);
      if (operation == kRequeue) return;
      printer.next();
      return operation == kWakeOp ? print_wake_operation(printer, value3) : printer.unsigned_decimal(value3);
    case kWaitRequeuePi:
      printer.next(), print_timespec(printer, timeout, word);
      return printer.next(), printer.pointer(second);
    default:
      printer.next(), printer.pointer(timeout);
      printer.next(), printer.pointer(second);
      printer.next(), printer.hex(value3);
  }
}

}  // namespace

void print_futex_operation(Printer& printer, unsigned at) {
  const std::uint32_t operation = printer.uint_arg(at);
  const bool realtime = (operation & kClockRealtime) != 0;
  const std::string_view name = find_name(names::futex_operations, operation & ~kClockRealtime);
  if (name.empty()) return printer.named(names::futex_operations, operation);
  printer.text(name);
  if (realtime) printer.text("|FUTEX_CLOCK_REALTIME");
}

void print_futex_rest(Printer& printer, unsigned at) { print_rest(printer, at, printer.word_size()); }
void print_futex_rest64(Printer& printer, unsigned at) { print_rest(printer, at, 8); }

void print_futex_waiters(Printer& printer, unsigned at) {
  struct Waiter {
    std::uint64_t value, address;
    std::uint32_t flags, reserved;
  };
  const auto show = [&](std::uint64_t element) {
    const auto waiter = printer.load<Waiter>(element);
    if (!waiter) return false;
    printer.text("{val=");
    printer.hex(waiter->value);
    printer.text(", uaddr=");
    printer.pointer(waiter->address);
    printer.text(", flags=");
    printer.flags(names::futex2_flags, waiter->flags);
    if (waiter->reserved != 0) printer.format(", __reserved={:#x}", waiter->reserved);
    printer.text("}");
    return true;
  };
  print_array(printer, printer.arg(at), printer.uint_arg(at + 1), sizeof(Waiter), show,
              printer.style().string_limit);
}

}  // namespace ringside::strace::arguments
