#include "vmm/run/ram_slots.hpp"

#include <algorithm>

#include <fmt/format.h>

namespace ringside::run {

Result<std::vector<RamPiece>> cut_ram(std::span<const mem::GuestRam::Region> regions,
                                      std::span<const GpaRange> read_only) {
  std::vector<RamPiece> pieces;
  std::size_t cut = 0;
  for (const mem::GuestRam::Region& region : regions) {
    Gpa at = region.begin;
    const Gpa end = region.begin + region.bytes;
    const auto add = [&](Gpa until, kvm::SlotAccess access) {
      if (until > at) pieces.push_back({at, until - at, region.host + (at - region.begin), access});
      at = until;
    };
    for (; cut < read_only.size() && read_only[cut].begin >= at && read_only[cut].end <= end; ++cut) {
      add(read_only[cut].begin, kvm::SlotAccess::kReadWrite);
      add(read_only[cut].end, kvm::SlotAccess::kReadOnly);
    }
    add(end, kvm::SlotAccess::kReadWrite);
  }
  if (cut < read_only.size()) {
    return fail(Errc::kNotMapped,
                fmt::format("writes to {:#x} cannot be watched: it is not RAM, or watched twice",
                            read_only[cut].begin.value));
  }
  if (pieces.size() > RamSlots::kMostPieces) {
    return fail(Errc::kExhausted, fmt::format("RAM would have to be cut into {} pieces, and KVM can have {}: "
                                              "delete some points, or set them closer together",
                                              pieces.size(), RamSlots::kMostPieces));
  }
  return pieces;
}

// KVM takes no slot that overlaps another, and does not change a slot's access: what goes, goes first.
Result<void> RamSlots::set(std::vector<RamPiece> pieces) {
  std::vector<Slot> kept;
  for (const Slot& slot : slots_) {
    const auto same = std::ranges::lower_bound(pieces, slot.piece.begin, {}, &RamPiece::begin);
    if (same != pieces.end() && *same == slot.piece) {
      kept.push_back(slot);
      continue;
    }
    RS_TRY(vm_.set_memory(slot.number, slot.piece.begin, 0, slot.piece.host));
    free_.push_back(slot.number);
  }
  std::vector<Slot> next;
  auto known = kept.begin();
  for (const RamPiece& piece : pieces) {
    if (known != kept.end() && known->piece == piece) {
      next.push_back(*known++);
      continue;
    }
    unsigned number = used_;
    if (free_.empty()) {
      ++used_;
    } else {
      number = free_.back();
      free_.pop_back();
    }
    RS_TRY(vm_.set_memory(number, piece.begin, piece.bytes, piece.host, piece.access));
    next.push_back({piece, number});
  }
  slots_ = std::move(next);
  return {};
}

}  // namespace ringside::run
