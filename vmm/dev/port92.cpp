#include "vmm/dev/port92.hpp"

#include <utility>

namespace ringside::dev {
namespace {

constexpr std::uint8_t kReset = 1u << 0;
constexpr std::uint8_t kAddressLine20 = 1u << 1;

}  // namespace

Port92::Port92(std::function<void()> on_reset) : on_reset_(std::move(on_reset)) {}

std::uint8_t Port92::read_byte(std::uint16_t) { return kAddressLine20; }

void Port92::write_byte(std::uint16_t, std::uint8_t value) {
  if ((value & kReset) != 0 && on_reset_) on_reset_();
}

}  // namespace ringside::dev
