#include "vmm/dev/pci_stub.hpp"

#include <algorithm>
#include <utility>

#include "vmm/mem/ports.hpp"

namespace ringside::dev {
namespace {

constexpr std::uint16_t kResetOffset = mem::kResetControl - mem::kPciAddress;
constexpr std::uint8_t kResetCpu = 0x04;  // setting it resets; bit 1 chooses how (ICH9 data sheet 13.7.5)

}  // namespace

PciStub::PciStub(std::function<void()> on_reset) : on_reset_(std::move(on_reset)) {}

void PciStub::reset() {
  const std::lock_guard lock(mutex_);
  reset_control_ = 0;
}

void PciStub::read(std::uint16_t offset, MutableByteView to) {
  std::fill(to.begin(), to.end(), std::uint8_t{0xff});
  if (offset != kResetOffset || to.size() != 1) return;
  const std::lock_guard lock(mutex_);
  to[0] = reset_control_;
}

void PciStub::write(std::uint16_t offset, ByteView from) {
  if (offset != kResetOffset || from.size() != 1) return;
  bool reset_now = false;
  {
    const std::lock_guard lock(mutex_);
    reset_now = (from[0] & kResetCpu) != 0;
    reset_control_ = from[0] & static_cast<std::uint8_t>(~kResetCpu);
  }
  if (reset_now && on_reset_) on_reset_();
}

}  // namespace ringside::dev
