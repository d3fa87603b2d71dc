#include "vmm/dev/bios.hpp"

#include <algorithm>
#include <ctime>
#include <utility>

#include <spdlog/spdlog.h>

#include "vmm/mem/bios.hpp"
#include "vmm/mem/e820.hpp"
#include "vmm/mem/layout.hpp"

namespace ringside::dev {
namespace {

constexpr std::uint16_t low_word(std::uint32_t value) { return static_cast<std::uint16_t>(value); }
constexpr std::uint8_t low_byte(std::uint32_t value) { return static_cast<std::uint8_t>(value); }
constexpr std::uint8_t high_byte(std::uint32_t value) { return static_cast<std::uint8_t>(value >> 8); }
constexpr void set_word(std::uint32_t& reg, std::uint32_t value) {
  reg = (reg & 0xffff0000u) | (value & 0xffffu);
}
constexpr void set_high_byte(std::uint32_t& reg, std::uint32_t value) {
  reg = (reg & 0xffff00ffu) | (value & 0xffu) << 8;
}

constexpr std::uint8_t kNotSupported = 0x86;  // AH of int 15h
constexpr std::uint8_t kBadCommand = 0x01;    // AH of int 13h
constexpr std::size_t kLongestLine = 1024;

std::uint32_t utc_seconds_of_day() {
  constexpr std::time_t kDay = 86400;
  return static_cast<std::uint32_t>(std::time(nullptr) % kDay);
}

// RAM from `begin` on to the end of its e820 entry.
std::uint64_t ram_above(std::uint64_t ram_bytes, Gpa begin) {
  for (const mem::E820Entry& entry : mem::e820_map(ram_bytes)) {
    const bool inside = entry.begin <= begin && begin < entry.begin + entry.bytes;
    if (inside && entry.type == mem::E820Type::kRam) return entry.bytes - (begin - entry.begin);
  }
  return 0;
}

}  // namespace

Bios::Bios(Config config) : config_(std::move(config)) {}

void Bios::reset() {
  const std::lock_guard lock(mutex_);
  line_.clear();
  cursor_ = 0;
  complained_.reset();
}

void Bios::call(std::uint8_t vector, BiosRegs& regs, PhysicalMemory& memory) {
  const std::lock_guard lock(mutex_);
  const std::uint32_t asked = regs.eax;
  const Answer answer = serve(vector, regs, memory);
  regs.carry = answer != Answer::kDone;
  const std::size_t which = std::size_t{vector} << 8 | high_byte(asked);
  if (answer != Answer::kUnknown || complained_.test(which)) return;
  complained_.set(which);
  spdlog::warn("bios: int {:#04x} with AX={:04x} is not there: refused with the carry flag", vector,
               low_word(asked));
}

Bios::Answer Bios::serve(std::uint8_t vector, BiosRegs& regs, PhysicalMemory& memory) {
  switch (vector) {
    case 0x10:
      return video(regs);
    case 0x11:
      set_word(regs.eax, memory.load_at<std::uint16_t>(Gpa{0x410}).value_or(0));
      return Answer::kDone;
    case 0x12:
      set_word(regs.eax, mem::kConventionalKiB);
      return Answer::kDone;
    case 0x13:
      return disk(regs);
    case 0x15:
      return system(regs, memory);
    case 0x16:
      return keyboard(regs);
    case 0x1a:
      return clock(regs);
    default:
      return Answer::kUnknown;
  }
}

// A teletype.  What asks for an EGA (AH=12 BL=10), a VGA (1a) or VESA (4f) finds its registers as they were.
Bios::Answer Bios::video(BiosRegs& regs) {
  constexpr std::uint32_t kTextMode = 3, kColumns = 80, kCursorShape = 0x0607;
  switch (high_byte(regs.eax)) {
    case 0x02:
      cursor_ = low_word(regs.edx);
      return Answer::kDone;
    case 0x03:
      set_word(regs.eax, 0);
      set_word(regs.ecx, kCursorShape);
      set_word(regs.edx, cursor_);
      return Answer::kDone;
    case 0x0e:
      write(static_cast<char>(low_byte(regs.eax)));
      return Answer::kDone;
    case 0x0f:
      set_word(regs.eax, kColumns << 8 | kTextMode);
      set_high_byte(regs.ebx, 0);
      return Answer::kDone;
    case 0x00:  // set mode
    case 0x01:  // cursor shape
    case 0x05:  // page
    case 0x06:  // scroll
    case 0x07:
    case 0x12:
    case 0x1a:
    case 0x4f:
      return Answer::kDone;
    default:
      return Answer::kUnknown;
  }
}

void Bios::write(char character) {
  constexpr char kBell = 7, kBackspace = 8;
  if (character == kBell || character == '\r') return;
  if (character == kBackspace) {
    if (!line_.empty()) line_.pop_back();
    return;
  }
  if (character == '\n') line_ += '\r';  // as the serial port has it
  const bool begins = line_.empty();
  line_ += character;
  if (character == '\n' || line_.size() >= kLongestLine) {
    flush_line();
  } else if (begins && config_.console_waits) {
    config_.console_waits();
  }
}

void Bios::flush_line() {
  if (config_.console && !line_.empty()) config_.console(line_);
  line_.clear();
}

void Bios::flush() {
  const std::lock_guard lock(mutex_);
  flush_line();
}

// No disk, and so no enhanced disk drive services either.
Bios::Answer Bios::disk(BiosRegs& regs) {
  switch (high_byte(regs.eax)) {
    case 0x00:  // reset: nothing to do
      set_high_byte(regs.eax, 0);
      return Answer::kDone;
    case 0x15:  // type of disk: none
      set_high_byte(regs.eax, 0);
      return Answer::kDone;
    case 0x01:
    case 0x02:
    case 0x08:
    case 0x41:
    case 0x42:
    case 0x48:
    case 0x4b:
      set_high_byte(regs.eax, kBadCommand);
      return Answer::kRefused;
    default:
      set_high_byte(regs.eax, kBadCommand);
      return Answer::kUnknown;
  }
}

Bios::Answer Bios::system(BiosRegs& regs, PhysicalMemory& memory) {
  const std::uint16_t asked = low_word(regs.eax);
  if (asked == 0xe820) return memory_map(regs, memory);
  if (asked == 0xe801 || high_byte(asked) == 0x88) return memory_size(regs);
  if (high_byte(asked) == 0x24) return a20(regs);
  if (asked == 0xec00) {  // "the kernel will run in this mode" (arch/x86/boot/main.c, set_bios_mode)
    set_high_byte(regs.eax, 0);
    return Answer::kDone;
  }
  if (high_byte(asked) == 0xc0) {
    regs.es = mem::kBiosSegment;
    set_word(regs.ebx, mem::kBiosConfiguration);
    set_high_byte(regs.eax, 0);
    return Answer::kDone;
  }
  set_high_byte(regs.eax, kNotSupported);
  const bool known_absence = high_byte(asked) == 0x53 || asked == 0xe980;  // APM, SpeedStep
  return known_absence ? Answer::kRefused : Answer::kUnknown;
}

// ACPI 6.4 15.1: EBX counts the entries; 20 bytes of each, or 24 if the caller has room.
Bios::Answer Bios::memory_map(BiosRegs& regs, PhysicalMemory& memory) const {
  constexpr std::uint32_t kSmap = 0x534d4150;
  constexpr std::uint32_t kPlain = 20, kExtended = 24;
  struct {
    std::uint64_t begin, bytes;
    std::uint32_t type, attributes;
  } out{};
  const auto map = mem::e820_map(config_.ram_bytes);
  const std::uint32_t index = regs.ebx;
  const std::uint32_t size = regs.ecx >= kExtended ? kExtended : kPlain;
  set_high_byte(regs.eax, kNotSupported);
  if (regs.edx != kSmap || regs.ecx < kPlain || index >= map.size()) return Answer::kRefused;
  out = {map[index].begin.value, map[index].bytes, static_cast<std::uint32_t>(map[index].type), 1};
  const Gpa to{(std::uint64_t{regs.es} << 4) + low_word(regs.edi)};
  if (!memory.write(to, bytes_of(out).first(size))) return Answer::kRefused;
  regs.eax = kSmap;
  regs.ecx = size;
  regs.ebx = index + 1 < map.size() ? index + 1 : 0;
  return Answer::kDone;
}

// e801: KiB from 1 to 16 MiB, and what follows in units of 64 KiB; 88: KiB above 1 MiB.
Bios::Answer Bios::memory_size(BiosRegs& regs) const {
  constexpr std::uint64_t kMost = 0xffff;
  constexpr std::uint64_t kBelow16 = 15 * mem::kMiB;
  const std::uint64_t all = ram_above(config_.ram_bytes, mem::kOneMiB);
  if (high_byte(regs.eax) == 0x88) {
    set_word(regs.eax, static_cast<std::uint32_t>(std::min(all / mem::kKiB, kMost)));
    return Answer::kDone;
  }
  const std::uint64_t below = std::min(all, kBelow16);
  const auto kilobytes = static_cast<std::uint32_t>(below / mem::kKiB);
  const auto blocks = static_cast<std::uint32_t>(std::min((all - below) / (64 * mem::kKiB), kMost));
  set_word(regs.eax, kilobytes);
  set_word(regs.ecx, kilobytes);
  set_word(regs.ebx, blocks);
  set_word(regs.edx, blocks);
  return Answer::kDone;
}

// The line is always on.
Bios::Answer Bios::a20(BiosRegs& regs) {
  constexpr std::uint32_t kByPort92 = 2;
  switch (low_byte(regs.eax)) {
    case 1:
      set_word(regs.eax, 0);
      return Answer::kDone;
    case 2:
      set_word(regs.eax, 1);
      return Answer::kDone;
    case 3:
      set_word(regs.eax, 0);
      set_word(regs.ebx, kByPort92);
      return Answer::kDone;
    default:
      set_high_byte(regs.eax, kNotSupported);
      return low_byte(regs.eax) == 0 ? Answer::kRefused : Answer::kUnknown;
  }
}

// Nobody types; who waits for a key gets Enter, which every menu of the kernel's takes for an end.
Bios::Answer Bios::keyboard(BiosRegs& regs) {
  constexpr std::uint32_t kEnter = 0x1c0d;
  switch (high_byte(regs.eax)) {
    case 0x00:
    case 0x10:
      set_word(regs.eax, kEnter);
      return Answer::kDone;
    case 0x01:
    case 0x11:
      set_word(regs.eax, 0);
      regs.zero = true;
      return Answer::kDone;
    case 0x02:
    case 0x12:
      set_word(regs.eax, 0);
      return Answer::kDone;
    case 0x03:  // repeat rate
      return Answer::kDone;
    default:
      return Answer::kUnknown;
  }
}

Bios::Answer Bios::clock(BiosRegs& regs) {
  constexpr std::uint64_t kTicksPerDay = 0x1800b0, kSecondsPerDay = 86400;
  switch (high_byte(regs.eax)) {
    case 0x00: {
      const std::uint64_t seconds = config_.seconds_of_day ? config_.seconds_of_day() : utc_seconds_of_day();
      const auto ticks = static_cast<std::uint32_t>(seconds * kTicksPerDay / kSecondsPerDay);
      set_word(regs.ecx, ticks >> 16);
      set_word(regs.edx, ticks);
      set_word(regs.eax, 0);  // midnight has not passed
      return Answer::kDone;
    }
    case 0xb1:  // PCI
      set_high_byte(regs.eax, 0x81);
      return Answer::kRefused;
    default:
      return Answer::kUnknown;
  }
}

}  // namespace ringside::dev
