// Arguments that are times, clocks and timers.
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace {

namespace {

// Seconds and a fraction, each a word of 4 or 8 bytes.
struct Pair {
  std::int64_t seconds;
  std::int64_t fraction;
};

std::optional<Pair> load_pair(const Printer& printer, std::uint64_t at, std::uint64_t word) {
  if (at == 0) return std::nullopt;
  if (word == 8) return printer.load<Pair>(at);
  const auto pair = printer.load<std::array<std::int32_t, 2>>(at);
  if (!pair) return std::nullopt;
  return Pair{(*pair)[0], (*pair)[1]};
}

void print_pair(Printer& printer, const Pair& pair, std::string_view fraction) {
  printer.format("{{tv_sec={}, {}={}}}", pair.seconds, fraction, pair.fraction);
}

void print_pair_at(Printer& printer, std::uint64_t at, std::uint64_t word, std::string_view fraction) {
  const auto pair = load_pair(printer, at, word);
  pair ? print_pair(printer, *pair, fraction) : printer.pointer(at);
}

void print_interval(Printer& printer, std::uint64_t at, std::uint64_t word, std::string_view fraction) {
  const auto interval = load_pair(printer, at, word);
  const auto value = at == 0 ? std::nullopt : load_pair(printer, at + 2 * word, word);
  if (!interval || !value) return printer.pointer(at);
  printer.text("{it_interval=");
  print_pair(printer, *interval, fraction);
  printer.text(", it_value=");
  print_pair(printer, *value, fraction);
  printer.text("}");
}

constexpr std::int64_t kNow = 0x3fffffff;   // UTIME_NOW
constexpr std::int64_t kOmit = 0x3ffffffe;  // UTIME_OMIT

void print_file_time(Printer& printer, const Pair& time, std::string_view fraction, unsigned digits) {
  const bool nanoseconds = digits == 9;
  if (nanoseconds && time.fraction == kNow) return printer.text("UTIME_NOW");
  if (nanoseconds && time.fraction == kOmit) return printer.text("UTIME_OMIT");
  print_pair(printer, time, fraction);
  printer.time_comment(time.seconds, static_cast<std::uint64_t>(time.fraction), digits);
}

void print_file_times(Printer& printer, std::uint64_t at, std::uint64_t word, std::string_view fraction,
                      unsigned digits) {
  const auto access = load_pair(printer, at, word);
  const auto change = at == 0 ? std::nullopt : load_pair(printer, at + 2 * word, word);
  if (!access || !change) return printer.pointer(at);
  printer.text("[");
  print_file_time(printer, *access, fraction, digits);
  printer.text(", ");
  print_file_time(printer, *change, fraction, digits);
  printer.text("]");
}

void print_timezone(Printer& printer, std::uint64_t at) {
  const auto zone = at == 0 ? std::nullopt : printer.load<std::array<std::int32_t, 2>>(at);
  if (!zone) return printer.pointer(at);
  printer.format("{{tz_minuteswest={}, tz_dsttime={}}}", (*zone)[0], (*zone)[1]);
}

// What a sleep has left; told only when it was cut short and will be gone on with.
void print_left(Printer& printer, unsigned at, std::uint64_t word) {
  constexpr std::int64_t kFirstRestart = -512;  // ERESTARTSYS
  constexpr std::int64_t kLastRestart = -516;   // ERESTART_RESTARTBLOCK
  const std::int64_t result = printer.call().result;
  if (result > kFirstRestart || result < kLastRestart) return printer.pointer(printer.arg(at));
  Printer reading = printer.before_return();
  print_timespec(reading, printer.arg(at), word);
}

}  // namespace

void print_timespec(Printer& printer, std::uint64_t at, std::uint64_t word) {
  print_pair_at(printer, at, word, "tv_nsec");
}
void print_timeval(Printer& printer, std::uint64_t at, std::uint64_t word) {
  print_pair_at(printer, at, word, "tv_usec");
}

namespace arguments {

// Below 0 a clock belongs to a process or thread, or to an open device (include/linux/posix-timers.h).
void print_clock_id(Printer& printer, unsigned at) {
  constexpr Name kKinds[] = {{0, "CPUCLOCK_PROF"}, {1, "CPUCLOCK_VIRT"}, {2, "CPUCLOCK_SCHED"}};
  const std::int32_t clock = printer.int_arg(at);
  if (clock >= 0) return printer.named(names::clock_ids, static_cast<std::uint32_t>(clock));
  if ((clock & 7) == 7) return printer.named(names::clock_ids, static_cast<std::uint32_t>(clock));
  const std::int32_t id = ~(clock >> 3);
  if ((clock & 7) == 3) return printer.format("FD_TO_CLOCKID({})", id);
  const std::string_view scope = (clock & 4) != 0 ? "MAKE_THREAD_CPUCLOCK" : "MAKE_PROCESS_CPUCLOCK";
  printer.format("{}({}, ", scope, id);
  printer.named({kKinds, "CPUCLOCK_???"}, static_cast<std::uint32_t>(clock & 3));
  printer.text(")");
}

void print_timespec_in(Printer& printer, unsigned at) {
  print_timespec(printer, printer.arg(at), printer.word_size());
}
void print_timespec64_in(Printer& printer, unsigned at) { print_timespec(printer, printer.arg(at), 8); }
void print_timeval_in(Printer& printer, unsigned at) {
  print_timeval(printer, printer.arg(at), printer.word_size());
}

// Shown as it was at the entry also when the call has failed.
void print_timeout_in(Printer& printer, unsigned at) {
  Printer reading = printer.before_return();
  print_timespec_in(reading, at);
}
void print_timeout64_in(Printer& printer, unsigned at) {
  Printer reading = printer.before_return();
  print_timespec64_in(reading, at);
}

void print_timespec_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_timespec_in(printer, at);
}
void print_timespec64_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_timespec64_in(printer, at);
}
void print_timeval_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_timeval_in(printer, at);
}
void print_timespec_left(Printer& printer, unsigned at) { print_left(printer, at, printer.word_size()); }
void print_timespec64_left(Printer& printer, unsigned at) { print_left(printer, at, 8); }

void print_timespecs_in(Printer& printer, unsigned at) {
  print_file_times(printer, printer.arg(at), printer.word_size(), "tv_nsec", 9);
}
void print_timespecs64_in(Printer& printer, unsigned at) {
  print_file_times(printer, printer.arg(at), 8, "tv_nsec", 9);
}
void print_timevals_in(Printer& printer, unsigned at) {
  print_file_times(printer, printer.arg(at), printer.word_size(), "tv_usec", 6);
}

void print_timezone_in(Printer& printer, unsigned at) { print_timezone(printer, printer.arg(at)); }
void print_timezone_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_timezone(printer, printer.arg(at));
}

void print_itimerval_in(Printer& printer, unsigned at) {
  print_interval(printer, printer.arg(at), printer.word_size(), "tv_usec");
}
void print_itimerval_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_itimerval_in(printer, at);
}
void print_itimerspec_in(Printer& printer, unsigned at) {
  print_interval(printer, printer.arg(at), printer.word_size(), "tv_nsec");
}
void print_itimerspec_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_itimerspec_in(printer, at);
}
void print_itimerspec64_in(Printer& printer, unsigned at) {
  print_interval(printer, printer.arg(at), 8, "tv_nsec");
}
void print_itimerspec64_out(Printer& printer, unsigned at) {
  printer.failed() ? printer.pointer(printer.arg(at)) : print_itimerspec64_in(printer, at);
}

void print_utimbuf_in(Printer& printer, unsigned at) {
  const auto times = load_pair(printer, printer.arg(at), printer.word_size());
  if (!times) return printer.pointer(printer.arg(at));
  printer.format("{{actime={}", times->seconds);
  printer.time_comment(times->seconds, 0, 0);
  printer.format(", modtime={}", times->fraction);
  printer.time_comment(times->fraction, 0, 0);
  printer.text("}");
}

void print_time_out(Printer& printer, unsigned at) {
  const auto value =
      printer.failed() || printer.arg(at) == 0 ? std::nullopt : printer.load_word(printer.arg(at));
  if (!value) return printer.pointer(printer.arg(at));
  const std::int64_t seconds =
      printer.i386() ? static_cast<std::int32_t>(*value) : static_cast<std::int64_t>(*value);
  printer.format("[{}", seconds);
  printer.time_comment(seconds, 0, 0);
  printer.text("]");
}

void print_timer_id_out(Printer& printer, unsigned at) {
  if (printer.failed()) return printer.pointer(printer.arg(at));
  print_cell<std::int32_t>(printer, printer.arg(at), [&](std::int32_t id) { printer.decimal(id); });
}

}  // namespace arguments

}  // namespace ringside::strace
