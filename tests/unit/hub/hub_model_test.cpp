// Tracers that do anything in any order, against the model.  A failure prints its seed and what was done;
//   RINGSIDE_MODEL_SEED=<seed> replays one script, RINGSIDE_MODEL_SCRIPTS=<count> plays more of them.
#include <cstdlib>
#include <optional>

#include <gtest/gtest.h>
#include <spdlog/spdlog.h>

#include "tests/model/driver.hpp"

namespace ringside::model {
namespace {

std::optional<std::uint64_t> number_from(const char* variable) {
  const char* text = std::getenv(variable);
  return text == nullptr || *text == '\0' ? std::nullopt
                                          : std::optional<std::uint64_t>(std::strtoull(text, nullptr, 0));
}

class HubModel : public testing::Test {
 protected:
  HubModel() { spdlog::set_level(spdlog::level::off); }
  ~HubModel() override { spdlog::set_level(spdlog::level::info); }
};

// What was wrong with it; empty when nothing was.
std::string play(std::uint64_t seed) {
  const Bytes script = random_script(seed, 50 + seed % 10 * 50);
  if (Driver(script).play().empty()) return {};
  Driver again(script, Driver::Log::kYes);
  const std::string wrong = again.play();
  return fmt::format("{}\nRINGSIDE_MODEL_SEED={}: {}", again.log(), seed, wrong);
}

TEST_F(HubModel, HoldsForTracersThatDoAnythingInAnyOrder) {
  const auto only = number_from("RINGSIDE_MODEL_SEED");
  const std::uint64_t first = only.value_or(number_from("RINGSIDE_MODEL_FIRST").value_or(1));
  const std::uint64_t count = only ? 1 : number_from("RINGSIDE_MODEL_SCRIPTS").value_or(2000);
  for (std::uint64_t seed = first; seed < first + count; ++seed) {
    const std::string wrong = play(seed);
    if (!wrong.empty()) FAIL() << wrong;
  }
}

}  // namespace
}  // namespace ringside::model
