#include "vmm/dev/platform.hpp"

#include <gtest/gtest.h>

#include "vmm/dev/rtc.hpp"
#include "vmm/mem/ports.hpp"

namespace ringside::dev {
namespace {

class PlatformTest : public testing::Test {
 protected:
  std::uint32_t in(std::uint16_t port, std::size_t size = 1) {
    std::uint32_t value = 0;
    platform_->bus().read_port(port, {reinterpret_cast<std::uint8_t*>(&value), size});
    return value;
  }
  void out(std::uint16_t port, std::uint32_t value, std::size_t size = 1) {
    platform_->bus().write_port(port, {reinterpret_cast<const std::uint8_t*>(&value), size});
  }

  int poweroffs_ = 0;
  int resets_ = 0;
  std::string printed_;
  std::vector<std::pair<unsigned, bool>> irqs_;
  std::chrono::nanoseconds now_{0};
  std::unique_ptr<Platform> platform_ = make();

 private:
  std::unique_ptr<Platform> make() {
    PlatformConfig config;
    config.set_irq = [this](unsigned gsi, bool level) { irqs_.emplace_back(gsi, level); };
    config.console = [this](std::string_view text) { printed_ += text; };
    config.events.on_poweroff = [this] { ++poweroffs_; };
    config.events.on_reset = [this] { ++resets_; };
    config.clock = [this] { return now_; };
    return std::move(Platform::create(config)).value();
  }
};

TEST_F(PlatformTest, TheConsoleIsCom1) {
  out(mem::kCom1, 'o');
  out(mem::kCom1, 'k');
  EXPECT_EQ(printed_, "");
  platform_->flush();
  EXPECT_EQ(printed_, "ok");
  out(mem::kCom1 + 4, 0x08);
  out(mem::kCom1 + 1, 0x01);
  EXPECT_EQ(platform_->type("x"), 1u);
  EXPECT_EQ(irqs_, (std::vector<std::pair<unsigned, bool>>{{mem::kIrqCom1, true}}));
}

TEST_F(PlatformTest, SleepStateFivePowersOff) {
  out(mem::kPm1Control, mem::kSleepTypeS5 << 10, 2);
  EXPECT_EQ(poweroffs_, 0);
  out(mem::kPm1Control, mem::kSleepTypeS5 << 10 | 1 << 13, 2);
  EXPECT_EQ(poweroffs_, 1);
  EXPECT_EQ(resets_, 0);
}

TEST_F(PlatformTest, OtherSleepStatesDoNothing) {
  out(mem::kPm1Control, 1 << 10 | 1 << 13, 2);
  EXPECT_EQ(poweroffs_, 0);
}

TEST_F(PlatformTest, AcpiModeIsOnAndEnableBitsReadBack) {
  EXPECT_EQ(in(mem::kPm1Control, 2), 1u);
  out(mem::kPm1Event + 2, 0x0120, 2);
  EXPECT_EQ(in(mem::kPm1Event + 2, 2), 0x0120u);
  EXPECT_EQ(in(mem::kPm1Event, 2), 0u);
  EXPECT_EQ(in(mem::kPm1Event, 4), 0x01200000u);
}

TEST_F(PlatformTest, ThePmTimerCountsAtItsRateAndWraps) {
  now_ = std::chrono::seconds(1);
  EXPECT_EQ(in(mem::kPmTimer, 4), 3579545u);
  EXPECT_EQ(in(mem::kPmTimer + 1), 3579545u >> 8 & 0xff);
  now_ = std::chrono::seconds(1200);
  EXPECT_EQ(in(mem::kPmTimer, 4), static_cast<std::uint32_t>(3579545ull * 1200));
}

TEST_F(PlatformTest, TheResetRegisterAndTheKeyboardControllerReset) {
  out(mem::kResetControl, 2);
  EXPECT_EQ(resets_, 0);
  out(mem::kResetControl, mem::kResetValue);
  EXPECT_EQ(resets_, 1);
  out(mem::kI8042Command, 0xd1);
  EXPECT_EQ(resets_, 1);
  out(mem::kI8042Command, 0xfe);
  EXPECT_EQ(resets_, 2);
  out(mem::kI8042Data, 0xfe);
  EXPECT_EQ(resets_, 2);
}

TEST_F(PlatformTest, ThereIsNoPciAndNobodyMindsPostCodes) {
  out(mem::kPciAddress, 0x80000000, 4);
  EXPECT_EQ(in(mem::kPciAddress, 4), 0xffffffffu);
  EXPECT_EQ(in(mem::kPciData, 4), 0xffffffffu);
  EXPECT_EQ(in(mem::kI8042Command), 0u);
  out(mem::kPostCode, 0x55);
  EXPECT_EQ(resets_, 0);
}

TEST_F(PlatformTest, ResetIsPowerOn) {
  out(mem::kPm1Event + 2, 0x0120, 2);
  out(mem::kCom1 + 7, 0x5a);
  platform_->reset();
  EXPECT_EQ(in(mem::kPm1Event + 2, 2), 0u);
  EXPECT_EQ(in(mem::kCom1 + 7), 0u);
}

std::uint8_t cmos(Rtc& rtc, std::uint8_t index) {
  PortDevice& ports = rtc;
  std::uint8_t value = 0;
  ports.write(0, {&index, 1});
  ports.read(1, {&value, 1});
  return value;
}

void set_cmos(Rtc& rtc, std::uint8_t index, std::uint8_t value) {
  PortDevice& ports = rtc;
  ports.write(0, {&index, 1});
  ports.write(1, {&value, 1});
}

TEST(Rtc, TellsTheTimeInBcdAndUtc) {
  Rtc rtc([] { return std::time_t{1735689599}; });  // 2024-12-31 23:59:59, a Tuesday
  EXPECT_EQ(cmos(rtc, 0), 0x59);
  EXPECT_EQ(cmos(rtc, 2), 0x59);
  EXPECT_EQ(cmos(rtc, 4), 0x23);
  EXPECT_EQ(cmos(rtc, 6), 0x03);
  EXPECT_EQ(cmos(rtc, 7), 0x31);
  EXPECT_EQ(cmos(rtc, 8), 0x12);
  EXPECT_EQ(cmos(rtc, 9), 0x24);
  EXPECT_EQ(cmos(rtc, 0x32), 0x20);
}

TEST(Rtc, ChangesItsFormatWhenAsked) {
  Rtc rtc([] { return std::time_t{1735689599}; });
  set_cmos(rtc, 0x0b, 0x06);
  EXPECT_EQ(cmos(rtc, 0), 59);
  EXPECT_EQ(cmos(rtc, 4), 23);
  set_cmos(rtc, 0x0b, 0x00);
  EXPECT_EQ(cmos(rtc, 4), 0x91);  // 11 PM
}

TEST(Rtc, StatusNeverKeepsLinuxWaiting) {
  Rtc rtc({});
  EXPECT_EQ(cmos(rtc, 0x0a), 0x26);
  set_cmos(rtc, 0x0a, 0xff);
  EXPECT_EQ(cmos(rtc, 0x0a) & 0x80, 0);
  EXPECT_EQ(cmos(rtc, 0x0b), 0x02);
  EXPECT_EQ(cmos(rtc, 0x0c), 0);
  EXPECT_EQ(cmos(rtc, 0x0d), 0x80);
  EXPECT_EQ(cmos(rtc, 0x8d), 0x80);  // with the NMI masked
}

TEST(Rtc, KeepsOtherBytes) {
  Rtc rtc({});
  set_cmos(rtc, 0x40, 0x77);
  EXPECT_EQ(cmos(rtc, 0x40), 0x77);
  rtc.reset();
  EXPECT_EQ(cmos(rtc, 0x40), 0);
}

}  // namespace
}  // namespace ringside::dev
