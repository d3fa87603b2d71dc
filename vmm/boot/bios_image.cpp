#include "vmm/boot/bios_image.hpp"

#include <algorithm>
#include <initializer_list>

#include "vmm/mem/bios.hpp"
#include "vmm/mem/layout.hpp"
#include "vmm/mem/ports.hpp"

namespace ringside::boot {
namespace {

void put(MutableByteView segment, std::size_t at, std::initializer_list<std::uint8_t> bytes) {
  std::copy(bytes.begin(), bytes.end(), segment.begin() + static_cast<std::ptrdiff_t>(at));
}

Bytes interrupt_table() {
  Bytes table(mem::kVectors * 4);
  for (unsigned vector = 0; vector < mem::kVectors; ++vector) {
    store(&table[vector * 4], static_cast<std::uint16_t>(mem::kBiosStubs + vector * mem::kBiosStubBytes));
    store(&table[vector * 4 + 2], mem::kBiosSegment);
  }
  return table;
}

// The BIOS data area at 0x400 (IBM PC Technical Reference; Linux: arch/x86/boot/video.c, kernel/ebda.c).
// The screen has no columns, by which Linux sees that there is none.
Bytes data_area() {
  Bytes area(0x100);
  store(&area[0x00], mem::kCom1);
  store(&area[0x0e], static_cast<std::uint16_t>(mem::kEbda.value >> 4));
  store(&area[0x10], std::uint16_t{0x0202});  // equipment: coprocessor, one serial port
  store(&area[0x13], mem::kConventionalKiB);
  area[0x49] = 3;                            // video mode
  store(&area[0x63], std::uint16_t{0x3d4});  // port of the CRT controller
  store(&area[0x85], std::uint16_t{16});     // lines of a character
  return area;
}

Bytes segment() {
  constexpr std::uint8_t kModelAt = 0xfe;
  Bytes bytes(mem::kBiosBytes);
  for (unsigned vector = 0; vector < mem::kVectors; ++vector) {
    put(bytes, mem::kBiosStubs + vector * mem::kBiosStubBytes,
        {0xe6, static_cast<std::uint8_t>(mem::kBiosCall), 0xcf, 0x90});
  }
  // Length, model, submodel, revision, features: an AT with a second interrupt controller and a clock.
  put(bytes, mem::kBiosConfiguration, {8, 0, 0xfc, 0, 0, 0x60, 0, 0, 0, 0});
  // mov $6, %al; mov $0xcf9, %dx; out %al, (%dx); jmp .
  put(bytes, mem::kBiosReset, {0xb0, mem::kResetValue, 0xba, 0xf9, 0x0c, 0xee, 0xeb, 0xfe});
  put(bytes, mem::kBiosReset + (kModelAt & 0xfu), {0xfc});
  return bytes;
}

}  // namespace

Result<void> write_bios(mem::GuestRam& ram) {
  constexpr Gpa kInterruptTable{0}, kDataArea{0x400};
  const std::uint8_t kilobytes_of_ebda = 1;
  if (!ram.write(kInterruptTable, interrupt_table()) || !ram.write(kDataArea, data_area()) ||
      !ram.write(mem::kEbda, bytes_of(kilobytes_of_ebda)) || !ram.write(mem::kBios, segment()))
    return fail(Errc::kNotMapped, "no guest RAM below 1 MiB for the BIOS");
  return {};
}

}  // namespace ringside::boot
