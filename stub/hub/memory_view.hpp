// Guest memory as every tracer sees it: the guest's own bytes, whatever is inserted.  Owns the int3 sites.
//
// Reads overlay the original bytes; writes go below the int3.  Where the guest has overwritten an int3, its
// own byte counts: it is shown, and never written over.  Thread: hub; insert(), remove(), lift() and lower()
// only while every vCPU is parked.
#pragma once

#include <cstdint>
#include <map>
#include <optional>
#include <set>
#include <utility>

#include "arch/addr.hpp"
#include "arch/bytes.hpp"
#include "arch/guest_view.hpp"
#include "arch/result.hpp"
#include "arch/x86/cpu.hpp"
#include "stub/hub/snapshot.hpp"

namespace ringside::hub {

// One int3 in guest memory; several virtual addresses may lead to it.
struct Int3Site {
  std::set<Gva> at;
  OwnByte original;
  bool lifted = false;  // with all of them
};

class MemoryView {
 public:
  explicit MemoryView(PhysicalMemory& memory) : memory_(memory) {}

  // The prefix that has memory behind it.
  Bytes read_virtual(const x86::PagingState& paging, Gva at, std::size_t size) const;
  Bytes read_physical(Gpa at, std::size_t size) const;
  // All or nothing.
  Result<void> write_virtual(const x86::PagingState& paging, Gva at, ByteView data);
  Result<void> write_physical(Gpa at, ByteView data);

  std::optional<Gpa> translate(const x86::PagingState& paging, Gva at) const;

  Result<void> insert(Gva at, Gpa where);
  void remove(Gva at);
  // Puts the original byte in place for a step over it, and the int3 back; one at a time.
  void lift(Gpa where);
  void lower(Gpa where);
  // The same with all of them.
  void lift_all();
  void lower_all();
  // Whether what is below an int3 has changed since this was last asked.
  bool take_changed() { return std::exchange(changed_, false); }
  // After a reset of the machine: all sites are gone with the memory they were in.
  void forget_all() {
    sites_.clear();
    where_.clear();
  }

  const Int3Site* site_at(Gpa where) const;
  // Whether the int3 is in memory: not while the guest has a longer instruction there.
  bool stands_at(Gpa where) const { return still_there(where); }
  const std::map<Gpa, Int3Site>& sites() const { return sites_; }

 private:
  bool still_there(Gpa where) const;
  bool is_lifted(Gpa where) const { return all_lifted_ || lifted_ == where; }
  void take_over(Gpa where, Int3Site& site);
  void poke(Gpa where, std::uint8_t value);

  PhysicalMemory& memory_;
  std::map<Gpa, Int3Site> sites_;
  bool changed_ = false;
  std::optional<Gpa> lifted_;  // what is there now is the guest's, not ours
  bool all_lifted_ = false;    // nor anywhere else
  std::map<Gva, Gpa> where_;   // the sites by each address that leads to them
};

}  // namespace ringside::hub
