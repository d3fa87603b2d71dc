// A breakpoint hit of given values.
#pragma once

#include "stub/tracer/port.hpp"

namespace ringside::fakes {

// Borrows both.
class PlainHit final : public tracer::Hit {
 public:
  PlainHit(Gva at, const x86::CpuContext& context, const VirtualMemory& memory)
      : at_(at), context_(context), memory_(memory) {}
  VcpuId vcpu() const noexcept override { return VcpuId{0}; }
  Gva at() const noexcept override { return at_; }
  const x86::CoreRegs& core() const noexcept override { return context_.core; }
  const x86::CpuContext& context() const noexcept override { return context_; }
  const VirtualMemory& memory() const noexcept override { return memory_; }

 private:
  Gva at_;
  const x86::CpuContext& context_;
  const VirtualMemory& memory_;
};

}  // namespace ringside::fakes
