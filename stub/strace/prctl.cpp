// prctl and arch_prctl, by option.
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace::arguments {

namespace {

// linux/prctl.h
enum : std::uint32_t {
  kSetDeathSignal = 1,
  kGetDeathSignal = 2,
  kGetDumpable = 3,
  kSetDumpable = 4,
  kGetUnaligned = 5,
  kGetKeepCaps = 7,
  kSetKeepCaps = 8,
  kGetFpEmulation = 9,
  kGetFpExceptions = 11,
  kGetTiming = 13,
  kSetTiming = 14,
  kSetName = 15,
  kGetName = 16,
  kGetEndian = 19,
  kGetSeccomp = 21,
  kSetSeccomp = 22,
  kReadBounding = 23,
  kDropBounding = 24,
  kGetTsc = 25,
  kGetSecurebits = 27,
  kSetSecurebits = 28,
  kSetSlack = 29,
  kGetSlack = 30,
  kDisablePerf = 31,
  kEnablePerf = 32,
  kSetMm = 35,
  kSetSubreaper = 36,
  kGetSubreaper = 37,
  kSetNoNewPrivileges = 38,
  kGetNoNewPrivileges = 39,
  kGetTidAddress = 40,
  kSetThpDisable = 41,
  kGetThpDisable = 42,
  kAmbient = 47,
  kSetVma = 0x53564d41,
  kSetUnaligned = 6,
  kSetFpEmulation = 10,
  kSetFpExceptions = 12,
  kSetEndian = 20,
  kSetFpMode = 45,
  kGetFpMode = 46,
  kSetSveLength = 50,
  kGetSveLength = 51,
  kSetSmeLength = 63,
  kGetSmeLength = 64,
  kSetTracer = 0x59616d61,
};

// Options that store an answer where their first argument points.
bool stores(std::uint32_t option) {
  return option == kGetDeathSignal || option == kGetSubreaper || option == kGetEndian ||
         option == kGetUnaligned || option == kGetFpEmulation || option == kGetFpExceptions ||
         option == kGetTsc || option == kGetName || option == kGetTidAddress;
}

constexpr std::uint64_t kSeccompFilter = 2;  // SECCOMP_MODE_FILTER

class Rest {
 public:
  Rest(Printer& printer, unsigned at) : printer_(printer), at_(at) {}

  std::uint64_t next(unsigned n) {
    printer_.next();
    return printer_.arg(at_ + n);
  }
  std::uint64_t value(unsigned n) const { return printer_.arg(at_ + n); }
  void hex_from(unsigned n) {
    for (; n < 4; ++n) printer_.hex(next(n));
  }
  void unsigned_from(unsigned n) {
    for (; n < 4; ++n) printer_.unsigned_decimal(next(n));
  }

 private:
  Printer& printer_;
  unsigned at_;
};

void print_stored(Printer& printer, std::uint32_t option, std::uint64_t at) {
  if (printer.failed()) return printer.pointer(at);
  if (option == kGetName) return printer.path_within(at, 16);
  if (option == kGetTidAddress) {
    const auto address = at == 0 ? std::nullopt : printer.load_word(at);
    if (!address) return printer.pointer(at);
    printer.text("[");
    printer.pointer(*address);
    return printer.text("]");
  }
  print_cell<std::uint32_t>(printer, at, [&](std::uint32_t value) {
    option == kGetDeathSignal ? printer.signal(value) : printer.unsigned_decimal(value);
  });
}

void print_setting(Printer& printer, std::uint32_t option, Rest rest) {
  switch (option) {
    case kGetDumpable:
    case kGetKeepCaps:
    case kGetSeccomp:
    case kGetSecurebits:
    case kGetSlack:
    case kGetTiming:
    case kDisablePerf:
    case kEnablePerf:
    case kGetFpMode:
    case kGetSveLength:
    case kGetSmeLength:
      return;
    case kSetUnaligned:
    case kSetFpEmulation:
    case kSetFpExceptions:
    case kSetEndian:
    case kSetFpMode:
    case kSetSveLength:
    case kSetSmeLength:
    case kSetTracer:
      return printer.hex(rest.next(0));
    case kSetDumpable:
      return printer.named(names::dumpable_modes, rest.next(0));
    case kSetDeathSignal:
      return printer.signal(rest.next(0));
    case kSetName:
      return printer.string(rest.next(0));
    case kSetKeepCaps:
    case kSetSlack:
    case kSetSubreaper:
    case kSetTiming:
      return printer.unsigned_decimal(rest.next(0));
    case kReadBounding:
    case kDropBounding:
      return printer.named(names::capabilities, rest.next(0));
    case kSetSecurebits:
      return printer.flags(names::securebits, rest.next(0));
    case kSetSeccomp:
      printer.named(names::seccomp_modes, rest.next(0));
      if (rest.value(0) != kSeccompFilter) return rest.unsigned_from(1);
      return printer.pointer(rest.next(1));
    case kSetMm:
      printer.named(names::mm_options, rest.next(0));
      for (unsigned i = 1; i < 4; ++i) printer.hex(rest.next(i));
      return;
    case kAmbient:
      printer.named(names::ambient_options, rest.next(0));
      printer.named(names::capabilities, rest.next(1));
      printer.unsigned_decimal(rest.next(2));
      return printer.unsigned_decimal(rest.next(3));
    case kSetVma:
      printer.named(names::vma_options, rest.next(0));
      printer.pointer(rest.next(1));
      printer.unsigned_decimal(rest.next(2));
      return printer.string(rest.next(3));
    case kSetNoNewPrivileges:
    case kGetNoNewPrivileges:
    case kGetThpDisable:
    case kSetThpDisable:
      return rest.unsigned_from(0);
    default:
      return rest.hex_from(0);
  }
}

}  // namespace

When when_prctl_rest(const Call& call) {
  return stores(static_cast<std::uint32_t>(call.args[0])) ? When::kReturn : When::kEntry;
}

void print_prctl_rest(Printer& printer, unsigned at) {
  const std::uint32_t option = printer.uint_arg(0);
  Rest rest(printer, at);
  stores(option) ? print_stored(printer, option, rest.next(0)) : print_setting(printer, option, rest);
}

enum : std::uint32_t {
  kSetGs = 0x1001,
  kSetFs = 0x1002,
  kGetFs = 0x1003,
  kGetGs = 0x1004,
  kGetCpuid = 0x1011,
  kSetCpuid = 0x1012
};

static bool answers(std::uint32_t option) { return option == kGetFs || option == kGetGs; }

When when_arch_prctl_argument(const Call& call) {
  const auto option = static_cast<std::uint32_t>(call.args[0]);
  return answers(option) ? When::kReturn : When::kEntry;
}

void print_arch_prctl_argument(Printer& printer, unsigned at) {
  const std::uint32_t option = printer.uint_arg(0);
  if (option == kGetCpuid) return;
  printer.next();
  const std::uint64_t where = printer.arg(at);
  const bool answered = answers(option) && !printer.failed() && where != 0;
  const auto base = answered ? printer.load_word(where) : std::nullopt;
  if (!base) return answers(option) ? printer.pointer(where) : printer.hex(where);
  printer.text("[");
  printer.pointer(*base);
  printer.text("]");
}

}  // namespace ringside::strace::arguments
