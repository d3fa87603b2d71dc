// Of the keyboard controller only the line that resets the machine (command 0xfe).  It answers zero: a status
// with nothing in either buffer, so that Linux, which polls it before a reboot, need not wait.  The FADT says
// that there is none, which keeps Linux from probing for a keyboard.
//
// Thread: any vCPU; there is no state.
#pragma once

#include <cstdint>
#include <functional>

#include "vmm/dev/bus.hpp"

namespace ringside::dev {

class I8042 final : public BytePortDevice {
 public:
  enum class Port : std::uint8_t { kData, kCommand };  // 0x60 and 0x64: 0x61 between them belongs to the PIT

  I8042(Port port, std::function<void()> on_reset);

 private:
  std::uint8_t read_byte(std::uint16_t offset) override;
  void write_byte(std::uint16_t offset, std::uint8_t value) override;

  const Port port_;
  const std::function<void()> on_reset_;
};

}  // namespace ringside::dev
