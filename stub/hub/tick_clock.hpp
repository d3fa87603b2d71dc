// Ticks of the host's time stamp counter, in which the cost of a hit is counted, to microseconds.  The rate
// is not asked of anyone: it is what both clocks have shown since this was made.  Thread: any.
#pragma once

#include <chrono>
#include <cstdint>

#include <x86intrin.h>

namespace ringside::hub {

class TickClock {
 public:
  static std::uint64_t now() { return __rdtsc(); }

  double microseconds(std::uint64_t ticks) const {
    const std::chrono::duration<double, std::micro> passed = std::chrono::steady_clock::now() - began_;
    const auto counted = static_cast<double>(now() - ticks_);
    return counted > 0 ? static_cast<double>(ticks) * passed.count() / counted : 0;
  }

 private:
  std::chrono::steady_clock::time_point began_ = std::chrono::steady_clock::now();
  std::uint64_t ticks_ = now();
};

}  // namespace ringside::hub
