// The real-time clock of a PC with its CMOS memory (MC146818): the host's time in UTC, read only.  Writing
// the time is ignored; alarms and periodic interrupts are accepted and never come.
#pragma once

#include <array>
#include <cstdint>
#include <ctime>
#include <functional>
#include <mutex>

#include "vmm/dev/bus.hpp"

namespace ringside::dev {

class Rtc final : public BytePortDevice {
 public:
  static constexpr std::uint16_t kPorts = 2;  // index, data
  using Clock = std::function<std::time_t()>;

  explicit Rtc(Clock clock);  // empty: the host's
  void reset();

 private:
  std::uint8_t read_byte(std::uint16_t offset) override;
  void write_byte(std::uint16_t offset, std::uint8_t value) override;
  std::uint8_t read_register(std::uint8_t index) const;
  std::uint8_t time_register(std::uint8_t index) const;

  std::mutex mutex_;  // why not an inbox: bus.hpp
  const Clock clock_;
  std::uint8_t index_ = 0;
  std::array<std::uint8_t, 128> cmos_{};
};

}  // namespace ringside::dev
