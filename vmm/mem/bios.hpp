// What the BIOS in guest memory (vmm/boot/bios_image) and its services in the monitor (vmm/dev/bios,
// vmm/run/bios_call) agree on.  Each interrupt vector leads to a stub in the BIOS segment that calls the
// monitor by an `out` and returns:
//
//   F000:E000 + 4 * vector   out %al, $0xb2 ; iret ; nop
//
// 0xb2 is the port by which a PC's software calls the firmware (ICH9 data sheet 9.10, APM_CNT).  The monitor
// knows by CS:IP which service is wanted.
#pragma once

#include <cstdint>

namespace ringside::mem {

inline constexpr std::uint16_t kBiosSegment = 0xf000;
inline constexpr std::uint16_t kBiosStubs = 0xe000;
inline constexpr std::uint16_t kBiosStubBytes = 4;
inline constexpr unsigned kVectors = 256;
inline constexpr std::uint16_t kBiosOutBytes =
    2;  // IP is so far behind a stub's begin when the call is served
inline constexpr std::uint16_t kBiosCall = 0xb2;             // the port
inline constexpr std::uint16_t kBiosConfiguration = 0xe400;  // what int 15h AH=c0 points to
inline constexpr std::uint16_t kBiosReset = 0xfff0;          // the reset vector's offset
static_assert(kBiosStubs + kVectors * kBiosStubBytes <= kBiosConfiguration);

inline constexpr std::uint16_t kConventionalKiB =
    639;  // below the extended BIOS data area (layout.hpp kEbda)

}  // namespace ringside::mem
