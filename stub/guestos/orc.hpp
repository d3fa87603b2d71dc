// ORC, the kernel's own table of how to get from each instruction to the caller's frame (Linux:
// Documentation/arch/x86/orc-unwinder.rst, arch/x86/include/asm/orc_types.h): its format, and the tables.
//
// The tables are not copied: they are megabytes, of which one stack needs some twenty words a frame, and those
// of modules come and go.  They are sorted when the kernel is built, so that a lookup is a bisection in guest
// memory; orc_lookup, which the kernel fills in when it boots, is not needed.  A table that is not sorted leads
// to a wrong entry, never out of it.
// Thread: any; nothing here but the construction allocates.
#pragma once

#include <cstdint>
#include <optional>

#include "arch/addr.hpp"
#include "arch/guest_view.hpp"
#include "stub/guestos/btf.hpp"
#include "stub/guestos/layout.hpp"
#include "stub/guestos/symbols.hpp"

namespace ringside::guestos {

struct OrcEntry {
  enum class Type : std::uint8_t { kUndefined, kEndOfStack, kCall, kRegs, kRegsPartial };
  enum class Reg : std::uint8_t {
    kUndefined,
    kPreviousSp,
    kAx,
    kDx,
    kDi,
    kBp,
    kSp,
    kR10,
    kR13,
    kBpIndirect,
    kSpIndirect,
  };
  std::int16_t sp_offset = 0, bp_offset = 0;  // bytes
  Reg sp_reg = Reg::kUndefined, bp_reg = Reg::kUndefined;
  Type type = Type::kUndefined;
  bool signal = false;  // who is above was interrupted where it stands, instead of having called
};

// struct orc_entry of this kernel.  Where its fields are is in the type information; what their values mean is
// not, and has changed twice: `type` was numbered otherwise while there was a bit `end` beside it (before 6.4),
// and the registers were numbered anew (7.x; SP was 5, and is 3).  That is told by the entry of a function's
// first byte, of which it is known what it says: a call's frame, 8 bytes above SP.
class OrcFormat {
 public:
  // Nothing if `call`, such an entry, does not come out as one: then the format is none of these.  Without
  // `btf`, or with one that does not have it, the fields are where they have always been, and `end` and `type`
  // those of 6.1 if the call's type is 0.
  static std::optional<OrcFormat> from(const Btf* btf, std::uint64_t call);

  OrcEntry decode(std::uint64_t entry) const;
  static constexpr std::uint64_t kMostBytes = 8;
  // Of one entry, by the type information alone.
  static std::uint64_t bytes(const Btf* btf);

 private:
  static std::optional<OrcFormat> fields(const Btf& btf);
  static OrcFormat usual_fields(std::uint64_t call);

  Btf::Bits sp_offset_{0, 16}, bp_offset_{16, 16}, sp_reg_{32, 4}, bp_reg_{36, 4}, type_{40, 3};
  std::optional<Btf::Bits> signal_, end_;  // with end_, the older numbering of types
  bool newer_registers_ = false;
};

class OrcTables {
 public:
  // Nothing for a kernel that has none.
  static std::optional<OrcTables> find(const SymbolTable& symbols, const Btf* btf,
                                       const std::optional<ModuleLayout>& modules,
                                       const VirtualMemory& memory);

  // What is said of the instruction at `ip`, in the kernel; nothing when no entry covers it.
  std::optional<OrcEntry> in_kernel(Gva ip, const VirtualMemory& memory) const noexcept;
  std::optional<OrcEntry> in_module(Gva ip, Gva module, const VirtualMemory& memory) const noexcept;

 private:
  struct Table {
    Gva ips;  // int32 each, from its own place
    Gva entries;
    std::uint64_t count = 0;
  };
  OrcTables() = default;
  std::optional<std::uint64_t> search(const Table& table, Gva ip, const VirtualMemory& memory) const noexcept;
  std::optional<std::uint64_t> raw(const Table& table, std::uint64_t index,
                                   const VirtualMemory& memory) const noexcept;
  std::optional<OrcEntry> look_up(const Table& table, Gva ip, const VirtualMemory& memory) const noexcept;

  OrcFormat format_;
  std::uint64_t entry_bytes_ = 0;
  Table kernel_;
  std::optional<ModuleLayout::Orc> modules_;
};

}  // namespace ringside::guestos
