// I/O ports and interrupt lines: what the ACPI tables (vmm/boot) promise and the devices (vmm/dev) keep.
// Lines are GSIs; below 16 they are the ISA interrupts of the same number.
#pragma once

#include <cstdint>

namespace ringside::mem {

inline constexpr std::uint16_t kI8042Data = 0x60;
inline constexpr std::uint16_t kI8042Command = 0x64;
inline constexpr std::uint16_t kRtcIndex = 0x70;  // 0x71 is the data port
inline constexpr std::uint16_t kPostCode = 0x80;  // written as a delay by Linux (native_io_delay)
inline constexpr std::uint16_t kSystemControl = 0x92;
// What a guest writes here marks a place in its run, for the debugger (GuestEvent::kMark).  Bochs' and QEMU's
// port for debug output, so that no real device is there.
inline constexpr std::uint16_t kMark = 0xe9;
inline constexpr std::uint16_t kCom1 = 0x3f8;
inline constexpr std::uint16_t kPciAddress = 0xcf8;
inline constexpr std::uint16_t kResetControl =
    0xcf9;  // inside the PCI address register, as on a real chipset
inline constexpr std::uint8_t kResetValue = 0x06;
inline constexpr std::uint16_t kPciData = 0xcfc;

// ACPI fixed hardware (ACPI 6.4 4.8.3): the block is ours to place; 0x600 collides with nothing on a PC.
inline constexpr std::uint16_t kAcpiPm = 0x600;
inline constexpr std::uint16_t kPm1Event = kAcpiPm;        // status, enable: 2 + 2 bytes
inline constexpr std::uint16_t kPm1Control = kAcpiPm + 4;  // 2 bytes
inline constexpr std::uint16_t kPmTimer = kAcpiPm + 8;     // 4 bytes, 3.579545 MHz
inline constexpr std::uint16_t kAcpiPmBytes = 12;
inline constexpr std::uint8_t kSleepTypeS5 = 5;  // SLP_TYP that \_S5 in the DSDT names

inline constexpr unsigned kIrqCom1 = 4;
inline constexpr unsigned kIrqRtc = 8;
inline constexpr unsigned kIrqSci = 9;

}  // namespace ringside::mem
