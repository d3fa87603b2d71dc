#include "stub/hub/text_guard.hpp"

#include <algorithm>
#include <array>

#include "arch/x86/paging.hpp"
#include "stub/hub/patch_sites.hpp"
#include "stub/hub/vcpu_environment.hpp"

namespace ringside::hub {
namespace {

// A poke is one instruction, or a few (TP_VEC_MAX times less than a page), or a trampoline made of the kernel's own text.
constexpr std::size_t kMost = kPageSize;
constexpr std::size_t kPiece = 256;

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

void add_sites(const KnownKernel& known, const VirtualMemory& memory, std::string_view first,
               std::string_view last, std::uint64_t row, std::vector<Gva>& sites) {
  const auto begin = known.kernel->symbol(first), end = known.kernel->symbol(last);
  if (!begin || !end || *end < *begin) return;
  const auto found = read_patch_sites(memory, *begin, (*end - *begin) / row, row);
  sites.insert(sites.end(), found.begin(), found.end());
}

}  // namespace

TextGuard::TextGuard(const KnownKernel& known, const VirtualMemory& memory)
    : image_(known.image), modules_(*known.kernel) {
  const auto symbol = [&](std::string_view name) { return known.kernel->symbol(name).value_or(Gva{0}); };
  copies_ = symbol("copy_from_kernel_nofault");
  pokes_ = symbol("__text_poke");
  by_copy_ = symbol("text_poke_memcpy");
  by_fill_ = symbol("text_poke_memset");
  if (by_copy_ == Gva{0}) pokes_ = Gva{0};  // other arguments
  recovers_ = symbol("recover_probed_instruction");
  const auto all = known.kernel->all_symbols();
  for (auto one = all.begin(); one != all.end(); ++one) {
    if (one->name.starts_with("__SCT__")) sites_.push_back(one->at);  // what static calls go through
    // can_optimize() is inlined into arch_prepare_optimized_kprobe() (Linux arch/x86/kernel/kprobes/opt.c).
    const bool joins =
        one->name.starts_with("can_optimize") || one->name.starts_with("arch_prepare_optimized_kprobe");
    if (joins && std::next(one) != all.end()) joins_.push_back({one->at, std::next(one)->at});
  }
  add_sites(known, memory, "__start___jump_table", "__stop___jump_table", kJumpEntryBytes, sites_);
  add_sites(known, memory, "__start_static_call_sites", "__stop_static_call_sites", kStaticCallSiteBytes,
            sites_);
  std::ranges::sort(sites_);
  // The way to another kernel, copied to its control page (Linux arch/x86/kernel/machine_kexec_64.c).
  constexpr std::uint64_t kControlCodeBytes = 2048;
  if (const auto code = known.kernel->symbol("relocate_kernel"))
    copied_ = GvaRange{*code, *code + kControlCodeBytes};
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

bool TextGuard::forbids_for_good(Gva at) const {
  return std::ranges::binary_search(sites_, at) || (copied_ && copied_->contains(at));
}

const char* TextGuard::forbids(Gva at, const PhysicalMemory& memory, const VirtualMemory* kernel) const {
  if (copied_ && copied_->contains(at))
    return "the kernel runs a copy of this code, at another place: no breakpoint here is met";
  const bool in_module = is_in_module(at) && kernel != nullptr && modules_.has(at, *kernel);
  if (forbids_for_good(at) || in_module)
    return "the kernel patches this place, which takes a debug register, and none is free";
  if (!patched_ || !std::ranges::binary_search(once_, at)) return nullptr;
  const bool done = memory.load_at<std::uint32_t>(*patched_).value_or(0) != 0;
  return done ? nullptr : "the kernel has yet to patch this place, and no debug register is free";
}

std::vector<Gva> TextGuard::entries() const {
  std::vector<Gva> all;
  for (const Gva at : {copies_, pokes_, recovers_}) {
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
  const bool done = entry == copies_     ? copy_from_kernel(cpu, points, memory, result)
                    : entry == recovers_ ? recover(cpu, Gva{back}, points, memory, result)
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
  result = 0;
  std::array<std::uint8_t, kPiece> bytes;
  for (std::uint64_t done = 0; done < size; done += bytes.size()) {
    const auto piece = MutableByteView(bytes).first(std::min<std::size_t>(bytes.size(), size - done));
    if (!read_own_bytes(cpu.paging, memory, points, from + done, piece)) return false;
    if (x86::write_virtual(cpu.paging, to + done, piece, memory) != piece.size()) return false;
  }
  return true;
}

// The address of the instruction as it is without probes: in the caller's buffer, where it had to be copied.  What has
// an int3 of the kernel's own below ours is a probe's place, which the kernel knows how to recover.
bool TextGuard::recover(const x86::CpuContext& cpu, Gva back, const PointSnapshot& points,
                        PhysicalMemory& memory, std::uint64_t& result) const {
  constexpr std::size_t kInsnBytes = 16;  // MAX_INSN_SIZE
  const Gva to{cpu.core.gpr[x86::kRdi]}, from{cpu.core.gpr[x86::kRsi]};
  if (!covers_int3(cpu.paging, points, memory, from, 1)) return false;
  if (std::ranges::any_of(joins_, [back](const GvaRange& one) { return one.contains(back); })) {
    result = 0;  // it cannot be told: then there will be no jump
    return true;
  }
  std::array<std::uint8_t, kInsnBytes> bytes;
  if (!read_own_bytes(cpu.paging, memory, points, from, bytes) || bytes[0] == kInt3) return false;
  result = to.value;
  return x86::write_virtual(cpu.paging, to, bytes, memory) == bytes.size();
}

bool TextGuard::poke(api::VcpuAccess& vcpu, const x86::CpuContext& cpu, const PointSnapshot& points,
                     PhysicalMemory& memory, GuestWrites& writes, std::uint64_t& result) const {
  const Gva how{cpu.core.gpr[x86::kRdi]}, to{cpu.core.gpr[x86::kRsi]}, from{cpu.core.gpr[x86::kRdx]};
  const std::uint64_t size = cpu.core.gpr[x86::kRcx];
  if (size == 0 || size > kMost || (how != by_copy_ && how != by_fill_)) return false;
  const bool fills = how == by_fill_;
  const bool concerned = covers_int3(cpu.paging, points, memory, to, size) ||
                         (!fills && covers_int3(cpu.paging, points, memory, from, size));
  if (!concerned) return false;
  result = to.value;
  std::array<std::uint8_t, kPiece> bytes;
  for (std::uint64_t done = 0; done < size; done += bytes.size()) {
    const auto piece = MutableByteView(bytes).first(std::min<std::size_t>(bytes.size(), size - done));
    const auto given = fills ? piece.first(1) : piece;
    if (!read_own_bytes(cpu.paging, memory, points, fills ? from : from + done, given)) return false;
    if (fills) std::ranges::fill(piece, bytes[0]);
    if (!writes.write_text(vcpu, points, to + done, piece)) return false;
  }
  return true;
}

}  // namespace ringside::hub
