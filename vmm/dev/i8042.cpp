#include "vmm/dev/i8042.hpp"

#include <utility>

namespace ringside::dev {
namespace {

constexpr std::uint8_t kPulseResetLine = 0xfe;

}  // namespace

I8042::I8042(Port port, std::function<void()> on_reset) : port_(port), on_reset_(std::move(on_reset)) {}

std::uint8_t I8042::read_byte(std::uint16_t) { return 0; }

void I8042::write_byte(std::uint16_t, std::uint8_t value) {
  if (port_ == Port::kCommand && value == kPulseResetLine && on_reset_) on_reset_();
}

}  // namespace ringside::dev
