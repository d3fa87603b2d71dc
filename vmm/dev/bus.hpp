// The bus: port and MMIO ranges, each claimed by one device.  What nobody claims reads as ones and swallows
// writes, as on a PC.  The bus does not own its devices; they outlive it.
//
// Thread: ranges are added before the first vCPU runs and never after; from then on every vCPU thread looks
// up without a lock, and several may be inside one device at once.  Each device therefore has its own mutex:
// the vCPU waits for the answer, so an inbox on another thread would only add two hand-overs to the same
// wait.
#pragma once

#include <cstdint>
#include <functional>
#include <vector>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/result.hpp"

namespace ringside::dev {

// Drives one interrupt input of the interrupt controller to a level (KVM_IRQ_LINE stands behind it).  Called
// with the device's mutex held: it must not call back into the device.
using IrqLine = std::function<void(bool level)>;

// What a device tells the machine.  Called on the vCPU thread whose access caused it, without a device mutex.
struct PlatformEvents {
  std::function<void()> on_poweroff;
  std::function<void()> on_reset;
};

// `offset` counts from the first port of the claimed range; an access lies inside the range as a whole.
class PortDevice {
 public:
  virtual ~PortDevice() = default;
  virtual void read(std::uint16_t offset, MutableByteView to) = 0;
  virtual void write(std::uint16_t offset, ByteView from) = 0;
};

// A device whose registers are bytes: a wider access is taken apart, lowest port first, as the ISA bus does.
class BytePortDevice : public PortDevice {
 public:
  void read(std::uint16_t offset, MutableByteView to) override;
  void write(std::uint16_t offset, ByteView from) override;

 protected:
  virtual std::uint8_t read_byte(std::uint16_t offset) = 0;
  virtual void write_byte(std::uint16_t offset, std::uint8_t value) = 0;
};

class MmioDevice {
 public:
  virtual ~MmioDevice() = default;
  virtual void read(std::uint64_t offset, MutableByteView to) = 0;
  virtual void write(std::uint64_t offset, ByteView from) = 0;
};

class Bus {
 public:
  // Refused when the range is empty, leaves the address space or overlaps another.
  Result<void> add_ports(std::uint16_t first, std::uint32_t count, PortDevice& device);
  Result<void> add_mmio(Gpa begin, std::uint64_t bytes, MmioDevice& device);

  // One access of 1, 2 or 4 bytes (ports), 1 to 8 bytes (MMIO).  An access that only partly lies in a claimed
  // range is done byte by byte.
  void read_port(std::uint16_t port, MutableByteView to) const;
  void write_port(std::uint16_t port, ByteView from) const;
  void read_mmio(Gpa at, MutableByteView to) const;
  void write_mmio(Gpa at, ByteView from) const;

 private:
  template <typename Device>
  struct Range {
    std::uint64_t begin;
    std::uint64_t end;
    Device* device;
  };
  template <typename Device>
  static Result<void> add(std::vector<Range<Device>>& ranges, Range<Device> range);
  template <typename Device>
  static const Range<Device>* find(const std::vector<Range<Device>>& ranges, std::uint64_t at);

  std::vector<Range<PortDevice>> ports_;  // sorted by begin
  std::vector<Range<MmioDevice>> mmio_;
};

}  // namespace ringside::dev
