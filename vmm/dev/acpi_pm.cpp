#include "vmm/dev/acpi_pm.hpp"

#include <utility>

#include "vmm/mem/ports.hpp"

namespace ringside::dev {
namespace {

constexpr std::uint16_t kEnable = 2;
constexpr std::uint16_t kControl = mem::kPm1Control - mem::kAcpiPm;
constexpr std::uint16_t kTimer = mem::kPmTimer - mem::kAcpiPm;

constexpr std::uint16_t kSciEnable = 1u << 0;
constexpr std::uint16_t kSleepEnable = 1u << 13;  // write-only
constexpr unsigned kSleepTypeShift = 10;
constexpr unsigned kSleepTypeMask = 7;

constexpr std::uint64_t kTimerHz = 3'579'545;
constexpr std::uint64_t kNanoseconds = 1'000'000'000;

std::uint8_t byte_of(std::uint32_t value, unsigned index) {
  return static_cast<std::uint8_t>(value >> (8 * index));
}

std::uint16_t with_byte(std::uint16_t value, unsigned index, std::uint8_t byte) {
  const unsigned shift = 8 * index;
  return static_cast<std::uint16_t>((value & ~(0xffu << shift)) | unsigned{byte} << shift);
}

}  // namespace

AcpiPm::AcpiPm(Clock clock, std::function<void()> on_poweroff)
    : clock_(std::move(clock)), on_poweroff_(std::move(on_poweroff)) {}

void AcpiPm::reset() {
  const std::lock_guard lock(mutex_);
  enable_ = 0;
  control_ = 0;
}

std::uint32_t AcpiPm::ticks() const {
  const auto now = static_cast<std::uint64_t>(clock_().count());
  return static_cast<std::uint32_t>(now / kNanoseconds * kTimerHz +
                                    now % kNanoseconds * kTimerHz / kNanoseconds);
}

void AcpiPm::read(std::uint16_t offset, MutableByteView to) {
  if (offset == kTimer && to.size() == sizeof(std::uint32_t)) return store(to.data(), ticks());
  BytePortDevice::read(offset, to);
}

std::uint8_t AcpiPm::read_byte(std::uint16_t offset) {
  const std::lock_guard lock(mutex_);
  if (offset >= kTimer) return byte_of(ticks(), offset - kTimer);
  if (offset >= kControl)
    return offset < kControl + 2 ? byte_of(control_ | kSciEnable, offset - kControl) : 0;
  return offset >= kEnable ? byte_of(enable_, offset - kEnable) : 0;
}

void AcpiPm::write_byte(std::uint16_t offset, std::uint8_t value) {
  bool power_off = false;
  {
    const std::lock_guard lock(mutex_);
    power_off = write_locked(offset, value);
  }
  if (power_off && on_poweroff_) on_poweroff_();
}

// SLP_TYP and SLP_EN share the upper byte of the control register, so that this byte alone decides.
bool AcpiPm::write_locked(std::uint16_t offset, std::uint8_t value) {
  if (offset == kEnable || offset == kEnable + 1) enable_ = with_byte(enable_, offset - kEnable, value);
  if (offset != kControl && offset != kControl + 1) return false;
  const std::uint16_t written = with_byte(control_, offset - kControl, value);
  control_ = static_cast<std::uint16_t>(written & ~kSleepEnable);
  const unsigned type = (written >> kSleepTypeShift) & kSleepTypeMask;
  return (written & kSleepEnable) != 0 && type == mem::kSleepTypeS5;
}

}  // namespace ringside::dev
