// Signals: their names, and the siginfo that comes with one, by its code (asm-generic/siginfo.h).
#include <algorithm>
#include <array>

#include "stub/strace/arguments.hpp"
#include "stub/strace/decode.hpp"

namespace ringside::strace {

namespace {

constexpr std::string_view kSignals[] = {
    "",
#define SIGNAL(number, name) #name,
#include "stub/strace/signals.def"
#undef SIGNAL
};
constexpr int kSignalCount = static_cast<int>(std::size(kSignals));
static_assert(kSignals[9] == "SIGKILL" && kSignals[32] == "SIGRTMIN" && kSignals[64] == "SIGRT_32");

enum : int { kIll = 4, kTrap = 5, kBus = 7, kFpe = 8, kSegv = 11, kChild = 17, kIo = 29, kSys = 31 };
enum : std::int32_t { kUser = 0, kQueue = -1, kTimer = -2, kSigio = -5, kTkill = -6, kKernelCode = 0x80 };

constexpr Name code(std::int32_t value, std::string_view text) {
  return {static_cast<std::uint32_t>(value), text};
}
constexpr Name kAnyCodes[] = {code(0, "SI_USER"),     code(-1, "SI_QUEUE"),    code(-2, "SI_TIMER"),
                              code(-3, "SI_MESGQ"),   code(-4, "SI_ASYNCIO"),  code(-5, "SI_SIGIO"),
                              code(-6, "SI_TKILL"),   code(-7, "SI_DETHREAD"), code(-60, "SI_ASYNCNL"),
                              code(0x80, "SI_KERNEL")};
constexpr Name kIllCodes[] = {{1, "ILL_ILLOPC"}, {2, "ILL_ILLOPN"}, {3, "ILL_ILLADR"},
                              {4, "ILL_ILLTRP"}, {5, "ILL_PRVOPC"}, {6, "ILL_PRVREG"},
                              {7, "ILL_COPROC"}, {8, "ILL_BADSTK"}, {9, "ILL_BADIADDR"}};
constexpr Name kTrapCodes[] = {{1, "TRAP_BRKPT"},  {2, "TRAP_TRACE"}, {3, "TRAP_BRANCH"},
                               {4, "TRAP_HWBKPT"}, {5, "TRAP_UNK"},   {6, "TRAP_PERF"}};
constexpr Name kBusCodes[] = {
    {1, "BUS_ADRALN"}, {2, "BUS_ADRERR"}, {3, "BUS_OBJERR"}, {4, "BUS_MCEERR_AR"}, {5, "BUS_MCEERR_AO"}};
constexpr Name kFpeCodes[] = {{1, "FPE_INTDIV"},  {2, "FPE_INTOVF"},   {3, "FPE_FLTDIV"}, {4, "FPE_FLTOVF"},
                              {5, "FPE_FLTUND"},  {6, "FPE_FLTRES"},   {7, "FPE_FLTINV"}, {8, "FPE_FLTSUB"},
                              {14, "FPE_FLTUNK"}, {15, "FPE_CONDTRAP"}};
constexpr Name kSegvCodes[] = {{1, "SEGV_MAPERR"},  {2, "SEGV_ACCERR"},  {3, "SEGV_BNDERR"},
                               {4, "SEGV_PKUERR"},  {5, "SEGV_ACCADI"},  {6, "SEGV_ADIDERR"},
                               {7, "SEGV_ADIPERR"}, {8, "SEGV_MTEAERR"}, {9, "SEGV_MTESERR"}};
constexpr Name kChildCodes[] = {{1, "CLD_EXITED"},  {2, "CLD_KILLED"},  {3, "CLD_DUMPED"},
                                {4, "CLD_TRAPPED"}, {5, "CLD_STOPPED"}, {6, "CLD_CONTINUED"}};
constexpr Name kPollCodes[] = {{1, "POLL_IN"},  {2, "POLL_OUT"}, {3, "POLL_MSG"},
                               {4, "POLL_ERR"}, {5, "POLL_PRI"}, {6, "POLL_HUP"}};
constexpr Name kSysCodes[] = {{1, "SYS_SECCOMP"}, {2, "SYS_USER_DISPATCH"}};
constexpr Name kArchitectures[] = {{0x40000003, "AUDIT_ARCH_I386"}, {0xc000003e, "AUDIT_ARCH_X86_64"}};

std::span<const Name> codes_of(int signal) {
  switch (signal) {
    case kIll:
      return kIllCodes;
    case kTrap:
      return kTrapCodes;
    case kBus:
      return kBusCodes;
    case kFpe:
      return kFpeCodes;
    case kSegv:
      return kSegvCodes;
    case kChild:
      return kChildCodes;
    case kIo:
      return kPollCodes;
    case kSys:
      return kSysCodes;
    default:
      return {};
  }
}

// The members behind si_signo, si_errno and si_code; words are longs of the process.
class Info {
 public:
  Info(ByteView bytes, bool i386) : word_(i386 ? 4 : 8), bytes_(bytes) {}

  std::int32_t number() const { return at<std::int32_t>(0); }
  std::int32_t error() const { return at<std::int32_t>(4); }
  std::int32_t code() const { return at<std::int32_t>(8); }
  template <typename T>
  T field(std::size_t offset) const {  // in the union
    return at<T>((word_ == 4 ? 12 : 16) + offset);
  }
  std::uint64_t word(std::size_t offset) const {
    return word_ == 4 ? field<std::uint32_t>(offset) : field<std::uint64_t>(offset);
  }
  std::size_t word_size() const { return word_; }

 private:
  template <typename T>
  T at(std::size_t offset) const {
    return offset + sizeof(T) <= bytes_.size() ? load<T>(bytes_.data() + offset) : T{};
  }
  std::size_t word_;
  ByteView bytes_;
};

void print_sender(Printer& printer, const Info& info) {
  printer.format(", si_pid={}, si_uid={}", info.field<std::int32_t>(0), info.field<std::uint32_t>(4));
}

void print_value(Printer& printer, const Info& info, std::size_t offset) {
  printer.format(", si_int={}, si_ptr=", info.field<std::int32_t>(offset));
  printer.pointer(info.word(offset));
}

void print_ticks(Printer& printer, std::string_view name, std::uint64_t ticks) {
  constexpr std::uint64_t kTicksPerSecond = 100;  // USER_HZ
  printer.format(", {}={}", name, ticks);
  if (ticks == 0) return;
  printer.format(" /* {}.{:02} s */", ticks / kTicksPerSecond, ticks % kTicksPerSecond);
}

void print_child(Printer& printer, const Info& info) {
  enum : std::int32_t { kExited = 1, kContinued = 6 };
  print_sender(printer, info);
  printer.text(", si_status=");
  const std::int32_t status = info.field<std::int32_t>(8);
  info.code() == kExited ? printer.decimal(status) : printer.signal(static_cast<std::uint32_t>(status));
  // On x86-64 the times are longs, aligned.
  const std::size_t times = info.word_size() == 4 ? 12 : 16;
  print_ticks(printer, "si_utime", info.word(times));
  print_ticks(printer, "si_stime", info.word(times + info.word_size()));
}

void print_fault(Printer& printer, const Info& info, int signal) {
  const std::size_t word = info.word_size();
  printer.text(", si_addr=");
  printer.pointer(info.word(0));
  const std::int32_t code = info.code();
  if (signal == kBus && (code == 4 || code == 5)) {
    printer.text(", si_addr_lsb=");
    printer.hex(info.field<std::uint16_t>(word));
  } else if (signal == kSegv && code == 3) {
    printer.text(", si_lower=");
    printer.pointer(info.word(2 * word));
    printer.text(", si_upper=");
    printer.pointer(info.word(3 * word));
  } else if (signal == kSegv && code == 4) {
    printer.format(", si_pkey={}", info.field<std::uint32_t>(2 * word));
  }
}

void print_sys(Printer& printer, const Info& info) {
  const std::size_t word = info.word_size();
  printer.text(", si_call_addr=");
  printer.pointer(info.word(0));
  const std::uint32_t architecture = info.field<std::uint32_t>(word + 4);
  const auto number = info.field<std::uint32_t>(word);
  const bool known = architecture == kArchitectures[0].value || architecture == kArchitectures[1].value;
  const Abi abi = architecture == kArchitectures[0].value ? Abi::kI386 : Abi::kX64;
  known ? printer.format(", si_syscall=__NR_{}", ShownName(abi, number).view())
        : printer.format(", si_syscall={}", number);
  printer.text(", si_arch=");
  printer.named({kArchitectures, "AUDIT_ARCH_???"}, architecture);
}

void print_details(Printer& printer, const Info& info, int signal) {
  const std::int32_t code = info.code();
  if (code == kUser || code == kTkill) return print_sender(printer, info);
  if (code == kTimer) {
    printer.format(", si_timerid={:#x}, si_overrun={}", info.field<std::uint32_t>(0),
                   info.field<std::int32_t>(4));
    return print_value(printer, info, 8);
  }
  if (code == kSigio || (signal == kIo && code > 0 && code <= 6)) {
    const std::uint64_t band = info.word(0);
    printer.format(", si_band={}, si_fd={}", band, info.field<std::int32_t>(info.word_size()));
    return;
  }
  if (code > 0) {
    switch (signal) {
      case kChild:
        return print_child(printer, info);
      case kIll:
      case kTrap:
      case kBus:
      case kFpe:
      case kSegv:
        return print_fault(printer, info, signal);
      case kSys:
        return print_sys(printer, info);
      case kIo:
        return;
      default:
        break;
    }
  }
  // SI_KERNEL and codes of no meaning: the sender, when there is one at all.
  const bool anything = info.word(0) != 0 || info.word(8) != 0;
  if (code > 0 && !anything) return;
  print_sender(printer, info);
  print_value(printer, info, 8);
}

}  // namespace

std::string_view signal_name(int number) noexcept {
  return number > 0 && number < kSignalCount ? kSignals[number] : std::string_view{};
}

void print_siginfo(Printer& printer, ByteView bytes, bool i386) {
  const Info info(bytes, i386);
  if (info.number() == 0) return printer.text("{}");
  printer.text("{si_signo=");
  printer.signal(static_cast<std::uint32_t>(info.number()));
  printer.text(", si_code=");
  const auto code = static_cast<std::uint32_t>(info.code());
  std::string_view name = find_name({kAnyCodes, {}}, code);
  if (name.empty()) name = find_name({codes_of(info.number()), {}}, code);
  name.empty() ? printer.hex(code) : printer.text(name);
  if (const ErrorName* const error = find_error(static_cast<std::uint32_t>(info.error()))) {
    printer.format(", si_errno={}", error->name);
  } else if (info.error() != 0) {
    printer.format(", si_errno={}", info.error());
  }
  print_details(printer, info, info.number());
  printer.text("}");
}

void print_siginfo_at(Printer& printer, std::uint64_t at) {
  std::array<std::uint8_t, 128> info;
  if (at == 0 || !printer.read(at, info)) return printer.pointer(at);
  print_siginfo(printer, info, printer.i386());
}

namespace {

class NoMemory : public VirtualMemory {
 public:
  bool read(Gva, MutableByteView) const noexcept override { return false; }
};

class NoProcess : public Process {
 public:
  const VirtualMemory& memory() const noexcept override { return memory_; }
  bool fd_path(int, Text&) const noexcept override { return false; }
  bool working_directory(Text&) const noexcept override { return false; }

 private:
  NoMemory memory_;
};

}  // namespace

void print_signal(int number, ByteView info, Text& into) noexcept {
  const NoProcess process;
  const Call call;
  const Style style;
  Printer printer(call, process, style, into, Phase::kReturn);
  printer.signal(static_cast<std::uint32_t>(number));
  if (info.empty()) return;
  printer.text(" ");
  print_siginfo(printer, info, false);
}

}  // namespace ringside::strace
