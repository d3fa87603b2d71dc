#include "stub/cli/doctor_command.hpp"

#include <cstdio>

#include <fmt/format.h>

#include "vmm/run/doctor.hpp"

namespace ringside::cli {
namespace {

void print(const run::Finding& finding) {
  if (finding.missing) {
    fmt::print("MISSING  {}: {}\n", finding.what, *finding.missing);
  } else {
    fmt::print("ok       {}\n", finding.what);
  }
  std::fflush(stdout);  // at once: a probe that has to be given up takes seconds
}

}  // namespace

int doctor_command() {
  const std::vector<run::Finding> findings = run::examine(print);
  fmt::print("{}\n", run::verdict(findings));
  return run::can_run(findings) ? 0 : 1;
}

}  // namespace ringside::cli
