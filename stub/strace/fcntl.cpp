// fcntl, by command.
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace::arguments {

namespace {

// asm-generic/fcntl.h, linux/fcntl.h
enum : std::uint32_t {
  kDup = 0,
  kGetFd = 1,
  kSetFd = 2,
  kGetFlags = 3,
  kSetFlags = 4,
  kGetLock = 5,
  kSetLock = 6,
  kSetLockWait = 7,
  kSetOwner = 8,
  kGetOwner = 9,
  kSetSignal = 10,
  kGetSignal = 11,
  kGetLock64 = 12,
  kSetLock64 = 13,
  kSetLockWait64 = 14,
  kSetOwnerEx = 15,
  kGetOwnerEx = 16,
  kGetOwnerIds = 17,
  kOfdGetLock = 36,
  kOfdSetLock = 37,
  kOfdSetLockWait = 38,
  kSetLease = 1024,
  kGetLease = 1025,
  kNotify = 1026,
  kDupCloexec = 1030,
  kSetPipeSize = 1031,
  kGetPipeSize = 1032,
  kAddSeals = 1033,
  kGetSeals = 1034,
};

struct Lock {
  std::int16_t type, whence;
  std::int64_t start, length;
  std::int32_t pid;
};

// struct flock of the process; of i386 with offsets of 32 or of 64 bits, which are aligned to 4 there.
std::optional<Lock> load_lock(const Printer& printer, std::uint64_t at, bool wide) {
  const std::uint64_t start_at = printer.i386() ? 4 : 8;
  const std::uint64_t size = wide ? 8 : 4;
  const auto offset_at = [&](std::uint64_t where) -> std::optional<std::int64_t> {
    if (wide) return printer.load<std::int64_t>(where);
    const auto value = printer.load<std::int32_t>(where);
    return value ? std::optional<std::int64_t>(*value) : std::nullopt;
  };
  const auto kind = at == 0 ? std::nullopt : printer.load<std::array<std::int16_t, 2>>(at);
  const auto start = offset_at(at + start_at);
  const auto length = offset_at(at + start_at + size);
  const auto pid = printer.load<std::int32_t>(at + start_at + 2 * size);
  if (!kind || !start || !length || !pid) return std::nullopt;
  return Lock{(*kind)[0], (*kind)[1], *start, *length, *pid};
}

void print_lock(Printer& printer, std::uint64_t at, bool wide, bool with_pid) {
  const auto lock = load_lock(printer, at, wide || !printer.i386());
  if (!lock) return printer.pointer(at);
  printer.text("{l_type=");
  printer.named(names::lock_types, static_cast<std::uint16_t>(lock->type));
  printer.text(", l_whence=");
  printer.named(names::whence, static_cast<std::uint16_t>(lock->whence));
  printer.format(", l_start={}, l_len={}", lock->start, lock->length);
  if (with_pid) printer.format(", l_pid={}", lock->pid);
  printer.text("}");
}

void print_owner(Printer& printer, std::uint64_t at) {
  const auto owner = at == 0 ? std::nullopt : printer.load<std::array<std::int32_t, 2>>(at);
  if (!owner) return printer.pointer(at);
  printer.text("{type=");
  printer.named(names::owner_types, static_cast<std::uint32_t>((*owner)[0]));
  printer.format(", pid={}}}", (*owner)[1]);
}

void print_value(Printer& printer, std::uint32_t command, unsigned at) {
  const std::uint64_t value = printer.arg(at);
  switch (command) {
    case kDup:
    case kDupCloexec:
      return printer.decimal(printer.int_arg(at));
    case kSetPipeSize:
    case kSetOwner:
      return printer.decimal(printer.long_arg(at));
    case kSetFd:
      return printer.flags(names::fd_flags, printer.uint_arg(at));
    case kSetFlags:
      return strace::print_open_flags(printer, printer.uint_arg(at));
    case kSetLock:
    case kSetLockWait:
      return print_lock(printer, value, false, false);
    case kSetLock64:
    case kSetLockWait64:
    case kOfdSetLock:
    case kOfdSetLockWait:
      return print_lock(printer, value, true, false);
    case kGetLock:
      return printer.failed() ? printer.pointer(value) : print_lock(printer, value, false, true);
    case kGetLock64:
    case kOfdGetLock:
      return printer.failed() ? printer.pointer(value) : print_lock(printer, value, true, true);
    case kSetOwnerEx:
      return print_owner(printer, value);
    case kGetOwnerEx:
      return printer.failed() ? printer.pointer(value) : print_owner(printer, value);
    case kSetSignal:
      return printer.signal(value);
    case kSetLease:
      return printer.named(names::lock_types, printer.uint_arg(at));
    case kNotify:
      return printer.flags(names::notify_flags, printer.uint_arg(at));
    case kAddSeals:
      return printer.flags(names::seals, printer.uint_arg(at));
    default:
      return printer.hex(value);
  }
}

bool takes_nothing(std::uint32_t command) {
  switch (command) {
    case kGetFd:
    case kGetFlags:
    case kGetOwner:
    case kGetSignal:
    case kGetLease:
    case kGetPipeSize:
    case kGetSeals:
      return true;
    default:
      return false;
  }
}

}  // namespace

When when_fcntl_argument(const Call& call) {
  switch (static_cast<std::uint32_t>(call.args[1])) {
    case kGetLock:
    case kGetLock64:
    case kOfdGetLock:
    case kGetOwnerEx:
    case kGetOwnerIds:
      return When::kReturn;
    default:
      return When::kEntry;
  }
}

void print_fcntl_argument(Printer& printer, unsigned at) {
  const std::uint32_t command = printer.uint_arg(at - 1);
  if (takes_nothing(command)) return;
  printer.next();
  if (command != kGetOwnerIds || printer.failed()) return print_value(printer, command, at);
  const auto ids = printer.load<std::array<std::uint32_t, 2>>(printer.arg(at));
  ids ? printer.format("[{}, {}]", (*ids)[0], (*ids)[1]) : printer.pointer(printer.arg(at));
}

}  // namespace ringside::strace::arguments
