// The guest kernel's memory, whatever its CPUs do: what has been found of it (KnownKernel), and the address
// space that its own page tables make.  Inserted breakpoints are hidden.
//
// The kernel's image is read at its physical place, all else through init_top_pgt: so it works in user mode
// with page table isolation, of a running guest, and of one whose CPUs are dead.  Nothing here allocates.
#pragma once

#include <memory>
#include <optional>

#include "arch/guest_view.hpp"
#include "arch/x86/cpu.hpp"
#include "stub/guestos/kernel.hpp"
#include "stub/hub/snapshot.hpp"

namespace ringside::hub {

// Where the kernel's image lies.
struct ImagePlace {
  Gva text;   // _text, where it runs
  Gpa where;  // and its physical address
  std::uint64_t bytes = 0;

  std::optional<Gpa> find(Gva at) const noexcept {
    const std::uint64_t offset = at - text;
    if (offset >= bytes) return std::nullopt;
    return where + offset;
  }
};

// Immutable; shared by the hub and the vCPU threads.
struct KnownKernel {
  std::shared_ptr<const guestos::Kernel> kernel;
  ImagePlace image;
  std::optional<Gpa> page_table;   // init_top_pgt
  std::optional<Gpa> five_levels;  // a word that says whether it has five levels

  x86::PagingState paging(const PhysicalMemory& memory) const noexcept;
};

// What the kernel has at `from`, all or nothing, whatever of ours is inserted.
bool read_kernel(const ImagePlace& image, const x86::PagingState& paging, const PhysicalMemory& memory,
                 const PointSnapshot& points, Gva from, MutableByteView to) noexcept;

class KernelMemory final : public VirtualMemory {
 public:
  // Borrows the physical memory.
  KernelMemory(const PhysicalMemory& memory, const ImagePlace& image, const x86::PagingState& paging,
               std::shared_ptr<const PointSnapshot> points)
      : memory_(memory), image_(image), paging_(paging), points_(std::move(points)) {}

  [[nodiscard]] bool read(Gva from, MutableByteView to) const noexcept override;

 private:
  const PhysicalMemory& memory_;
  ImagePlace image_;
  x86::PagingState paging_;
  std::shared_ptr<const PointSnapshot> points_;
};

}  // namespace ringside::hub
