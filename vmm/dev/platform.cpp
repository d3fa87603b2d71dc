#include "vmm/dev/platform.hpp"

#include <utility>

#include "vmm/dev/acpi_pm.hpp"
#include "vmm/dev/i8042.hpp"
#include "vmm/dev/pci_stub.hpp"
#include "vmm/dev/port92.hpp"
#include "vmm/dev/rtc.hpp"
#include "vmm/dev/serial.hpp"
#include "vmm/mem/ports.hpp"

namespace ringside::dev {
namespace {

IrqLine line(const PlatformConfig& config, unsigned gsi) {
  if (!config.set_irq) return {};
  return [set = config.set_irq, gsi](bool level) { set(gsi, level); };
}

AcpiPm::Clock monotonic(const PlatformConfig& config) {
  if (config.clock) return config.clock;
  return [] { return std::chrono::nanoseconds(std::chrono::steady_clock::now().time_since_epoch()); };
}

}  // namespace

struct Platform::Parts {
  explicit Parts(const PlatformConfig& config)
      : com1(line(config, mem::kIrqCom1), config.console, config.console_waits),
        rtc({}),
        keyboard_data(I8042::Port::kData, {}),
        keyboard_command(I8042::Port::kCommand, config.events.on_reset),
        system_control(config.events.on_reset),
        acpi_pm(monotonic(config), config.events.on_poweroff),
        pci(config.events.on_reset) {}

  Result<void> connect() {
    RS_TRY(bus.add_ports(mem::kCom1, Serial::kPorts, com1));
    RS_TRY(bus.add_ports(mem::kRtcIndex, Rtc::kPorts, rtc));
    RS_TRY(bus.add_ports(mem::kI8042Data, 1, keyboard_data));
    RS_TRY(bus.add_ports(mem::kI8042Command, 1, keyboard_command));
    RS_TRY(bus.add_ports(mem::kSystemControl, 1, system_control));
    RS_TRY(bus.add_ports(mem::kAcpiPm, mem::kAcpiPmBytes, acpi_pm));
    return bus.add_ports(mem::kPciAddress, PciStub::kPorts, pci);
  }

  Serial com1;
  Rtc rtc;
  I8042 keyboard_data;
  I8042 keyboard_command;
  Port92 system_control;
  AcpiPm acpi_pm;
  PciStub pci;
  Bus bus;
};

Platform::Platform(std::unique_ptr<Parts> parts) : parts_(std::move(parts)) {}

Platform::~Platform() { flush(); }

Result<std::unique_ptr<Platform>> Platform::create(const PlatformConfig& config) {
  auto parts = std::make_unique<Parts>(config);
  RS_TRY(parts->connect());
  return std::unique_ptr<Platform>(new Platform(std::move(parts)));
}

const Bus& Platform::bus() const { return parts_->bus; }

std::size_t Platform::type(std::string_view input) { return parts_->com1.receive(input); }

void Platform::flush() { parts_->com1.flush(); }

void Platform::reset() {
  parts_->com1.reset();
  parts_->rtc.reset();
  parts_->acpi_pm.reset();
  parts_->pci.reset();
}

}  // namespace ringside::dev
