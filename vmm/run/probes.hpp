// The doctor's probes: one property of KVM each, tried with a TinyGuest.  An error says what happened
// instead. A probe may abort or never return on a KVM that is broken in a new way: doctor.cpp takes care of
// that.
#pragma once

#include <span>
#include <string_view>

#include "arch/result.hpp"

namespace ringside::run {

struct Probe {
  std::string_view what;
  bool needed;
  bool vital;  // nothing after it can be tried without it
  Result<void> (*attempt)();
};

std::span<const Probe> probes();

}  // namespace ringside::run
