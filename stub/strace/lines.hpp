// Records as the lines that strace prints: calls that are interrupted by other tasks' in two pieces,
// arguments and results in their columns, times as asked for.  Pure: what it writes goes to whom it is told.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <optional>
#include <string>
#include <string_view>

#include "stub/strace/record.hpp"

namespace ringside::strace {

struct LineStyle {
  enum class Time : std::uint8_t { kNone, kClock, kMicroseconds, kEpoch, kRelative };  // -t -tt -ttt -r
  enum class Pid : std::uint8_t { kBrackets, kPlain };  // "[pid 12] " on a terminal, "12 " in a file
  Time time = Time::kNone;
  Pid pid = Pid::kBrackets;
  bool took = false;        // -T
  bool comm = false;        // -Y
  bool attached = true;     // "Process 12 attached", "runs in 32 bit mode"; not with -q
  std::size_t column = 40;  // where "= result" begins
};

class Lines {
 public:
  using Sink = std::function<void(std::string_view)>;
  Lines(LineStyle style, Sink sink) : style_(style), sink_(std::move(sink)) {}

  void add(const Record& record);
  // What is still open stays so: the line is ended.
  void end();

 private:
  void entry(const Record& record);
  void result(const Record& record);
  void exit(const Record& record);
  void begin(const Record& record);
  void note_mode(const Record& record);
  void interrupt();
  void add_outcome(std::string_view outcome);
  void add_stack(std::string_view frames);  // a frame a line
  std::string stamp(std::uint64_t time_ns);

  LineStyle style_;
  Sink sink_;
  struct Open {
    std::string name;
    bool separated = false;  // what has been shown ends with a separator
    bool more = false;       // arguments are missing
  };
  std::map<std::int32_t, Open> open_;   // by pid: entered, not returned
  std::map<std::int32_t, Abi> abis_;    // by pid: of the last call
  std::optional<std::int32_t> at_end_;  // whose line is not ended yet
  std::string line_;
  std::uint64_t last_ns_ = 0;
};

// "openat(AT_FDCWD, …": the separators of `text` as people see them.
std::string shown_arguments(std::string_view text);
// "exited with 1", "killed by SIGSEGV (core dumped)": of a code as wait4 has it.
std::string describe_end(std::int32_t code);

}  // namespace ringside::strace
