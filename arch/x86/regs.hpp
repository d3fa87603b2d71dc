// The registers a debugger sees, from regs.def, and RegisterFile: one vCPU's values as gdb's bytes.
//
// Pure values; no allocation.  A RegisterFile is filled group by group (a group is what KVM gives in one
// call) and says of each register whether it was.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string_view>

#include "arch/bytes.hpp"
#include "arch/x86/cpu.hpp"

namespace ringside::x86 {

// The value is the number on the wire.
enum class Reg : std::uint16_t {
#define REG(id, name, bytes, type, feature, group) id,
#include "arch/x86/regs.def"
#undef REG
};

// What gdb calls a feature of the description; feature_name() spells it.
enum class RegFeature : std::uint8_t {
  kCore,
  kSse,
  kLinux,
  kSegments,
  kSystem,
  kPkeys,
  kAvx,
  kAvx512,
  kMsr,
  kDebug
};
inline constexpr std::size_t kRegFeatureCount = 10;

// What KVM reads or writes in one call.
enum class RegGroup : std::uint8_t {
  kCore,       // KVM_GET_REGS: general registers, rip, rflags
  kSystem,     // KVM_GET_SREGS: segments, bases, control registers, efer, tables, apic_base
  kFpu,        // KVM_GET_FPU or the legacy part of KVM_GET_XSAVE: x87 and SSE
  kAvx,        // KVM_GET_XSAVE, component 2
  kAvx512,     // KVM_GET_XSAVE, components 5 to 7
  kPkru,       // KVM_GET_XSAVE, component 9
  kMsr,        // KVM_GET_MSRS
  kDebug,      // KVM_GET_DEBUGREGS
  kSynthetic,  // not in the machine: orig_rax, which reads as ~0 and drops writes
};
inline constexpr std::size_t kRegGroupCount = 9;

class RegGroups {
 public:
  class Iterator {
   public:
    constexpr explicit Iterator(std::uint16_t rest) : rest_(rest) {}
    constexpr RegGroup operator*() const;
    constexpr Iterator& operator++() {
      rest_ = static_cast<std::uint16_t>(rest_ & (rest_ - 1));
      return *this;
    }
    constexpr bool operator==(const Iterator&) const = default;

   private:
    std::uint16_t rest_;
  };

  constexpr RegGroups() = default;
  constexpr RegGroups(RegGroup group)
      : bits_(static_cast<std::uint16_t>(1u << static_cast<unsigned>(group))) {}
  static constexpr RegGroups all() { return RegGroups((1u << kRegGroupCount) - 1); }

  constexpr RegGroups operator|(RegGroups other) const { return RegGroups(unsigned{bits_} | other.bits_); }
  constexpr RegGroups operator&(RegGroups other) const { return RegGroups(unsigned{bits_} & other.bits_); }
  constexpr RegGroups without(RegGroups other) const { return RegGroups(bits_ & ~unsigned{other.bits_}); }
  constexpr RegGroups& operator|=(RegGroups other) { return *this = *this | other; }
  constexpr bool contains(RegGroups other) const { return (bits_ & other.bits_) == other.bits_; }
  constexpr bool empty() const { return bits_ == 0; }
  constexpr bool operator==(const RegGroups&) const = default;
  constexpr Iterator begin() const { return Iterator(bits_); }
  constexpr Iterator end() const { return Iterator(0); }

 private:
  constexpr explicit RegGroups(unsigned bits) : bits_(static_cast<std::uint16_t>(bits)) {}
  std::uint16_t bits_ = 0;
};

constexpr RegGroups operator|(RegGroup a, RegGroup b) { return RegGroups(a) | RegGroups(b); }

constexpr RegGroup RegGroups::Iterator::operator*() const {
  unsigned number = 0;
  while (((rest_ >> number) & 1u) == 0) ++number;
  return static_cast<RegGroup>(number);
}

struct RegInfo {
  std::string_view name;  // gdb's
  std::string_view type;  // gdb's, or one that the target description defines
  std::uint16_t bytes;
  std::uint16_t offset;  // into RegisterFile's storage, ascending: rows up to g_packet_end() lie as in `g`
  RegFeature feature;
  RegGroup group;
};

// All registers in the order of their numbers.
std::span<const RegInfo> registers();
const RegInfo& info(Reg reg);
std::optional<Reg> find(std::string_view name);
std::optional<Reg> by_number(unsigned number);
std::string_view feature_name(RegFeature feature);

inline constexpr std::size_t kRegCount = 0
#define REG(id, name, bytes, type, feature, group) +1
#include "arch/x86/regs.def"
#undef REG
    ;
inline constexpr std::size_t kRegBytes = 0
#define REG(id, name, bytes, type, feature, group) +bytes
#include "arch/x86/regs.def"
#undef REG
    ;

// Number of registers in the `g` packet: the first so many.
constexpr std::size_t g_packet_end() { return static_cast<std::size_t>(Reg::kIdtrLimit) + 1; }
// Groups needed to fill a `g` packet.
constexpr RegGroups g_packet_groups() {
  return RegGroup::kCore | RegGroup::kSystem | RegGroup::kFpu | RegGroup::kMsr | RegGroup::kSynthetic;
}

// What the vCPU has beyond the baseline; decides which features the target description holds.
struct CpuFeatures {
  bool avx = false;
  bool avx512 = false;  // counts only together with avx: gdb rejects one without the other
  bool pkru = false;
  bool operator==(const CpuFeatures&) const = default;
};
bool has_feature(const CpuFeatures& cpu, RegFeature feature);

// One vCPU's register values, little-endian.  At first only kSynthetic is available, and all else is zero.
class RegisterFile {
 public:
  RegisterFile();

  ByteView raw(Reg reg) const;
  MutableByteView raw(Reg reg);

  // The value zero-extended; the low eight bytes of a longer register.
  std::uint64_t u64(Reg reg) const;
  // Cut to the register's size; longer registers get zeros above.  Writes to kSynthetic are dropped.
  void set_u64(Reg reg, std::uint64_t value);
  // `value` has the register's size, else nothing happens and false is returned.  kSynthetic as above.
  bool set_raw(Reg reg, ByteView value);

  bool available(Reg reg) const;
  RegGroups available_groups() const { return available_; }
  void set_available(RegGroup group, bool available);

  bool operator==(const RegisterFile&) const = default;

 private:
  std::array<std::uint8_t, kRegBytes> bytes_{};
  RegGroups available_;
};

// CoreRegs has instruction encoding order (rax rcx rdx rbx …), gdb another (rax rbx rcx rdx …).
void pack_core(const CoreRegs& core, RegisterFile& to);  // makes kCore available
CoreRegs unpack_core(const RegisterFile& from);

}  // namespace ringside::x86
