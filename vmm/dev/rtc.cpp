#include "vmm/dev/rtc.hpp"

#include <utility>

namespace ringside::dev {
namespace {

enum Register : std::uint8_t {
  kSeconds = 0,
  kMinutes = 2,
  kHours = 4,
  kWeekday = 6,
  kDay = 7,
  kMonth = 8,
  kYear = 9,
  kStatusA = 0x0a,
  kStatusB = 0x0b,
  kStatusC = 0x0c,
  kStatusD = 0x0d,
  kCentury = 0x32,  // as the FADT says
};

// Update-in-progress (bit 7) is never seen: a reading is made from one look at the clock's second, and Linux
// waits a second and more for a bit that stays set.
constexpr std::uint8_t kStatusAValue = 0x26;  // 32.768 kHz, 1024 Hz: what a PC's firmware leaves
constexpr std::uint8_t kStatusAWritable = 0x7f;
constexpr std::uint8_t kBinary = 0x04;
constexpr std::uint8_t k24Hours = 0x02;
constexpr std::uint8_t kValid = 0x80;      // battery good; Linux tests that bit 6 is clear
constexpr std::uint8_t kIndexMask = 0x7f;  // bit 7 of the index port masks the NMI

}  // namespace

Rtc::Rtc(Clock clock) : clock_(clock ? std::move(clock) : Clock([] { return std::time(nullptr); })) {
  reset();
}

void Rtc::reset() {
  const std::lock_guard lock(mutex_);
  index_ = 0;
  cmos_ = {};
  cmos_[kStatusA] = kStatusAValue;
  cmos_[kStatusB] = k24Hours;
}

std::uint8_t Rtc::read_byte(std::uint16_t offset) {
  const std::lock_guard lock(mutex_);
  return offset == 0 ? 0xff : read_register(index_);  // the index port is write-only
}

void Rtc::write_byte(std::uint16_t offset, std::uint8_t value) {
  const std::lock_guard lock(mutex_);
  if (offset == 0) {
    index_ = value & kIndexMask;
  } else {
    cmos_[index_] = index_ == kStatusA ? value & kStatusAWritable : value;
  }
}

std::uint8_t Rtc::read_register(std::uint8_t index) const {
  switch (index) {
    case kSeconds:
    case kMinutes:
    case kHours:
    case kWeekday:
    case kDay:
    case kMonth:
    case kYear:
    case kCentury:
      return time_register(index);
    case kStatusC:
      return 0;  // no interrupt was ever raised
    case kStatusD:
      return kValid;
    default:
      return cmos_[index];
  }
}

std::uint8_t Rtc::time_register(std::uint8_t index) const {
  const std::time_t now = clock_();
  std::tm utc{};
  ::gmtime_r(&now, &utc);
  const int year = utc.tm_year + 1900;
  int value = 0;
  int flags = 0;
  switch (index) {
    case kSeconds:
      value = utc.tm_sec;
      break;
    case kMinutes:
      value = utc.tm_min;
      break;
    case kHours:
      value = utc.tm_hour;
      break;
    case kWeekday:
      value = utc.tm_wday + 1;
      break;
    case kDay:
      value = utc.tm_mday;
      break;
    case kMonth:
      value = utc.tm_mon + 1;
      break;
    case kYear:
      value = year % 100;
      break;
    default:
      value = year / 100;
      break;
  }
  if (index == kHours && (cmos_[kStatusB] & k24Hours) == 0) {
    flags = value >= 12 ? 0x80 : 0;
    value = value % 12 == 0 ? 12 : value % 12;
  }
  if ((cmos_[kStatusB] & kBinary) == 0) value = value / 10 * 16 + value % 10;
  return static_cast<std::uint8_t>(value | flags);
}

}  // namespace ringside::dev
