// One virtual address space over guest physical memory: the page walk behind VirtualMemory.  Nothing is
// hidden here; who has inserted breakpoints puts a view of their own on top (stub/hub/own_memory.hpp).
//
// Borrows the physical memory.  Thread: any.
#pragma once

#include "arch/guest_view.hpp"
#include "arch/x86/paging.hpp"

namespace ringside::x86 {

class PagedMemory final : public VirtualMemory {
 public:
  PagedMemory(const PhysicalMemory& memory, const PagingState& paging) : memory_(memory), paging_(paging) {}

  [[nodiscard]] bool read(Gva from, MutableByteView to) const noexcept override {
    return read_virtual(paging_, from, to, memory_) == to.size();
  }

 private:
  const PhysicalMemory& memory_;
  PagingState paging_;
};

}  // namespace ringside::x86
