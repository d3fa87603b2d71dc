// The devices of the machine, made and put on a bus in one call: COM1, RTC, i8042, ACPI power management,
// reset register, PCI configuration ports that answer "nothing here".
//
// Thread: create and reset while no vCPU runs; bus() from vCPU threads; console input and flush from any.
#pragma once

#include <chrono>
#include <cstddef>
#include <functional>
#include <memory>
#include <string_view>

#include "arch/result.hpp"
#include "vmm/dev/bus.hpp"

namespace ringside::dev {

struct PlatformConfig {
  std::function<void(unsigned gsi, bool level)> set_irq;  // from any thread that touches a device
  std::function<void(std::string_view)> console;          // what the guest prints on COM1, in pieces
  std::function<void()> console_waits;  // a line has begun: flush() it soon; any vCPU thread
  PlatformEvents events;
  std::function<std::chrono::nanoseconds()> clock;  // monotonic, for the PM timer; empty: the host's
};

class Platform {
 public:
  static Result<std::unique_ptr<Platform>> create(const PlatformConfig& config);
  ~Platform();
  Platform(const Platform&) = delete;
  Platform& operator=(const Platform&) = delete;

  const Bus& bus() const;

  // Console input.  Returns how many bytes were taken; offer the rest again later (a guest that does not
  // read).
  std::size_t type(std::string_view input);

  // Hands collected console output to the sink.  The guest's output is collected up to a line; call this from
  // a timer a little after console_waits, and before the machine ends: a prompt without a newline is seen.
  void flush();

  // Power-on state of every device, for a reset of the machine.
  void reset();

 private:
  struct Parts;
  explicit Platform(std::unique_ptr<Parts> parts);
  std::unique_ptr<Parts> parts_;
};

}  // namespace ringside::dev
