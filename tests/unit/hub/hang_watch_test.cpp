#include "stub/hub/hang_watch.hpp"

#include <gtest/gtest.h>

namespace ringside::hub {
namespace {

using std::chrono::seconds;
constexpr api::Pulse kDeaf{.asleep = false, .interrupts_on = false, .taken = 7, .timer = 0};

class Hangs : public testing::Test {
 protected:
  // One look a second; how many of them said that it hangs.
  int looks(int count, const api::Pulse& pulse, VcpuId vcpu = VcpuId{0}) {
    int said = 0;
    for (int i = 0; i < count; ++i) said += watch_.look(vcpu, pulse, now_ += seconds(1), seconds(10)) ? 1 : 0;
    return said;
  }
  HangWatch watch_;
  HangWatch::Clock::time_point now_{};
};

TEST_F(Hangs, ACpuThatIsDeafForSoLongHangs) {
  EXPECT_EQ(looks(10, kDeaf), 0);
  EXPECT_EQ(looks(1, kDeaf), 1);
}

TEST_F(Hangs, ItIsSaidAgainOnlyAfterAsLong) { EXPECT_EQ(looks(33, kDeaf), 3); }

TEST_F(Hangs, AnInterruptTakenInBetweenIsALife) {
  EXPECT_EQ(looks(9, kDeaf), 0);
  api::Pulse later = kDeaf;
  ++later.taken;
  EXPECT_EQ(looks(10, later), 0);
}

TEST_F(Hangs, SoIsATimerSetAnew) {
  EXPECT_EQ(looks(9, kDeaf), 0);
  api::Pulse later = kDeaf;
  later.timer = 1'000'000;
  EXPECT_EQ(looks(10, later), 0);
}

TEST_F(Hangs, SoIsALookWithInterruptsOn) {
  EXPECT_EQ(looks(9, kDeaf), 0);
  api::Pulse open = kDeaf;
  open.interrupts_on = true;
  EXPECT_EQ(looks(1, open), 0);
  EXPECT_EQ(looks(10, kDeaf), 0);
}

TEST_F(Hangs, ACpuInHltIsHaltedAndDoesNotHang) {
  api::Pulse halted = kDeaf;
  halted.asleep = true;
  EXPECT_EQ(looks(30, halted), 0);
}

TEST_F(Hangs, TimeInADebuggersHandsDoesNotCount) {
  EXPECT_EQ(looks(9, kDeaf), 0);
  watch_.forget(VcpuId{0});
  EXPECT_EQ(looks(10, kDeaf), 0);
}

TEST_F(Hangs, TimeInWhichNobodyLookedIsNotHeldAgainstIt) {
  EXPECT_EQ(looks(3, kDeaf), 0);
  now_ += seconds(3600);  // the host slept
  EXPECT_EQ(looks(6, kDeaf), 0);
  EXPECT_EQ(looks(1, kDeaf), 1);
}

TEST_F(Hangs, EachCpuIsLookedAtByItself) {
  int said[2] = {};
  for (int i = 0; i < 11; ++i) {
    for (const std::uint32_t cpu : {0u, 1u}) {
      const api::Pulse pulse{.asleep = false, .interrupts_on = cpu == 1 && i == 5, .taken = 7, .timer = 0};
      said[cpu] += watch_.look(VcpuId{cpu}, pulse, now_, seconds(10)) ? 1 : 0;
    }
    now_ += seconds(1);
  }
  EXPECT_EQ(said[0], 1);
  EXPECT_EQ(said[1], 0);
}

}  // namespace
}  // namespace ringside::hub
