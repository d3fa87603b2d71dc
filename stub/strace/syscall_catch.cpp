#include "stub/strace/syscall_catch.hpp"

#include <algorithm>

#include "stub/strace/pt_regs.hpp"

namespace ringside::strace {

using Site = guestos::SyscallSite;

// Where there is no place with the registers at hand right behind the call, the way out of the kernel has
// them.
bool SyscallCatch::is_return(Site::Kind kind) const {
  const auto sites = kernel_->syscall_sites();
  const bool has_result =
      std::ranges::any_of(sites, [](const Site& s) { return s.kind == Site::Kind::kResult; });
  return kind == (has_result ? Site::Kind::kResult : Site::Kind::kLeave);
}

std::vector<Gva> SyscallCatch::places() const {
  std::vector<Gva> places;
  for (const Site& site : kernel_->syscall_sites()) {
    if (site.kind == Site::Kind::kEntry64 || is_return(site.kind)) places.push_back(site.at);
  }
  return places;
}

std::optional<std::uint64_t> SyscallCatch::on_hit(const tracer::Hit& hit) noexcept {
  const auto site = std::ranges::find(kernel_->syscall_sites(), hit.at(), &Site::at);
  if (site == kernel_->syscall_sites().end()) return std::nullopt;
  const bool leaves = site->kind == Site::Kind::kLeave;
  const auto& gpr = hit.core().gpr;
  const auto regs = hit.memory().load_at<PtRegs>({leaves ? gpr[x86::kRsp] : gpr[x86::kRdi]});
  if (!regs || !regs->is_64_bit()) return std::nullopt;
  const auto number = static_cast<std::uint32_t>(regs->orig_ax);
  const auto wanted = wanted_.load();
  if (number >= kNumbers || !wanted->test(number)) return std::nullopt;
  return number | (site->kind == Site::Kind::kEntry64 ? 0 : kReturns);
}

}  // namespace ringside::strace
