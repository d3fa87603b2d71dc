// Arguments of scheduling and capability calls, and of ptrace.
#include <algorithm>
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace::arguments {

namespace {

void print_sched_param(Printer& printer, std::uint64_t at) {
  print_cell<std::int32_t>(printer, at, [&](std::int32_t priority) { printer.decimal(priority); });
}

struct SchedAttr {
  std::uint32_t size, policy;
  std::uint64_t flags;
  std::int32_t nice;
  std::uint32_t priority;
  std::uint64_t runtime, deadline, period;
  std::uint32_t least_utilisation, most_utilisation;
};
constexpr std::uint32_t kSchedAttrSize0 = 48;  // SCHED_ATTR_SIZE_VER0

void print_sched_attr(Printer& printer, std::uint64_t at, std::uint64_t size) {
  SchedAttr attr{};
  const auto bytes = static_cast<std::size_t>(std::min<std::uint64_t>(size, sizeof attr));
  const bool read =
      at != 0 && size >= kSchedAttrSize0 && printer.read(at, {reinterpret_cast<std::uint8_t*>(&attr), bytes});
  if (!read) return printer.pointer(at);
  printer.format("{{size={}, sched_policy=", attr.size);
  printer.named(names::sched_policies, attr.policy);
  printer.text(", sched_flags=");
  printer.flags(names::sched_flags, attr.flags);
  printer.format(", sched_nice={}, sched_priority={}, sched_runtime={}, sched_deadline={}, sched_period={}",
                 attr.nice, attr.priority, attr.runtime, attr.deadline, attr.period);
  if (bytes == sizeof attr) {
    printer.text(", sched_util_min=");
    printer.hex(attr.least_utilisation);
    printer.text(", sched_util_max=");
    printer.hex(attr.most_utilisation);
  }
  printer.text("}");
}

struct CapHeader {
  std::uint32_t version;
  std::int32_t pid;
};
constexpr std::uint32_t kCapVersion1 = 0x19980330;
constexpr std::uint32_t kCapVersion2 = 0x20071026;
constexpr std::uint32_t kCapVersion3 = 0x20080522;

void print_cap_data(Printer& printer, std::uint64_t at) {
  const auto header = printer.load<CapHeader>(printer.arg(0));
  const bool wide = header && (header->version == kCapVersion2 || header->version == kCapVersion3);
  std::array<std::uint32_t, 6> words{};
  const std::size_t bytes = wide ? 24 : 12;
  const bool read =
      header && at != 0 && printer.read(at, {reinterpret_cast<std::uint8_t*>(words.data()), bytes});
  if (!read) return printer.pointer(at);
  constexpr std::array<std::string_view, 3> kNames{"{effective=", ", permitted=", ", inheritable="};
  for (std::size_t i = 0; i < kNames.size(); ++i) {
    printer.text(kNames[i]);
    print_capability_set(printer, words[i] | std::uint64_t{words[i + 3]} << 32);
  }
  printer.text("}");
}

enum : std::uint32_t {
  kPeekText = 1,
  kPeekData = 2,
  kPeekUser = 3,
  kGetEventMessage = 0x4201,
  kGetSiginfo = 0x4202,
};

}  // namespace

void print_sched_policy(Printer& printer, unsigned at) {
  constexpr std::uint32_t kResetOnFork = 0x40000000;
  const std::uint32_t policy = printer.uint_arg(at);
  printer.named(names::sched_policies, policy & ~kResetOnFork);
  if ((policy & kResetOnFork) != 0) printer.text("|SCHED_RESET_ON_FORK");
}
void print_sched_param_in(Printer& printer, unsigned at) { print_sched_param(printer, printer.arg(at)); }
void print_sched_param_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_sched_param(printer, printer.arg(at));
}
void print_sched_attr_in(Printer& printer, unsigned at) {
  const auto size = printer.arg(at) == 0 ? std::nullopt : printer.load<std::uint32_t>(printer.arg(at));
  if (!size) return printer.pointer(printer.arg(at));
  print_sched_attr(printer, printer.arg(at), *size == 0 ? kSchedAttrSize0 : *size);
}
void print_sched_attr_out(Printer& printer, unsigned at) {
  if (printer.failed()) return printer.pointer(printer.arg(at));
  print_sched_attr(printer, printer.arg(at), printer.uint_arg(at + 1));
}

void print_cap_header(Printer& printer, unsigned at) {
  constexpr Name kVersions[] = {{kCapVersion1, "_LINUX_CAPABILITY_VERSION_1"},
                                {kCapVersion2, "_LINUX_CAPABILITY_VERSION_2"},
                                {kCapVersion3, "_LINUX_CAPABILITY_VERSION_3"}};
  const auto header = printer.arg(at) == 0 ? std::nullopt : printer.load<CapHeader>(printer.arg(at));
  if (!header) return printer.pointer(printer.arg(at));
  printer.text("{version=");
  printer.named({kVersions, "_LINUX_CAPABILITY_VERSION_???"}, header->version);
  printer.format(", pid={}}}", header->pid);
}
void print_cap_data_in(Printer& printer, unsigned at) { print_cap_data(printer, printer.arg(at)); }
void print_cap_data_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_cap_data(printer, printer.arg(at));
}

When when_ptrace_rest(const Call& call) {
  switch (static_cast<std::uint32_t>(call.args[0])) {
    case kPeekText:
    case kPeekData:
    case kPeekUser:
    case kGetEventMessage:
    case kGetSiginfo:
      return When::kReturn;
    default:
      return When::kEntry;
  }
}

namespace {

void print_ptrace_data(Printer& printer, std::uint32_t request, std::uint64_t data) {
  enum : std::uint32_t {
    kCont = 7,
    kStep = 9,
    kDetach = 17,
    kSyscall = 24,
    kSysemu = 31,
    kSysemuStep = 32,
    kBlock = 33,
    kSetOptions = 0x4200,
    kSeize = 0x4206
  };
  switch (request) {
    case kCont:
    case kStep:
    case kDetach:
    case kSyscall:
    case kSysemu:
    case kSysemuStep:
    case kBlock:
      return printer.signal(data);
    case kSetOptions:
    case kSeize:
      return printer.flags(names::ptrace_options, data);
    case kPeekText:
    case kPeekData:
    case kPeekUser:
    case kGetEventMessage: {
      const auto word = printer.failed() ? std::nullopt : printer.load_word(data);
      if (!word || data == 0) return printer.pointer(data);
      return printer.format("[{:#x}]", *word);
    }
    case kGetSiginfo:
      return printer.failed() ? printer.pointer(data) : print_siginfo_at(printer, data);
    default:
      return printer.pointer(data);
  }
}

}  // namespace

void print_ptrace_rest(Printer& printer, unsigned at) {
  enum : std::uint32_t { kTraceMe = 0, kKill = 8, kAttach = 16, kInterrupt = 0x4207, kListen = 0x4208 };
  const std::uint32_t request = printer.uint_arg(0);
  if (request == kTraceMe) return;
  printer.next();
  printer.decimal(printer.int_arg(at));
  if (request == kKill || request == kAttach || request == kInterrupt || request == kListen) return;
  printer.next();
  printer.pointer(printer.arg(at + 1));
  printer.next();
  print_ptrace_data(printer, request, printer.arg(at + 2));
}

}  // namespace ringside::strace::arguments
