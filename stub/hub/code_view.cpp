#include "stub/hub/code_view.hpp"

#include <fmt/format.h>

namespace ringside::hub {
namespace {

using x86::CodeSize;

constexpr std::uint64_t kSegmentBytes = 0x10000;

// The vCPU's own segment, if it is one with a base and the place is inside.
void put_into_segment(CodeView& view, const x86::CpuContext& cpu) {
  const bool based = cpu.code_size() != CodeSize::k64 && cpu.cs.base != 0;
  const bool inside = cpu.code_size() == CodeSize::k32 || view.at.value - cpu.cs.base < kSegmentBytes;
  if (!based || !inside || view.size != cpu.code_size()) return;
  view.base = cpu.cs.base;
  view.selector = cpu.cs.selector;
}

}  // namespace

std::string CodeView::label(Gva offset) const {
  const std::uint64_t where = base + offset.value;
  if (!selector) return fmt::format("{:#x}", where);
  return fmt::format("{:#x} {:04x}:{:04x}", where, *selector, offset.value);
}

CodeView view_of(const tracer::CodePlace& place, const x86::CpuContext& cpu) {
  CodeView view;
  if (place.segment) {
    view.size = place.size.value_or(CodeSize::k16);
    view.base = std::uint64_t{*place.segment} << 4;
    view.selector = place.segment;
    view.at = Gva{view.base + place.at.value_or(0)};
    return view;
  }
  view.size = place.size.value_or(cpu.code_size());
  view.at = place.at ? Gva{*place.at} : cpu.linear_rip();
  put_into_segment(view, cpu);
  return view;
}

}  // namespace ringside::hub
