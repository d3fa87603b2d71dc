#include "stub/hub/holds.hpp"

#include <gmock/gmock.h>

namespace ringside::hub {
namespace {

using testing::ElementsAre;
constexpr VcpuId kFirst{0}, kSecond{1};
constexpr TracerId kAlice{1}, kBob{2};

TEST(HoldLedger, AVcpuRunsIfAndOnlyIfNobodyHoldsIt) {
  HoldLedger holds(2);
  EXPECT_TRUE(holds.may_run(kFirst));
  holds.take(kFirst, kAlice);
  EXPECT_FALSE(holds.may_run(kFirst));
  EXPECT_TRUE(holds.may_run(kSecond));
  holds.release(kFirst, kAlice);
  EXPECT_TRUE(holds.may_run(kFirst));
}

TEST(HoldLedger, TakingTwiceIsOneHold) {
  HoldLedger holds(1);
  EXPECT_TRUE(holds.take(kFirst, kAlice));
  EXPECT_FALSE(holds.take(kFirst, kAlice));
  EXPECT_TRUE(holds.release(kFirst, kAlice));
  EXPECT_FALSE(holds.release(kFirst, kAlice));
  EXPECT_TRUE(holds.may_run(kFirst));
}

TEST(HoldLedger, OneTracersReleaseLeavesTheOthersHold) {
  HoldLedger holds(1);
  holds.take(kFirst, kAlice);
  holds.take(kFirst, kBob);
  holds.release(kFirst, kAlice);
  EXPECT_FALSE(holds.may_run(kFirst));
  EXPECT_THAT(holds.holders(kFirst), ElementsAre(kBob));
}

TEST(HoldLedger, DetachingTracerReleasesOnlyItsOwnHolds) {
  HoldLedger holds(2);
  holds.take_all(kAlice);
  holds.take(kSecond, kBob);
  holds.release_all(kAlice);
  EXPECT_TRUE(holds.may_run(kFirst));
  EXPECT_FALSE(holds.may_run(kSecond));
  EXPECT_FALSE(holds.holds_any(kAlice));
  EXPECT_TRUE(holds.holds_any(kBob));
}

TEST(HoldLedger, TakeAllAddsToWhatIsThere) {
  HoldLedger holds(2);
  holds.take(kFirst, kBob);
  holds.take_all(kAlice);
  EXPECT_THAT(holds.holders(kFirst), ElementsAre(kAlice, kBob));
  EXPECT_THAT(holds.holders(kSecond), ElementsAre(kAlice));
  EXPECT_TRUE(holds.holds(kSecond, kAlice));
  EXPECT_FALSE(holds.holds(kSecond, kBob));
}

}  // namespace
}  // namespace ringside::hub
