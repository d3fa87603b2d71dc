// Guest RAM as KVM's memory slots: a region in one piece, or cut up so that some of its pages are read-only to
// the guest, whose writes there then exit (KVM api 4.35, KVM_MEM_READONLY).
//
// Thread: that of the machine's owner; change them only while no vCPU runs, since a piece of RAM is missing
// meanwhile.  The VM and the regions' memory must outlive this.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "arch/addr.hpp"
#include "arch/result.hpp"
#include "vmm/kvm/vm.hpp"
#include "vmm/mem/guest_ram.hpp"

namespace ringside::run {

// A slot to be.
struct RamPiece {
  Gpa begin;
  std::uint64_t bytes = 0;
  std::uint8_t* host = nullptr;
  kvm::SlotAccess access = kvm::SlotAccess::kReadWrite;
  bool operator==(const RamPiece&) const = default;
};

// Pure.  `read_only`: sorted, disjoint, page borders.  Refused when part of it is not RAM.
Result<std::vector<RamPiece>> cut_ram(std::span<const mem::GuestRam::Region> regions,
                                      std::span<const GpaRange> read_only);

class RamSlots {
 public:
  // KVM has 32,764 slots (KVM 6.1); each costs it time at every change.
  static constexpr std::size_t kMostPieces = 20'000;

  // Takes slot numbers from `first` on.
  RamSlots(const kvm::Vm& vm, unsigned first) : vm_(vm), used_(first) {}

  // On failure some of RAM may be missing: the machine cannot go on.
  Result<void> set(std::vector<RamPiece> pieces);

 private:
  struct Slot {
    RamPiece piece;
    unsigned number = 0;
  };

  const kvm::Vm& vm_;
  std::vector<Slot> slots_;  // sorted by address
  std::vector<unsigned> free_;
  unsigned used_;  // numbers below have been handed out
};

}  // namespace ringside::run
