#include "stub/hub/vcpu_environment.hpp"

#include <algorithm>
#include <array>

#include "arch/x86/paging.hpp"
#include "stub/hub/memory_view.hpp"
#include "stub/tracer/variables.hpp"

namespace ringside::hub {
namespace {

// gdb's register numbers 0 to 15 (org.gnu.gdb.i386.core) in the order of the encoding.
constexpr std::array kGprOf = {x86::kRax, x86::kRbx, x86::kRcx, x86::kRdx, x86::kRsi, x86::kRdi,
                               x86::kRbp, x86::kRsp, x86::kR8,  x86::kR9,  x86::kR10, x86::kR11,
                               x86::kR12, x86::kR13, x86::kR14, x86::kR15};

}  // namespace

void hide_int3(const PointSnapshot& points, Gpa at, MutableByteView bytes) noexcept {
  for (auto site = points.from(at); site != points.int3.end() && site->first - at < bytes.size(); ++site) {
    std::uint8_t& byte = bytes[static_cast<std::size_t>(site->first - at)];
    if (byte == kInt3) byte = site->second->original;
  }
}

bool read_own_physical(const PhysicalMemory& memory, const PointSnapshot& points, Gpa at,
                       MutableByteView into) noexcept {
  if (!memory.read(at, into)) return false;
  hide_int3(points, at, into);
  return true;
}

bool read_own_bytes(const x86::PagingState& paging, const PhysicalMemory& memory, const PointSnapshot& points,
                    Gva at, MutableByteView into) noexcept {
  while (!into.empty()) {
    const x86::WalkResult leaf = x86::walk(paging, at, memory);
    if (!leaf) return false;
    const MutableByteView piece = into.first(std::min(into.size(), bytes_to_page_end(at)));
    if (!read_own_physical(memory, points, leaf->gpa, piece)) return false;
    at = at + piece.size();
    into = into.subspan(piece.size());
  }
  return true;
}

bool VcpuHit::read(Gva from, MutableByteView to) const noexcept {
  constexpr std::uint64_t kKernelHalf = std::uint64_t{1} << 63;
  if (kernel_ == nullptr || !kernel_->page_table || from.value < kKernelHalf) {
    return read_own_bytes(vcpu_.context().paging, memory_, points_, from, to);
  }
  return read_kernel(kernel_->image, kernel_->paging(memory_), memory_, points_, from, to);
}

bool VcpuEnvironment::read_memory(Gva at, MutableByteView into) noexcept {
  return read_own_bytes(vcpu_.context().paging, memory_, points_, at, into);
}

std::optional<std::uint64_t> VcpuEnvironment::read_register(unsigned number) noexcept {
  if (number < kGprOf.size()) return vcpu_.core().gpr[kGprOf[number]];
  const auto reg = x86::by_number(number);
  if (!reg) return std::nullopt;
  if (*reg == x86::Reg::kRip) return vcpu_.core().rip;
  if (*reg == x86::Reg::kEflags) return vcpu_.core().rflags & 0xffffffffu;
  const x86::RegInfo& info = x86::info(*reg);
  if (info.bytes > 8) return std::nullopt;
  if (!fetched_.contains(info.group)) {
    if (!vcpu_.read(info.group, registers_)) return std::nullopt;
    fetched_ = fetched_ | info.group;
  }
  if (!registers_.available(*reg)) return std::nullopt;
  return registers_.u64(*reg);
}

std::optional<std::uint64_t> VcpuEnvironment::read_variable(unsigned number) noexcept {
  switch (static_cast<tracer::Variable>(number)) {
    case tracer::Variable::kCpu:
      return vcpu_.id().number;
    case tracer::Variable::kHits:
      return wish_->claim.counters->hits.load(std::memory_order_relaxed);
    case tracer::Variable::kKtime:
      return vcpu_.time_ns();
    case tracer::Variable::kPid:
    case tracer::Variable::kTgid:
    case tracer::Variable::kComm:
      return read_task_variable(static_cast<tracer::Variable>(number));
  }
  return std::nullopt;
}

std::optional<guestos::TaskIds> task_on(VcpuId vcpu, const KnownKernel& known,
                                        const VirtualMemory& memory) noexcept {
  const auto base = known.kernel->per_cpu(vcpu.number, memory);
  const auto task = base ? known.kernel->current_task(*base, memory) : std::nullopt;
  return task ? known.kernel->task_ids(*task, memory) : std::nullopt;
}

std::optional<std::uint64_t> VcpuEnvironment::read_task_variable(tracer::Variable variable) const noexcept {
  if (kernel_ == nullptr) return std::nullopt;
  const std::shared_ptr<const PointSnapshot> borrowed(std::shared_ptr<void>{}, &points_);
  const KernelMemory memory(memory_, kernel_->image, kernel_->paging(memory_), borrowed);
  const auto ids = task_on(vcpu_.id(), *kernel_, memory);
  if (!ids) return std::nullopt;
  if (variable == tracer::Variable::kPid) return static_cast<std::uint64_t>(std::int64_t{ids->pid});
  if (variable == tracer::Variable::kTgid) return static_cast<std::uint64_t>(std::int64_t{ids->tgid});
  return tracer::comm_value(ids->comm_bytes);
}

void VcpuEnvironment::print(std::string_view text) noexcept { sink_(wish_->owner, text); }

}  // namespace ringside::hub
