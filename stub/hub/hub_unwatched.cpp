// Hub: instructions that are stepped alone, with nothing inserted and nothing watched.
#include <algorithm>
#include <utility>

#include <fmt/format.h>

#include "arch/x86/control.hpp"
#include "stub/hub/hub.hpp"

namespace ringside::hub {
namespace {

bool may_wait_for_an_interrupt(const Bytes& code) {  // hlt; monitor, mwait and others
  return code.empty() || code[0] == 0xf4 || (code.size() > 1 && code[0] == 0x0f && code[1] == 0x01);
}

}  // namespace

// One instruction that KVM cannot emulate, or that must not see an int3, with nothing inserted and nothing
// watched while nobody else runs; what it has changed is found by comparing.
void Hub::step_unwatched(VcpuId id) {
  Vcpu& vcpu = at(id);
  if (ended_ || vcpu.dead || !vcpu.needs_unwatched) return;
  if (holds_.holders(id).size() > 1) return;  // when it lets go, start_vcpu() will be here again
  if (points_dirty_) publish();
  before_step_.clear();
  for (const WatchPiece& piece : snapshot_->watches) {
    before_step_.emplace_back(piece,
                              memory_.read_physical(piece.where.begin, piece.where.end - piece.where.begin));
  }
  memory_.lift_all();
  lifted_pages_ = std::move(watched_pages_);
  set_watched({});
  all_lifted_ = true;
  lifted_at_ = vcpu.context.linear_rip();
  step_alone(id);
}

void Hub::finish_step_unwatched(VcpuId id) {
  all_lifted_ = false;
  memory_.lower_all();
  set_watched(std::exchange(lifted_pages_, {}));
  points_dirty_ = memory_.take_changed() || points_dirty_;
  stepping_over_.reset();
  release_monitor();
  tell_of_changes(id);
}

// A write that leaves what was there is not seen here.
void Hub::tell_of_changes(VcpuId id) {
  std::set<std::shared_ptr<const Watch>> told;
  for (const auto& [piece, before] : std::exchange(before_step_, {})) {
    const Bytes now = memory_.read_physical(piece.where.begin, before.size());
    const auto [was, is] = std::ranges::mismatch(before, now);
    if (was == before.end() || !told.insert(piece.watch).second) continue;
    for (const Place::Wish& wish : piece.watch->wishes) {
      wish.claim.counters->hits.fetch_add(1, std::memory_order_relaxed);
      wish.claim.counters->stops.fetch_add(1, std::memory_order_relaxed);
      const Gva at = piece.at + static_cast<std::uint64_t>(was - before.begin());
      this->at(id).steps.erase(wish.owner);
      concern(wish.owner, {.vcpu = id,
                           .reason = tracer::StopReason::kWriteWatch,
                           .at = piece.watch->spec.at,
                           .context = this->at(id).context,
                           .detail = fmt::format("written from {:#x} on: {:#x} was there, {:#x} is now",
                                                 at.value, *was, *is)});
    }
  }
}

// A cmpxchg where an int3 of ours stands is told the guest's own byte and compares with 0xcc, so that a loop around it
// would not end.  The way back to it is stepped with nothing inserted, and so is what it does then.
void Hub::see_to_compare(VcpuId id, bool stepped_unwatched) {
  constexpr unsigned kWayBack = 64;  // in instructions: such loops are short
  Vcpu& vcpu = at(id);
  const auto met = std::exchange(policy_.context(id).compare, std::nullopt);
  if (met && !vcpu.compare) {
    vcpu.compare = met;
    vcpu.way_back = kWayBack;
  }
  if (!vcpu.compare) return;
  const bool has_written =
      stepped_unwatched && lifted_at_ == *vcpu.compare && (vcpu.context.core.rflags & x86::rflags::kZf) != 0;
  const Gva here = vcpu.context.linear_rip();
  const Bytes code = memory_.read_virtual(vcpu.context.paging, here, 2);
  if (has_written || vcpu.way_back == 0 || may_wait_for_an_interrupt(code)) {
    vcpu.compare.reset();
    return;
  }
  --vcpu.way_back;
  if (!points_.has_at(here)) vcpu.needs_unwatched = true;
}

}  // namespace ringside::hub
