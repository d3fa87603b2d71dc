// What ./dev bench measures in one stub: each line by itself, so that a stub that hangs in one is found out
// in that one.  Figures are medians of several goes where a go is short.
#pragma once

#include <span>
#include <string>
#include <string_view>
#include <vector>

namespace ringside::bench {

struct Figure {
  std::string name;
  double value = 0;
};
using Figures = std::vector<Figure>;
using Arguments = std::span<char* const>;

struct Line {
  std::string_view name;
  std::string_view arguments;
  std::size_t least;  // arguments
  Figures (*measure)(Arguments);
};

// One debugger's session: attach, registers, memory, steps, breakpoint rounds, interrupt.
std::span<const Line> session_lines();
// Conditions on a function that the guest (caller.c) calls for ever.
std::span<const Line> condition_lines();
// A monitor as a process: time to boot, CPU time with an idle guest.
std::span<const Line> process_lines();

double median(std::vector<double> values);

}  // namespace ringside::bench
