// What stands behind " = ".
#include <algorithm>
#include <array>

#include "stub/strace/decode.hpp"
#include "stub/strace/syscalls.hpp"

namespace ringside::strace {

namespace {

void print_error(Printer& printer, std::uint64_t number) {
  constexpr std::uint64_t kFirstInternal = 512;  // ERESTARTSYS and on: the call will be made again
  const ErrorName* const error = find_error(number);
  const bool internal = number >= kFirstInternal && error != nullptr;
  if (error == nullptr) return printer.format("-1 (errno {})", number);
  printer.format("{} {} ({})", internal ? "?" : "-1", error->name, error->text);
}

// 1 ([{fd=3, revents=POLLIN}], left {tv_sec=1, tv_nsec=5})
void print_poll(Printer& printer) {
  struct PollFd {
    std::int32_t fd;
    std::uint16_t events, revents;
  };
  const std::int64_t result = printer.call().result;
  printer.decimal(result);
  if (result == 0) return printer.text(" (Timeout)");
  constexpr std::uint32_t kMost = 65536;
  const std::uint64_t at = printer.arg(0);
  const std::uint32_t count = std::min(printer.uint_arg(1), kMost);
  std::uint64_t shown = 0;
  if (at == 0 || at + std::uint64_t{count} * sizeof(PollFd) < at) return;
  printer.text(" ([");
  if (count > 0 && !printer.load<PollFd>(at)) printer.pointer(at);
  for (std::uint32_t i = 0; i < count; ++i) {
    const auto poll = printer.load<PollFd>(at + std::uint64_t{i} * sizeof(PollFd));
    if (!poll) break;
    if (poll->revents == 0) continue;
    if (shown > 0) printer.text(", ");
    if (shown == printer.style().string_limit) {
      printer.text("...");
      break;
    }
    printer.format("{{fd={}, revents=", poll->fd);
    printer.flags(names::poll_events, poll->revents);
    printer.text("}");
    ++shown;
  }
  printer.text("]");
  const std::string_view name = name_of(printer.call().abi, printer.call().number);
  if (name.starts_with("ppoll") && printer.arg(2) != 0) {
    printer.text(", left ");
    print_timespec(printer, printer.arg(2), name == "ppoll" ? printer.word_size() : 8);
  }
  printer.text(")");
}

// The members of one set, as long as there are some of those that the result counts; " (in [3 4]".
bool print_ready(Printer& printer, std::string_view intro, std::uint64_t set, std::int64_t& left) {
  constexpr std::int32_t kMost = 1024;  // FD_SETSIZE
  const std::int32_t count = std::min(printer.int_arg(0), kMost);
  bool any = false;
  for (std::int32_t fd = 0; fd < count && left > 0; ++fd) {
    const auto byte = printer.load<std::uint8_t>(set + static_cast<std::uint64_t>(fd) / 8);
    if (!byte) break;
    if ((*byte >> fd % 8 & 1) == 0) continue;
    printer.text(any ? " " : intro);
    printer.fd(fd);
    any = true;
    --left;
  }
  if (any) printer.text("]");
  return any;
}

// 1 (in [3], left {tv_sec=0, tv_usec=5})
void print_select(Printer& printer) {
  const std::int64_t result = printer.call().result;
  printer.decimal(result);
  if (result == 0) return printer.text(" (Timeout)");
  const std::string_view name = name_of(printer.call().abi, printer.call().number);
  if (printer.i386() && name == "select") return;
  constexpr std::array<std::string_view, 3> kFirst{" (in [", " (out [", " (except ["};
  constexpr std::array<std::string_view, 3> kLater{", in [", ", out [", ", except ["};
  std::int64_t left = result;
  bool any = false;
  for (unsigned i = 0; i < kFirst.size(); ++i) {
    const std::uint64_t set = printer.arg(i + 1);
    if (set != 0 && print_ready(printer, any ? kLater[i] : kFirst[i], set, left)) any = true;
  }
  const std::uint64_t timeout = printer.arg(4);
  if (!any) printer.text(" (");
  if (timeout != 0) {
    printer.text(any ? ", left " : "left ");
    if (name.starts_with("pselect6")) {
      print_timespec(printer, timeout, name == "pselect6" ? printer.word_size() : 8);
    } else {
      print_timeval(printer, timeout, printer.word_size());
    }
  }
  printer.text(")");
}

// 2 (left {tv_sec=0, tv_nsec=5})
void print_recvmmsg(Printer& printer) {
  printer.decimal(printer.call().result);
  if (printer.call().result == 0) return printer.text(" (Timeout)");
  const std::uint64_t timeout = printer.arg(4);
  if (timeout == 0) return;
  printer.text(" (left ");
  const bool wide = name_of(printer.call().abi, printer.call().number) == "recvmmsg_time64";
  print_timespec(printer, timeout, wide ? 8 : printer.word_size());
  printer.text(")");
}

void print_membarrier(Printer& printer) {
  const auto value = static_cast<std::uint64_t>(printer.call().result);
  if (value == 0 || printer.uint_arg(0) != 0) return printer.decimal(printer.call().result);
  printer.format("{:#x} (", value);
  printer.flags(names::membarrier_commands, value);
  printer.text(")");
}

void print_fcntl(Printer& printer) {
  enum : std::uint32_t {
    kDup = 0,
    kGetFd = 1,
    kGetFlags = 3,
    kGetSignal = 11,
    kGetLease = 1025,
    kDupCloexec = 1030,
    kGetSeals = 1034
  };
  const std::int64_t result = printer.call().result;
  const auto value = static_cast<std::uint64_t>(result);
  switch (printer.uint_arg(1)) {
    case kDup:
    case kDupCloexec:
      return printer.fd(static_cast<std::int32_t>(result));
    case kGetFd:
      if (result == 0) break;
      printer.format("{:#x} (flags ", value);
      printer.flags(names::fd_flags, value);
      return printer.text(")");
    case kGetFlags:
      printer.hex(value);
      printer.text(" (flags ");
      print_open_flags(printer, value);
      return printer.text(")");
    case kGetSeals:
      if (result == 0) break;
      printer.format("{:#x} (seals ", value);
      printer.flags(names::seals, value);
      return printer.text(")");
    case kGetSignal:
      if (result == 0) break;
      printer.format("{} (", value);
      printer.signal(value);
      return printer.text(")");
    case kGetLease:
      printer.hex(value);
      printer.text(" (");
      printer.named(names::lock_types, value);
      return printer.text(")");
    default:
      break;
  }
  printer.decimal(result);
}

void print_prctl(Printer& printer) {
  enum : std::uint32_t { kGetDumpable = 3, kGetSecurebits = 27 };
  const auto value = static_cast<std::uint64_t>(printer.call().result);
  const std::uint32_t option = printer.uint_arg(0);
  if (option == kGetSecurebits && value != 0) {
    printer.format("{:#x} (", value);
    printer.flags(names::securebits, value);
    return printer.text(")");
  }
  printer.decimal(printer.call().result);
  if (option != kGetDumpable || find_name(names::dumpable_modes, value).empty()) return;
  printer.text(" (");
  printer.named(names::dumpable_modes, value);
  printer.text(")");
}

// 0 where nothing of it could be known.
void print_named(Printer& printer, const Names& names) {
  printer.decimal(printer.call().result);
  printer.text(" (");
  printer.named(names, static_cast<std::uint64_t>(printer.call().result));
  printer.text(")");
}

void print_ioctl_result(Printer& printer) {
  constexpr std::uint32_t kGetPeer = 0x5441;  // TIOCGPTPEER: a new descriptor
  const std::int64_t result = printer.call().result;
  printer.uint_arg(1) == kGetPeer ? printer.fd(static_cast<std::int32_t>(result)) : printer.decimal(result);
}

void print_time(Printer& printer, std::int64_t seconds) {
  printer.decimal(seconds);
  if (seconds == 0) return;
  printer.text(" (");
  printer.date(seconds, 0, 0);
  printer.text(")");
}

// adjtimex() and clock_adjtime() of no structure tell no state.
bool names_state(const Printer& printer) {
  const bool of_clock = name_of(printer.call().abi, printer.call().number).starts_with("clock_");
  const std::uint64_t at = printer.arg(of_clock ? 1 : 0);
  return at != 0 && printer.load<std::uint8_t>(at).has_value();
}

// Signals 1 to 32 in a word.
void print_mask(Printer& printer, std::string_view what) {
  const auto mask = static_cast<std::uint32_t>(printer.call().result);
  printer.hex(mask);
  printer.text(what);
  printer.signal_set(bytes_of(mask));
  printer.text(")");
}

void print_value(Printer& printer, ResultKind kind) {
  constexpr Name kClockStates[] = {{0, "TIME_OK"},  {1, "TIME_INS"},  {2, "TIME_DEL"},
                                   {3, "TIME_OOP"}, {4, "TIME_WAIT"}, {5, "TIME_ERROR"}};
  const std::int64_t result = printer.call().result;
  const auto value = static_cast<std::uint64_t>(printer.i386() ? static_cast<std::uint32_t>(result) : result);
  switch (kind) {
    case ResultKind::kHex:
      return printer.hex(value);
    case ResultKind::kShmat: {
      const auto address = printer.load<std::uint32_t>(printer.arg(3));
      return address ? printer.hex(*address) : printer.text("?");
    }
    case ResultKind::kOctal:
      return printer.octal(value);
    case ResultKind::kFd:
      return printer.fd(static_cast<std::int32_t>(result));
    case ResultKind::kFcntl:
      return print_fcntl(printer);
    case ResultKind::kIoctl:
      return print_ioctl_result(printer);
    case ResultKind::kPrctl:
      return print_prctl(printer);
    case ResultKind::kPoll:
      return print_poll(printer);
    case ResultKind::kRecvmmsg:
      return print_recvmmsg(printer);
    case ResultKind::kMembarrier:
      return print_membarrier(printer);
    case ResultKind::kSelect:
      return print_select(printer);
    case ResultKind::kPolicy:
      return print_named(printer, names::sched_policies);
    case ResultKind::kTimex:
      return names_state(printer) ? print_named(printer, {kClockStates, {}}) : printer.decimal(result);
    case ResultKind::kTime:
      return print_time(printer, printer.i386() ? static_cast<std::int32_t>(result) : result);
    case ResultKind::kSignal:
      if (result == 0) return printer.text("0");
      printer.format("{} (", result);
      printer.signal(value);
      return printer.text(")");
    case ResultKind::kIoprio:
      printer.decimal(result);
      printer.text(" (");
      print_io_priority(printer, static_cast<std::uint32_t>(value));
      return printer.text(")");
    case ResultKind::kMask:
      return print_mask(printer, " (mask ");
    case ResultKind::kOldMask:
      return print_mask(printer, " (old mask ");
    case ResultKind::kPersonality:
      printer.hex(value);
      printer.text(" (");
      print_personality(printer, static_cast<std::uint32_t>(value));
      return printer.text(")");
    default:
      return printer.decimal(result);
  }
}

}  // namespace

void print_result(const Call& call, const Process& process, const Style& style, Text& into) noexcept {
  Printer printer(call, process, style, into, Phase::kReturn);
  const Syscall* const syscall = find_syscall(call.abi, call.number);
  const ResultKind kind = syscall != nullptr ? syscall->result : ResultKind::kInt;
  if (kind == ResultKind::kNever) return printer.text("?");
  if (printer.failed()) return print_error(printer, static_cast<std::uint64_t>(-call.result));
  print_value(printer, kind);
}

}  // namespace ringside::strace
