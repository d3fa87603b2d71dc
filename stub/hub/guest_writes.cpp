#include "stub/hub/guest_writes.hpp"

#include <algorithm>

#include "arch/x86/control.hpp"
#include "arch/x86/paging.hpp"
#include "stub/hub/vcpu_environment.hpp"

namespace ringside::hub {
namespace {

constexpr std::uint64_t kKernelHalf = std::uint64_t{1} << 63;

bool overlap(const GpaRange& range, Gpa at, std::size_t bytes) {
  return range.begin < at + bytes && at < range.end;
}

std::uint64_t little_endian(ByteView bytes) {
  std::uint64_t value = 0;
  for (std::size_t i = 0; i < std::min<std::size_t>(bytes.size(), 8); ++i)
    value |= std::uint64_t{bytes[i]} << 8 * i;
  return value;
}

bool covers_int3(const PointSnapshot& points, Gpa at, std::size_t bytes) {
  const auto site = points.from(at);
  return site != points.int3.end() && site->first - at < bytes;
}

}  // namespace

void GuestWrite::begin_next(std::uint64_t writes) {
  hits.clear();
  slots = 0;
  again.reset();
  beside_int3 = review = stepped = false;
  seen = writes;
}

api::WriteVerdict GuestWrites::write(api::VcpuAccess& vcpu, const PointSnapshot& points,
                                     x86::RegisterFile& registers, GuestWrite& state, Gpa at, ByteView data) {
  std::array<std::uint8_t, 8> old;
  if (data.size() > old.size() || !memory_.read(at, MutableByteView(old).first(data.size()))) {
    return api::WriteVerdict::kNotWatched;
  }
  std::lock_guard lock(mutex_);
  // A piece of an instruction of which a piece has been refused goes with it.
  if (state.again || is_stale(vcpu, points, registers, state, at, data, ByteView(old).first(data.size()))) {
    return api::WriteVerdict::kTell;
  }
  note_watches(points, state, at, data);
  note_slots(vcpu, points, state, at, data.size());
  put(points, at, data);
  make_room(points, at, data.size());
  look_at_sites(vcpu, points, state, at, data.size());
  const bool tell = !state.hits.empty() || state.slots != 0 || state.review || state.stepped;
  if (!tell) state.seen = writes_;
  return tell ? api::WriteVerdict::kTell : api::WriteVerdict::kDone;
}

// Whether what is brought was made of a value that is not, or never was, in the guest's memory.
bool GuestWrites::is_stale(api::VcpuAccess& vcpu, const PointSnapshot& points, x86::RegisterFile& registers,
                           GuestWrite& state, Gpa at, ByteView data, ByteView old) {
  const bool raced = std::max(last_write(at), last_write(at + (data.size() - 1))) > state.seen;
  const bool under = covers_int3(points, at, data.size());
  if (!raced && !under) return false;
  const auto insn = writer_of(vcpu, points, registers, at, data);
  if (!insn || !(under || insn->locked)) return false;
  // What it has read before another vCPU has written there is not known, so CF cannot be told.
  if (insn->carry != disasm::ReadModifyWrite::Carry::kNone && raced) return false;
  state.read = little_endian(old);
  if (!insn->before(vcpu.core(), little_endian(data), state.read)) return false;
  state.again = insn;
  std::array<std::uint8_t, 8> brought;
  std::ranges::copy(data, brought.begin());
  const MutableByteView bytes = MutableByteView(brought).first(data.size());
  if (insn->compares) hide_int3(points, at, bytes);  // when it has failed, that is what it has read
  state.brought = little_endian(bytes);
  state.beside_int3 = under;
  return true;
}

std::optional<disasm::ReadModifyWrite> GuestWrites::writer_of(api::VcpuAccess& vcpu,
                                                              const PointSnapshot& points,
                                                              x86::RegisterFile& registers, Gpa at,
                                                              ByteView data) const {
  const x86::CpuContext context = vcpu.context();
  if (context.code_size() != x86::CodeSize::k64) return std::nullopt;
  if (!vcpu.read(x86::RegGroup::kSystem, registers)) return std::nullopt;
  const disasm::SegmentBases bases{.fs = registers.u64(x86::Reg::kFsBase),
                                   .gs = registers.u64(x86::Reg::kGsBase)};
  std::array<std::uint8_t, disasm::kLongestInstruction> code;
  const Gva end{context.core.rip};
  const std::size_t there = std::min(code.size(), static_cast<std::size_t>((end - 1).value & kPageMask) + 1);
  MutableByteView all(code);
  if (!read_own_bytes(context.paging, memory_, points, end - code.size(), all)) {
    all = all.last(there);
    if (!read_own_bytes(context.paging, memory_, points, end - there, all)) return std::nullopt;
  }
  const auto is_operand = [&](Gva operand, std::uint8_t size) {
    const x86::WalkResult leaf = x86::walk(context.paging, operand, memory_);
    return leaf && leaf->gpa == at && size == data.size();
  };
  return disasm::find_read_modify_write(all, context.core, bases, little_endian(data), is_operand);
}

void GuestWrites::note_watches(const PointSnapshot& points, GuestWrite& state, Gpa at, ByteView data) const {
  // A piece is at most a page long.
  const Gpa first{at.value < kPageSize ? 0 : at.value - kPageSize};
  auto piece = std::ranges::lower_bound(points.watches, first, {},
                                        [](const WatchPiece& one) { return one.where.begin; });
  for (; piece != points.watches.end() && piece->where.begin < at + data.size(); ++piece) {
    if (!overlap(piece->where, at, data.size())) continue;
    const auto known = std::ranges::find(state.hits, piece->watch, &GuestWrite::Hit::watch);
    if (known != state.hits.end()) continue;
    const Gpa begin = std::max(at, piece->where.begin);
    const Gpa end = std::min(at + data.size(), piece->where.end);
    const std::size_t size = end - begin;
    std::array<std::uint8_t, 8> old{};
    static_cast<void>(read_own_physical(memory_, points, begin, MutableByteView(old).first(size)));
    state.hits.push_back({.watch = piece->watch,
                          .at = piece->at + (begin - piece->where.begin),
                          .bytes = static_cast<std::uint8_t>(size),
                          .before = little_endian(ByteView(old).first(size)),
                          .after = little_endian(data.subspan(begin - at, size))});
  }
}

// Debug registers do not see what is done here.
void GuestWrites::note_slots(api::VcpuAccess& vcpu, const PointSnapshot& points, GuestWrite& state, Gpa at,
                             std::size_t bytes) const {
  for (unsigned i = 0; i < points.slots.size(); ++i) {
    const auto& slot = points.slots[i];
    if (!slot || slot->kind == x86::WatchKind::kExecute) continue;
    const x86::WalkResult leaf = x86::walk(vcpu.context().paging, slot->at, memory_);
    if (leaf && overlap({leaf->gpa, leaf->gpa + slot->length}, at, bytes)) state.slots |= x86::bit(i);
  }
}

// A page that the guest uses for something else by now must be let go: it may become a page table, which must
// not be watched.  It cannot become one before it has been written to.
void GuestWrites::look_at_sites(api::VcpuAccess& vcpu, const PointSnapshot& points, GuestWrite& state, Gpa at,
                                std::size_t bytes) {
  const Gpa page{at.value & ~kPageMask};
  const auto range = std::ranges::lower_bound(points.watched_pages, at, {}, &GpaRange::end);
  const bool needed = range != points.watched_pages.end() && range->end != at ? range->contains(at) : false;
  state.review = state.review || !needed;
  const auto first = points.from(page);
  if (first == points.int3.end() || first->first - page >= kPageSize) return;
  const x86::CpuContext& context = vcpu.context();
  const bool in_kernel = context.cs.cpl == 0 && context.core.rip >= kKernelHalf;
  bool changed = false;
  for (auto site = first; site != points.int3.end() && site->first - page < kPageSize; ++site) {
    const bool hit = site->first >= at && site->first - at < bytes;
    changed = changed || (site->first < at + bytes && at < site->first + disasm::kLongestInstruction);
    for (const Place& place : site->second->places) {
      if (place.at.value < kKernelHalf) {
        state.review = state.review || hit;  // whose it is cannot be told from here
        continue;
      }
      const x86::WalkResult leaf = x86::walk(context.paging, place.at, memory_);
      const bool gone = leaf ? leaf->gpa != site->first || !leaf->executable : in_kernel;
      state.review = state.review || gone;
    }
  }
  if (changed) rewritten_();
}

bool GuestWrites::write_text(api::VcpuAccess& vcpu, const PointSnapshot& points, Gva to, ByteView data) {
  const x86::CpuContext& context = vcpu.context();
  const auto find = [&](Gva at) {
    const x86::WalkResult leaf = x86::walk(context.paging, at, memory_);
    return leaf && memory_.load_at<std::uint8_t>(leaf->gpa) ? std::optional(leaf->gpa) : std::nullopt;
  };
  if (!find(to) || !find(to + (data.size() - 1))) return false;
  std::lock_guard lock(mutex_);
  for (std::size_t done = 0; done < data.size();) {
    const Gva at = to + done;
    const std::size_t piece = std::min({data.size() - done, bytes_to_page_end(at), std::size_t{8}});
    put(points, *find(at), data.subspan(done, piece));
    done += piece;
  }
  make_room(points, *find(to), data.size());
  rewritten_();
  return true;
}

void GuestWrites::put(const PointSnapshot& points, Gpa at, ByteView data) {
  std::array<std::uint8_t, 8> bytes;
  std::ranges::copy(data, bytes.begin());
  for (auto site = points.from(at); site != points.int3.end() && site->first - at < data.size(); ++site) {
    std::uint8_t& byte = bytes[static_cast<std::size_t>(site->first - at)];
    OwnByte own = site->second->original;
    // Before it put a jump there it has kept a copy of what it saw (arch_optimize_kprobes).
    const bool is_our_own = byte == kInt3 && memory_.load_at<std::uint8_t>(site->first) != kInt3;
    own = is_our_own ? own.before() : byte;
    byte = kInt3;
  }
  static_cast<void>(memory_.write(at, ByteView(bytes).first(data.size())));  // it has been read
  last_write(at) = last_write(at + (data.size() - 1)) = ++writes_;
}

// An int3 of ours in what the jump covers is taken out of memory, until the guest writes there again (put()).
// Linux pokes the first byte last, alone; early in its boot all five at once (arch/x86/kernel/alternative.c).
void GuestWrites::make_room(const PointSnapshot& points, Gpa at, std::size_t bytes) {
  constexpr std::uint8_t kCall = 0xe8, kJump = 0xe9;
  constexpr std::size_t kJumpBytes = 5;
  if (bytes != 1 && bytes != kJumpBytes) return;
  std::uint8_t opcode = 0;
  if (!read_own_physical(memory_, points, at, {&opcode, 1}) || (opcode != kCall && opcode != kJump)) return;
  const std::size_t reach = std::min(kJumpBytes, bytes_to_page_end(at));
  for (auto site = points.from(at + 1); site != points.int3.end() && site->first - at < reach; ++site) {
    const std::uint8_t own = site->second->original;
    if (memory_.load_at<std::uint8_t>(site->first) == kInt3)
      static_cast<void>(memory_.write(site->first, {&own, 1}));
  }
}

void GuestWrites::begin_next(GuestWrite& state) {
  std::lock_guard lock(mutex_);
  state.begin_next(writes_);
}

bool GuestWrites::run_again(api::VcpuAccess& vcpu, const GuestWrite& state) {
  const x86::CoreRegs& core = vcpu.core();
  // It has read something else than it wanted, at a time when that was there: it is done.  What it wanted is lost,
  // so it cannot be run again: it would want what it has read.
  const bool failed = state.again->compares && (core.rflags & x86::rflags::kZf) == 0;
  vcpu.set_core(failed ? state.again->having_read(core, state.brought)
                       : *state.again->before(core, state.brought, state.read));  // is_stale() has tried
  return !failed;
}

}  // namespace ringside::hub
