// Makes a page of ours reachable from the guest kernel's code: copies of instructions run there.
//
// The kernel's image is mapped by one page directory, most of whose 512 entries are never used; the last
// unused one below the modules is pointed at the page, read-only, executable and global.  All address spaces
// of the kernel share that directory.  Under a user's tables (KPTI), before the kernel's own are in place, or
// in another kind of guest it is not reachable, which walking the tables shows. Thread: hub, every vCPU
// parked.
#pragma once

#include <optional>

#include "arch/guest_view.hpp"
#include "arch/x86/cpu.hpp"
#include "stub/hub/snapshot.hpp"

namespace ringside::hub {

class ScratchMap {
 public:
  // `page`: 2 MiB of memory on a 2 MiB border; nothing: the machine has none to give.
  ScratchMap(PhysicalMemory& memory, std::optional<Gpa> page) : memory_(memory), page_(page) {}

  // Whether code here can have its copies there: the kernel's image and its modules.
  static bool covers(Gva code);
  // The page as the kernel's code reaches it; the guest's tables are changed if they have to be.
  std::optional<ScratchPage> reach(const x86::PagingState& paging);
  // Gives the entry back.
  void withdraw();
  // The guest's tables are gone.
  void forget() { mapped_.reset(); }

 private:
  struct Mapped {
    Gpa entry_at;
    ScratchPage page;
  };
  std::uint64_t entry() const;
  bool stands() const;

  PhysicalMemory& memory_;
  std::optional<Gpa> page_;
  std::optional<Mapped> mapped_;
};

}  // namespace ringside::hub
