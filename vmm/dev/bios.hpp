// The services of a PC BIOS that arch/x86/boot asks for on its way from the 16-bit entry to protected mode:
// memory map, equipment, A20, clock; and "there is none" for screen, disks, keyboard, APM and SpeedStep, in the
// words that each of these has for it.  Interrupts by number as in Ralf Brown's list.
//
// What is asked and not known is refused with the carry flag, and logged once.  A character written with
// int 10h AH=0e goes to the console, line by line: whoever prints on the serial port as well (earlyprintk)
// is seen twice.  No hardware interrupt ever comes: nothing has set up timer and interrupt controllers.
//
// Thread: any vCPU; a mutex guards the little state there is.
#pragma once

#include <bitset>
#include <cstdint>
#include <functional>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>

#include "arch/guest_view.hpp"

namespace ringside::dev {

// The caller's registers, and what goes into the flags that `iret` gives back to it.
struct BiosRegs {
  std::uint32_t eax = 0, ebx = 0, ecx = 0, edx = 0, esi = 0, edi = 0, ebp = 0;
  std::uint16_t es = 0;
  bool carry = false;
  std::optional<bool> zero = {};  // nothing: as it was
};

class Bios {
 public:
  struct Config {
    std::uint64_t ram_bytes = 0;
    std::function<void(std::string_view)> console;
    std::function<void()> console_waits;            // a line has begun: flush() soon
    std::function<std::uint32_t()> seconds_of_day;  // local time; empty: the host's UTC
  };
  explicit Bios(Config config);

  // Interrupt `vector`, called in real mode.
  void call(std::uint8_t vector, BiosRegs& regs, PhysicalMemory& memory);
  // A line that has no end yet goes to the console, too.  Any thread.
  void flush();
  // Power-on state.
  void reset();

 private:
  enum class Answer : std::uint8_t { kDone, kRefused, kUnknown };

  Answer serve(std::uint8_t vector, BiosRegs& regs, PhysicalMemory& memory);
  Answer video(BiosRegs& regs);
  Answer disk(BiosRegs& regs);
  Answer system(BiosRegs& regs, PhysicalMemory& memory);
  Answer keyboard(BiosRegs& regs);
  Answer clock(BiosRegs& regs);
  Answer memory_map(BiosRegs& regs, PhysicalMemory& memory) const;
  Answer memory_size(BiosRegs& regs) const;
  static Answer a20(BiosRegs& regs);
  void write(char character);
  void flush_line();

  const Config config_;
  std::mutex mutex_;
  std::string line_;                   // of the console, not yet ended
  std::uint16_t cursor_ = 0;           // row, column
  std::bitset<256 * 256> complained_;  // by vector and AH
};

}  // namespace ringside::dev
