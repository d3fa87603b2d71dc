// The measuring half of `./dev bench`: runs beside a stub, speaks RSP to it as gdb does, measures one line
// and prints its figures as one line of JSON.
#include <algorithm>
#include <array>
#include <cstdio>
#include <exception>

#include <fmt/format.h>

#include "tests/bench/lines.hpp"

namespace ringside::bench {

double median(std::vector<double> values) {
  std::ranges::sort(values);
  return values.empty() ? 0 : values[values.size() / 2];
}

namespace {

int usage() {
  fmt::print(stderr, "usage:\n");
  for (const auto& lines : {session_lines(), condition_lines(), process_lines()})
    for (const Line& line : lines) fmt::print(stderr, "  rsp_bench {} {}\n", line.name, line.arguments);
  return 2;
}

void print(const Figures& figures) {
  std::string text;
  for (const Figure& figure : figures)
    text += fmt::format("{}\"{}\": {:.4f}", text.empty() ? "" : ", ", figure.name, figure.value);
  fmt::print("{{{}}}\n", text);
}

int measure(std::string_view name, Arguments arguments) {
  for (const auto& lines : {session_lines(), condition_lines(), process_lines()}) {
    const auto line = std::ranges::find(lines, name, &Line::name);
    if (line == lines.end()) continue;
    if (arguments.size() < line->least) return usage();
    print(line->measure(arguments));
    return 0;
  }
  return usage();
}

}  // namespace
}  // namespace ringside::bench

int main(int argc, char** argv) {
  using namespace ringside::bench;
  if (argc < 2) return usage();
  try {
    return measure(argv[1], Arguments(argv + 2, static_cast<std::size_t>(argc - 2)));
  } catch (const std::exception& error) {
    fmt::print(stderr, "rsp_bench {}: {}\n", argv[1], error.what());
    return 1;
  }
}
