// Where code lies and how it is decoded, from how a person named it and the state of the vCPU.  Pure.
#pragma once

#include <cstdint>
#include <optional>
#include <string>

#include "arch/addr.hpp"
#include "arch/x86/cpu.hpp"
#include "stub/tracer/code_place.hpp"

namespace ringside::hub {

struct CodeView {
  Gva at;  // linear, or physical when it was named so
  x86::CodeSize size = x86::CodeSize::k64;
  // Of a segment that does not begin at 0: branch targets are offsets in it, as its code has them.
  std::uint64_t base = 0;
  std::optional<std::uint16_t> selector;

  Gva offset() const { return Gva{at.value - base}; }
  // "0x1026c 1020:006c", or the address alone.  `offset`: of a line, in the segment.
  std::string label(Gva offset) const;
};

CodeView view_of(const tracer::CodePlace& place, const x86::CpuContext& cpu);

}  // namespace ringside::hub
