// ACPI fixed hardware (ACPI 6.4 4.8.3): PM1 event and control registers, and the power management timer.  The
// machine is always in ACPI mode; no event ever sets a status bit.
//
//   +0  PM1 status   2 bytes   reads zero
//   +2  PM1 enable   2 bytes   keeps what is written: ACPICA checks that it does
//   +4  PM1 control  2 bytes   SCI_EN reads one; SLP_EN with SLP_TYP of S5 is power off
//   +8  PM timer     4 bytes   3.579545 MHz, wraps at 32 bits
#pragma once

#include <chrono>
#include <cstdint>
#include <functional>
#include <mutex>

#include "vmm/dev/bus.hpp"

namespace ringside::dev {

class AcpiPm final : public BytePortDevice {
 public:
  using Clock = std::function<std::chrono::nanoseconds()>;  // monotonic, from any thread

  AcpiPm(Clock clock, std::function<void()> on_poweroff);
  void reset();

  // The timer is latched as a whole: a 4-byte read must not be put together from four moments.
  void read(std::uint16_t offset, MutableByteView to) override;

 private:
  std::uint8_t read_byte(std::uint16_t offset) override;
  void write_byte(std::uint16_t offset, std::uint8_t value) override;
  bool write_locked(std::uint16_t offset, std::uint8_t value);
  std::uint32_t ticks() const;

  std::mutex mutex_;  // why not an inbox: bus.hpp
  const Clock clock_;
  const std::function<void()> on_poweroff_;
  std::uint16_t enable_ = 0;
  std::uint16_t control_ = 0;
};

}  // namespace ringside::dev
