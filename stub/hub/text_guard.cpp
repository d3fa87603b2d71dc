#include "stub/hub/text_guard.hpp"

#include <algorithm>
#include <array>

#include "arch/x86/paging.hpp"
#include "stub/hub/vcpu_environment.hpp"

namespace ringside::hub {
namespace {

// A poke is one instruction, or a few (TP_VEC_MAX times less than a page); a copy of a page is no check.
constexpr std::size_t kMost = 64;

bool covers_int3(const x86::PagingState& paging, const PointSnapshot& points, const PhysicalMemory& memory,
                 Gva at, std::uint64_t size) {
  while (size > 0) {
    const x86::WalkResult leaf = x86::walk(paging, at, memory);
    if (!leaf) return false;
    const std::uint64_t piece = std::min<std::uint64_t>(size, bytes_to_page_end(at));
    const auto site = points.from(leaf->gpa);
    if (site != points.int3.end() && site->first - leaf->gpa < piece) return true;
    at = at + piece;
    size -= piece;
  }
  return false;
}

// Linux include/linux/jump_label.h: { s32 code; s32 target; long key; }, include/linux/static_call_types.h:
// { s32 addr; s32 key; }: addresses relative to the field itself.
void add_sites(const KnownKernel& known, const VirtualMemory& memory, std::string_view first,
               std::string_view last, std::uint64_t stride, std::vector<Gva>& sites) {
  constexpr std::uint64_t kMostSites = 200'000;
  const auto begin = known.kernel->symbol(first), end = known.kernel->symbol(last);
  if (!begin || !end || *end < *begin || (*end - *begin) / stride > kMostSites) return;
  Bytes table(static_cast<std::size_t>(*end - *begin));
  if (!memory.read(*begin, table)) return;
  for (std::size_t at = 0; at + stride <= table.size(); at += stride) {
    const auto distance = static_cast<std::int64_t>(load<std::int32_t>(table.data() + at));
    sites.push_back(*begin + at + static_cast<std::uint64_t>(distance));
  }
}

}  // namespace

TextGuard::TextGuard(const KnownKernel& known, const VirtualMemory& memory) {
  const auto symbol = [&](std::string_view name) { return known.kernel->symbol(name).value_or(Gva{0}); };
  copies_ = symbol("copy_from_kernel_nofault");
  pokes_ = symbol("__text_poke");
  by_copy_ = symbol("text_poke_memcpy");
  by_fill_ = symbol("text_poke_memset");
  if (by_copy_ == Gva{0}) pokes_ = Gva{0};  // other arguments
  add_sites(known, memory, "__start___jump_table", "__stop___jump_table", 16, sites_);
  add_sites(known, memory, "__start_static_call_sites", "__stop_static_call_sites", 8, sites_);
  for (const guestos::Kernel::Symbol& one : known.kernel->all_symbols()) {
    if (one.name.starts_with("__SCT__")) sites_.push_back(one.at);  // what static calls go through
  }
  std::ranges::sort(sites_);
  if (const auto flag = known.kernel->symbol("alternatives_patched")) patched_ = known.image.find(*flag);
  for (const std::string_view table : {"__retpoline_sites", "__return_sites", "__call_sites", "__cfi_sites",
                                       "__ibt_endbr_seal", "__smp_locks"}) {
    add_sites(known, memory, table, std::string(table) + "_end", 4, once_);
  }
  const auto alternative = known.kernel->size_of("alt_instr");
  if (alternative)
    add_sites(known, memory, "__alt_instructions", "__alt_instructions_end", *alternative, once_);
  std::ranges::sort(once_);
}

const char* TextGuard::forbids(Gva at, const PhysicalMemory& memory) const {
  if (forbids_for_good(at))
    return "the kernel patches this place, which takes a debug register, and none is free";
  if (!patched_ || !std::ranges::binary_search(once_, at)) return nullptr;
  const bool done = memory.load_at<std::uint32_t>(*patched_).value_or(0) != 0;
  return done ? nullptr : "the kernel has yet to patch this place, and no debug register is free";
}

std::vector<Gva> TextGuard::entries() const {
  std::vector<Gva> all;
  for (const Gva at : {copies_, pokes_}) {
    if (at != Gva{0}) all.push_back(at);
  }
  return all;
}

bool TextGuard::serve(api::VcpuAccess& vcpu, Gva entry, const PointSnapshot& points, PhysicalMemory& memory,
                      GuestWrites& writes) const {
  const x86::CpuContext cpu = vcpu.context();
  if (cpu.cs.cpl != 0 || cpu.code_size() != x86::CodeSize::k64) return false;
  std::uint64_t result = 0;
  std::uint64_t back = 0;
  const Gva top{cpu.core.gpr[x86::kRsp]};
  const MutableByteView word(reinterpret_cast<std::uint8_t*>(&back), sizeof back);
  if (x86::read_virtual(cpu.paging, top, word, memory) != sizeof back) return false;
  const bool done = entry == copies_ ? copy_from_kernel(cpu, points, memory, result)
                                     : poke(vcpu, cpu, points, memory, writes, result);
  if (!done) return false;
  x86::CoreRegs core = cpu.core;
  core.gpr[x86::kRax] = result;
  core.gpr[x86::kRsp] += sizeof back;
  core.rip = back;
  vcpu.set_core(core);
  return true;
}

bool TextGuard::copy_from_kernel(const x86::CpuContext& cpu, const PointSnapshot& points,
                                 PhysicalMemory& memory, std::uint64_t& result) const {
  const Gva to{cpu.core.gpr[x86::kRdi]}, from{cpu.core.gpr[x86::kRsi]};
  const std::uint64_t size = cpu.core.gpr[x86::kRdx];
  if (size == 0 || size > kMost || !covers_int3(cpu.paging, points, memory, from, size)) return false;
  std::array<std::uint8_t, kMost> bytes;
  const auto there = MutableByteView(bytes).first(static_cast<std::size_t>(size));
  if (!read_own_bytes(cpu.paging, memory, points, from, there)) return false;
  result = 0;
  return x86::write_virtual(cpu.paging, to, there, memory) == there.size();
}

bool TextGuard::poke(api::VcpuAccess& vcpu, const x86::CpuContext& cpu, const PointSnapshot& points,
                     PhysicalMemory& memory, GuestWrites& writes, std::uint64_t& result) const {
  const Gva how{cpu.core.gpr[x86::kRdi]}, to{cpu.core.gpr[x86::kRsi]}, from{cpu.core.gpr[x86::kRdx]};
  const std::uint64_t size = cpu.core.gpr[x86::kRcx];
  if (size == 0 || size > kMost || !covers_int3(cpu.paging, points, memory, to, size)) return false;
  if (how != by_copy_ && how != by_fill_) return false;
  std::array<std::uint8_t, kMost> bytes;
  const auto there = MutableByteView(bytes).first(static_cast<std::size_t>(size));
  const auto given = how == by_fill_ ? there.first(1) : there;
  if (!read_own_bytes(cpu.paging, memory, points, from, given)) return false;
  if (how == by_fill_) std::ranges::fill(there, bytes[0]);
  result = to.value;
  return writes.write_text(vcpu, points, to, there);
}

}  // namespace ringside::hub
