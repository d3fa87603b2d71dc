#include "arch/x86/data_access.hpp"

#include <algorithm>

#include "arch/x86/control.hpp"

namespace ringside::x86 {
namespace {

// LA57 and LAM change which addresses there are, not what is behind a canonical one; the others have nothing
// to do with data at all, or are dealt with below.
constexpr std::uint64_t kUnderstood =
    cr4::kVme | cr4::kPvi | cr4::kTsd | cr4::kDe | cr4::kPse | cr4::kPae | cr4::kMce | cr4::kPge | cr4::kPce |
    cr4::kOsfxsr | cr4::kOsxmmexcpt | cr4::kUmip | cr4::kLa57 | cr4::kVmxe | cr4::kSmxe | cr4::kFsgsbase |
    cr4::kPcide | cr4::kOsxsave | cr4::kSmep | cr4::kSmap | cr4::kPke | cr4::kCet | cr4::kPks | cr4::kUintr |
    cr4::kLass | cr4::kLamSup | cr4::kFred;

bool crosses_page(Gva at, std::size_t size) { return size > bytes_to_page_end(at); }

}  // namespace

bool permits(const CpuContext& cpu, const Leaf& leaf, Gva at, Access access) noexcept {
  const auto cr4_has = [&cpu](std::uint64_t bits) { return (cpu.paging.cr4 & bits) != 0; };
  if (cr4_has(~kUnderstood)) return false;
  const bool user = cpu.cs.cpl == 3;
  const bool upper_half = (at.value & bit(63)) != 0;
  if (cr4_has(cr4::kLass) && user == upper_half) return false;  // SDM 3A 4.4 "LASS"
  if (user && !leaf.user) return false;
  if (!user && leaf.user && cr4_has(access == Access::kFetch ? cr4::kSmep : cr4::kSmap)) return false;
  if (access == Access::kFetch) return leaf.executable;
  if (cr4_has(leaf.user ? cr4::kPke : cr4::kPks)) return false;
  if (access == Access::kRead || leaf.writable) return true;
  return !user && (cpu.paging.cr0 & cr0::kWp) == 0;
}

bool reachable(const CpuContext& cpu, Gva at, std::size_t size, Access access,
               const PhysicalMemory& memory) noexcept {
  if (size == 0) return true;
  if (size > kPageSize) return false;
  const Gva last = at + (size - 1);
  if (last < at) return false;
  const auto page = [&](Gva byte) {
    const WalkResult leaf = walk(cpu.paging, byte, memory);
    return leaf.has_value() && permits(cpu, *leaf, byte, access);
  };
  return page(at) && (!crosses_page(at, size) || page(last));
}

WalkResult GuestData::silent_walk(Gva at, std::size_t size, Access access) const noexcept {
  const WalkFault refused{};
  if (crosses_page(at, size)) return unexpected(refused);
  const bool misaligned = size > 1 && at.value % size != 0;
  const bool checks_alignment = cpu_.cs.cpl == 3 && (cpu_.paging.cr0 & cr0::kAm) != 0;
  if (misaligned && checks_alignment) return unexpected(refused);
  const WalkResult leaf = walk(cpu_.paging, at, memory_);
  if (!leaf || !permits(cpu_, *leaf, at, access)) return unexpected(refused);
  if (!leaf->accessed || (access == Access::kWrite && !leaf->dirty)) return unexpected(refused);
  return leaf;
}

bool GuestData::read(Gva from, MutableByteView to) const noexcept {
  const WalkResult leaf = silent_walk(from, to.size(), Access::kRead);
  return leaf.has_value() && memory_.read(leaf->gpa, to);
}

bool GuestData::write(Gva to, ByteView from) noexcept {
  const WalkResult leaf = silent_walk(to, from.size(), Access::kWrite);
  return leaf.has_value() && memory_.write(leaf->gpa, from);
}

}  // namespace ringside::x86
