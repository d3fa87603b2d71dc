// Identities: which vCPU, which tracer.  Plain numbers with a type, so that one is never taken for another.
#pragma once

#include <compare>
#include <cstdint>
#include <functional>

namespace ringside {

template <typename Tag>
struct Id {
  std::uint32_t number = 0;
  constexpr auto operator<=>(const Id&) const = default;
};

using VcpuId = Id<struct VcpuTag>;      // 0-based, as the APIC id; gdb's thread is number + 1
using TracerId = Id<struct TracerTag>;  // 1, 2, 3 … in order of connecting; never used twice in one run

}  // namespace ringside

template <typename Tag>
struct std::hash<ringside::Id<Tag>> {
  std::size_t operator()(ringside::Id<Tag> id) const noexcept { return id.number; }
};
