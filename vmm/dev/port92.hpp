// System control port A (0x92): bit 0 resets the machine, bit 1 is the "fast" gate of address line 20, which
// is always open here.
//
// Thread: any vCPU; there is no state.
#pragma once

#include <cstdint>
#include <functional>

#include "vmm/dev/bus.hpp"

namespace ringside::dev {

class Port92 final : public BytePortDevice {
 public:
  explicit Port92(std::function<void()> on_reset);

 private:
  std::uint8_t read_byte(std::uint16_t offset) override;
  void write_byte(std::uint16_t offset, std::uint8_t value) override;

  const std::function<void()> on_reset_;
};

}  // namespace ringside::dev
