// Tracers that do what the bytes say, on the real hub and the fake machine: as in the random test of the hub,
// with the fuzzer in the place of chance.  The model says what must be true.
#include <cstdint>
#include <cstdio>
#include <cstdlib>

#include <spdlog/spdlog.h>

#include "tests/model/driver.hpp"

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  using ringside::model::Driver;
  constexpr std::size_t kWorthPlaying = 2000;
  if (size > kWorthPlaying) return 0;
  spdlog::set_level(spdlog::level::off);
  if (Driver({data, size}).play().empty()) return 0;
  Driver again({data, size}, Driver::Log::kYes);
  const std::string wrong = again.play();
  std::fprintf(stderr, "%s%s\n", again.log().c_str(), wrong.c_str());
  std::abort();
}
