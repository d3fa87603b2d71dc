// Bits of the control, flags and debug registers, by the paragraph of the SDM that defines them.
#pragma once

#include <cstdint>

namespace ringside::x86 {

constexpr std::uint64_t bit(unsigned number) { return std::uint64_t{1} << number; }

namespace cr0 {  // SDM 3A 2.5
inline constexpr std::uint64_t kPe = bit(0), kMp = bit(1), kEm = bit(2), kTs = bit(3), kEt = bit(4),
                               kNe = bit(5), kWp = bit(16), kAm = bit(18), kNw = bit(29), kCd = bit(30),
                               kPg = bit(31);
}  // namespace cr0

namespace cr3 {  // SDM 3A 4.3, 4.4.1, 4.5: what remains is PWT, PCD or the PCID, and LAM's bits 61 and 62
inline constexpr std::uint64_t kTable32 = 0xffff'f000, kTablePae = 0xffff'ffe0,
                               kTable64 = 0x000f'ffff'ffff'f000;
}  // namespace cr3

namespace cr4 {  // SDM 3A 2.5
inline constexpr std::uint64_t kVme = bit(0), kPvi = bit(1), kTsd = bit(2), kDe = bit(3), kPse = bit(4),
                               kPae = bit(5), kMce = bit(6), kPge = bit(7), kPce = bit(8), kOsfxsr = bit(9),
                               kOsxmmexcpt = bit(10), kUmip = bit(11), kLa57 = bit(12), kVmxe = bit(13),
                               kSmxe = bit(14), kFsgsbase = bit(16), kPcide = bit(17), kOsxsave = bit(18),
                               kSmep = bit(20), kSmap = bit(21), kPke = bit(22), kCet = bit(23),
                               kPks = bit(24), kUintr = bit(25), kLass = bit(27), kLamSup = bit(28),
                               kFred = bit(32);
}  // namespace cr4

namespace efer {  // SDM 3A 2.2.1; SVME and above AMD APM 2 3.1.7
inline constexpr std::uint64_t kSce = bit(0), kLme = bit(8), kLma = bit(10), kNxe = bit(11), kSvme = bit(12);
}  // namespace efer

namespace rflags {  // SDM 1 3.4.3
inline constexpr std::uint64_t kCf = bit(0), kAlways1 = bit(1), kPf = bit(2), kAf = bit(4), kZf = bit(6),
                               kSf = bit(7), kTf = bit(8), kIf = bit(9), kDf = bit(10), kOf = bit(11),
                               kIopl = bit(12) | bit(13), kNt = bit(14), kRf = bit(16), kVm = bit(17),
                               kAc = bit(18), kVif = bit(19), kVip = bit(20), kId = bit(21);
}  // namespace rflags

namespace dr6 {  // SDM 3B 17.2.3
inline constexpr std::uint64_t kB0 = bit(0), kB1 = bit(1), kB2 = bit(2), kB3 = bit(3), kBd = bit(13),
                               kBs = bit(14), kBt = bit(15), kNotRtm = bit(16);
inline constexpr std::uint64_t kReset = 0xffff'0ff0;  // SDM 3A table 9-1
}  // namespace dr6

namespace dr7 {  // SDM 3B 17.2.4
inline constexpr std::uint64_t kLe = bit(8), kGe = bit(9), kAlways1 = bit(10), kGd = bit(13);
constexpr std::uint64_t local(unsigned slot) { return bit(2 * slot); }
constexpr std::uint64_t global(unsigned slot) { return bit(2 * slot + 1); }
constexpr unsigned condition_shift(unsigned slot) { return 16 + 4 * slot; }
constexpr unsigned length_shift(unsigned slot) { return 18 + 4 * slot; }
inline constexpr std::uint64_t kReset = 0x400;
}  // namespace dr7

}  // namespace ringside::x86
