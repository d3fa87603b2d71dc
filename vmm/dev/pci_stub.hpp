// The ports of PCI configuration mechanism #1 on a machine without PCI: address and data read as ones, so
// that Linux's probe ends at once.  The reset control register lies in the middle of the address register
// (0xcf9), as on Intel's chipsets, and is reached with byte accesses.
#pragma once

#include <cstdint>
#include <functional>
#include <mutex>

#include "vmm/dev/bus.hpp"

namespace ringside::dev {

class PciStub final : public PortDevice {
 public:
  static constexpr std::uint16_t kPorts = 8;  // 0xcf8..0xcff

  explicit PciStub(std::function<void()> on_reset);
  void reset();

  void read(std::uint16_t offset, MutableByteView to) override;
  void write(std::uint16_t offset, ByteView from) override;

 private:
  std::mutex mutex_;  // why not an inbox: bus.hpp
  const std::function<void()> on_reset_;
  std::uint8_t reset_control_ = 0;
};

}  // namespace ringside::dev
