// Limits, usage, system information, the kernel's clock.
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace::arguments {

namespace {

void print_limit(Printer& printer, std::uint64_t value, bool wide) {
  if (wide ? value == ~std::uint64_t{0} : value == 0xffffffff) {
    return printer.text(wide ? "RLIM64_INFINITY" : "RLIM_INFINITY");
  }
  value > 1024 && value % 1024 == 0 ? printer.format("{}*1024", value / 1024)
                                    : printer.unsigned_decimal(value);
}

void print_rlimit(Printer& printer, std::uint64_t at, bool wide) {
  const auto part = [&](std::uint64_t offset) {
    return wide ? printer.load<std::uint64_t>(at + offset) : printer.load_word(at + offset);
  };
  const auto soft = at == 0 ? std::nullopt : part(0);
  const auto hard = at == 0 ? std::nullopt : part(wide ? 8 : 4);
  if (!soft || !hard) return printer.pointer(at);
  printer.text("{rlim_cur=");
  print_limit(printer, *soft, wide);
  printer.text(", rlim_max=");
  print_limit(printer, *hard, wide);
  printer.text("}");
}

// Reads longs one after the other; a long is a word of the process.
class Words {
 public:
  Words(const Printer& printer, std::uint64_t at) : printer_(printer), at_(at) {}
  std::uint64_t next() {
    const auto value = printer_.load_word(at_);
    at_ += printer_.word_size();
    complete_ = complete_ && value.has_value();
    return value.value_or(0);
  }
  std::int64_t next_signed() {
    const std::uint64_t value = next();
    return printer_.i386() ? static_cast<std::int32_t>(value) : static_cast<std::int64_t>(value);
  }
  template <typename T>
  T take() {
    const auto value = printer_.load<T>(at_);
    at_ += sizeof(T);
    complete_ = complete_ && value.has_value();
    return value.value_or(T{});
  }
  void skip(std::uint64_t bytes) { at_ += bytes; }
  bool complete() const { return complete_; }

 private:
  const Printer& printer_;
  std::uint64_t at_;
  bool complete_ = true;
};

void print_tick(Printer& printer, std::string_view name, std::int64_t ticks) {
  constexpr std::int64_t kTicksPerSecond = 100;  // USER_HZ
  printer.format("{}={}", name, ticks);
  if (ticks > 0) printer.format(" /* {}.{:02} s */", ticks / kTicksPerSecond, ticks % kTicksPerSecond);
}

}  // namespace

void print_rlimit_in(Printer& printer, unsigned at) {
  print_rlimit(printer, printer.arg(at), !printer.i386());
}
void print_rlimit_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_rlimit_in(printer, at);
}
void print_rlimit64_in(Printer& printer, unsigned at) { print_rlimit(printer, printer.arg(at), true); }
void print_rlimit64_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_rlimit64_in(printer, at);
}

void print_rusage_out(Printer& printer, unsigned at) {
  const std::uint64_t where = printer.arg(at);
  // wait4 with nobody waited for stores nothing.
  const bool waits = printer.call().number == (printer.i386() ? 114u : 61u);
  Words words(printer, where);
  const bool stored = where != 0 && !printer.failed() && !(waits && printer.call().result == 0);
  if (!stored) return printer.pointer(where);
  const std::array<std::int64_t, 4> times{words.next_signed(), words.next_signed(), words.next_signed(),
                                          words.next_signed()};
  constexpr std::uint64_t kOtherWords = 14;
  if (!words.complete() || !printer.load<std::uint8_t>(where + (4 + kOtherWords) * printer.word_size() - 1)) {
    return printer.pointer(where);
  }
  printer.format("{{ru_utime={{tv_sec={}, tv_usec={}}}, ru_stime={{tv_sec={}, tv_usec={}}}, ...}}", times[0],
                 times[1], times[2], times[3]);
}

void print_sysinfo_out(Printer& printer, unsigned at) {
  const std::uint64_t where = printer.arg(at);
  if (printer.failed() || where == 0) return printer.pointer(where);
  Words words(printer, where);
  const std::int64_t uptime = words.next_signed();
  std::array<std::uint64_t, 9> values{};
  for (std::uint64_t& value : values) value = words.next();
  const auto processes = words.take<std::uint16_t>();
  words.skip(printer.i386() ? 2 : 6);
  const std::uint64_t total_high = words.next();
  const std::uint64_t free_high = words.next();
  const auto unit = words.take<std::uint32_t>();
  if (!words.complete()) return printer.pointer(where);
  printer.format(
      "{{uptime={}, loads=[{}, {}, {}], totalram={}, freeram={}, sharedram={}, bufferram={}, totalswap={}, ",
      uptime, values[0], values[1], values[2], values[3], values[4], values[5], values[6], values[7]);
  printer.format("freeswap={}, procs={}, totalhigh={}, freehigh={}, mem_unit={}}}", values[8], processes,
                 total_high, free_high, unit);
}

void print_tms_out(Printer& printer, unsigned at) {
  const std::uint64_t where = printer.arg(at);
  if (printer.failed() || where == 0) return printer.pointer(where);
  Words words(printer, where);
  const std::array<std::int64_t, 4> times{words.next_signed(), words.next_signed(), words.next_signed(),
                                          words.next_signed()};
  if (!words.complete()) return printer.pointer(where);
  print_tick(printer, "{tms_utime", times[0]);
  print_tick(printer, ", tms_stime", times[1]);
  print_tick(printer, ", tms_cutime", times[2]);
  print_tick(printer, ", tms_cstime", times[3]);
  printer.text("}");
}

void print_timex_out(Printer& printer, unsigned at) {
  const std::uint64_t where = printer.arg(at);
  if (printer.failed() || where == 0) return printer.pointer(where);
  const std::uint64_t pad = printer.i386() ? 0 : 4;  // behind an int that a long follows
  Words words(printer, where);
  const auto modes = words.take<std::uint32_t>();
  words.skip(pad);
  std::array<std::int64_t, 4> first{};
  for (std::int64_t& value : first) value = words.next_signed();
  const auto status = words.take<std::uint32_t>();
  words.skip(pad);
  std::array<std::int64_t, 3> second{};
  for (std::int64_t& value : second) value = words.next_signed();
  const std::int64_t seconds = words.next_signed();
  const std::int64_t fraction = words.next_signed();
  std::array<std::int64_t, 3> third{};
  for (std::int64_t& value : third) value = words.next_signed();
  const auto shift = words.take<std::int32_t>();
  words.skip(pad);
  std::array<std::int64_t, 5> fourth{};
  for (std::int64_t& value : fourth) value = words.next_signed();
  const auto tai = words.take<std::int32_t>();
  if (!words.complete()) return printer.pointer(where);
  printer.text("{modes=");
  printer.flags(names::timex_modes, modes);
  printer.format(", offset={}, freq={}, maxerror={}, esterror={}, status=", first[0], first[1], first[2],
                 first[3]);
  printer.flags(names::timex_status, status);
  printer.format(", constant={}, precision={}, tolerance={}, time={{tv_sec={}, tv_usec={}}}", second[0],
                 second[1], second[2], seconds, fraction);
  printer.format(
      ", tick={}, ppsfreq={}, jitter={}, shift={}, stabil={}, jitcnt={}, calcnt={}, errcnt={}, stbcnt={}, "
      "tai={}}}",
      third[0], third[1], third[2], shift, fourth[0], fourth[1], fourth[2], fourth[3], fourth[4], tai);
}

}  // namespace ringside::strace::arguments
