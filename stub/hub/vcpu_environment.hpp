// What an agent expression sees of a vCPU that stands at a breakpoint: registers from the run page, memory by
// our own page walk with what is inserted hidden, the monitor's variables.
//
// Thread: the vCPU's own.  Nothing here allocates, and nothing makes a system call but the registers that
// only KVM has (MSRs, debug registers) and $ktime.
#pragma once

#include <functional>
#include <string>

#include "arch/guest_view.hpp"
#include "stub/agent/environment.hpp"
#include "stub/hub/kernel_memory.hpp"
#include "stub/hub/snapshot.hpp"
#include "stub/tracer/port.hpp"
#include "stub/tracer/variables.hpp"
#include "vmm/api/vcpu.hpp"

namespace ringside::hub {

// Text printed by a tracer's commands.  Called on vCPU threads.
using PrintSink = std::function<void(TracerId, std::string_view)>;

// The guest's own bytes at virtual addresses, all or nothing, whatever of ours is inserted.
bool read_own_bytes(const x86::PagingState& paging, const PhysicalMemory& memory, const PointSnapshot& points,
                    Gva at, MutableByteView into) noexcept;

// In what has been read there.
void hide_int3(const PointSnapshot& points, Gpa at, MutableByteView bytes) noexcept;

bool read_own_physical(const PhysicalMemory& memory, const PointSnapshot& points, Gpa at,
                       MutableByteView into) noexcept;

// A breakpoint hit.  Borrows everything.
class VcpuHit final : public tracer::Hit, private VirtualMemory {
 public:
  // `kernel`: null while it is not known.
  VcpuHit(api::VcpuAccess& vcpu, Gva at, const PhysicalMemory& memory, const PointSnapshot& points,
          const KnownKernel* kernel)
      : vcpu_(vcpu), at_(at), memory_(memory), points_(points), kernel_(kernel) {}

  VcpuId vcpu() const noexcept override { return vcpu_.id(); }
  Gva at() const noexcept override { return at_; }
  const x86::CoreRegs& core() const noexcept override { return vcpu_.core(); }
  const x86::CpuContext& context() const noexcept override { return vcpu_.context(); }
  const VirtualMemory& memory() const noexcept override { return *this; }

 private:
  // The kernel's half is the same in every address space: for that the vCPU need not be asked for its own.
  [[nodiscard]] bool read(Gva from, MutableByteView to) const noexcept override;

  api::VcpuAccess& vcpu_;
  Gva at_;
  const PhysicalMemory& memory_;
  const PointSnapshot& points_;
  const KnownKernel* kernel_;
};

class VcpuEnvironment final : public agent::Environment {
 public:
  // All are borrowed for as long as this lives; `registers` is a place to put what is fetched.
  VcpuEnvironment(api::VcpuAccess& vcpu, const PhysicalMemory& memory, const PointSnapshot& points,
                  x86::RegisterFile& registers, const PrintSink& sink, const KnownKernel* kernel)
      : vcpu_(vcpu), memory_(memory), points_(points), registers_(registers), sink_(sink), kernel_(kernel) {}

  // Whose expression runs next.
  void serve(const Place::Wish& wish) { wish_ = &wish; }

  bool read_memory(Gva at, MutableByteView into) noexcept override;
  std::optional<std::uint64_t> read_register(unsigned number) noexcept override;
  std::optional<std::uint64_t> read_variable(unsigned number) noexcept override;
  bool write_variable(unsigned, std::uint64_t) noexcept override { return false; }  // ours are read-only
  void print(std::string_view text) noexcept override;

 private:
  std::optional<std::uint64_t> read_task_variable(tracer::Variable variable) const noexcept;

  api::VcpuAccess& vcpu_;
  const PhysicalMemory& memory_;
  const PointSnapshot& points_;
  x86::RegisterFile& registers_;
  x86::RegGroups fetched_;
  const PrintSink& sink_;
  const KnownKernel* kernel_;  // null while it is not known
  const Place::Wish* wish_ = nullptr;
};

// Who runs on a CPU, by the kernel's own account.
std::optional<guestos::TaskIds> task_on(VcpuId vcpu, const KnownKernel& known,
                                        const VirtualMemory& memory) noexcept;

}  // namespace ringside::hub
