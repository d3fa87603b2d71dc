// Memory as an instruction of the guest sees it: with the rights of its ring, and with the accessed and dirty
// bits that its page walk leaves behind (SDM 3A 4.6, 4.8).
//
// For whoever executes an instruction in the CPU's stead: GuestData does what the CPU would have done
// without a fault and without touching a page-table entry, and refuses everything else.  Thread: the vCPU's.
#pragma once

#include <cstdint>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/guest_view.hpp"
#include "arch/x86/cpu.hpp"
#include "arch/x86/paging.hpp"

namespace ringside::x86 {

// All or nothing; false means that nothing happened.
class DataAccess {
 public:
  virtual ~DataAccess() = default;
  [[nodiscard]] virtual bool read(Gva from, MutableByteView to) const noexcept = 0;
  [[nodiscard]] virtual bool write(Gva to, ByteView from) noexcept = 0;
};

enum class Access : std::uint8_t { kRead, kWrite, kFetch };

// Whether the page's rights give the CPU this access in its present state; 64-bit mode only.  No, too, where
// it depends on state not in CpuContext: protection keys, or a bit of CR4 that is unknown here.
bool permits(const CpuContext& cpu, const Leaf& leaf, Gva at, Access access) noexcept;

// Whether each byte of [at, at + size) may be accessed so, translation included.  Memory may be missing
// behind it (then it is MMIO).  At most 4 KiB.
bool reachable(const CpuContext& cpu, Gva at, std::size_t size, Access access,
               const PhysicalMemory& memory) noexcept;

// Refused: what would fault, set an accessed or dirty bit, or reach a device; and for simplicity what crosses
// a page, a user page under SMAP, whatever RFLAGS.AC says, and misaligned data where ring 3 may ask for #AC.
class GuestData final : public DataAccess {
 public:
  // Both outlive this.
  GuestData(const CpuContext& cpu, PhysicalMemory& memory) noexcept : cpu_(cpu), memory_(memory) {}

  bool read(Gva from, MutableByteView to) const noexcept override;
  bool write(Gva to, ByteView from) noexcept override;

 private:
  WalkResult silent_walk(Gva at, std::size_t size, Access access) const noexcept;

  const CpuContext& cpu_;
  PhysicalMemory& memory_;
};

}  // namespace ringside::x86
