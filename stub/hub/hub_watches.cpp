// Pages whose writes are watched: those with an int3, and those of write watchpoints that have no debug
// register.  Points that have no memory yet.
#include <algorithm>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "arch/x86/control.hpp"
#include "arch/x86/debug_regs.hpp"
#include "arch/x86/paging.hpp"
#include "stub/hub/hub.hpp"

namespace ringside::hub {
namespace {

constexpr std::uint64_t kMostWatched = 64u << 20;  // bytes of one watchpoint: 16,384 pages
constexpr auto kPendingPeriod = std::chrono::milliseconds(20);
constexpr std::uint64_t kKernelHalf = std::uint64_t{1} << 63;

template <typename Tag>
Address<Tag> page_of(Address<Tag> at) {
  return {at.value & ~kPageMask};
}

// The tables that a CPU's address space is made of (SDM 3A 4.5), and no others: entry by entry, each table once.
class TableSearch {
 public:
  TableSearch(const PhysicalMemory& memory, const std::set<Gpa>& wanted) : memory_(memory), wanted_(wanted) {}

  std::optional<Gpa> run(const x86::PagingState& paging) {
    if ((paging.cr0 & x86::cr0::kPg) == 0) return std::nullopt;
    const bool long_mode = (paging.efer & x86::efer::kLma) != 0;
    const bool pae = (paging.cr4 & x86::cr4::kPae) != 0;
    const int levels = !long_mode ? (pae ? 3 : 2) : (paging.cr4 & x86::cr4::kLa57) != 0 ? 5 : 4;
    return look(Gpa{paging.cr3 & kAddress}, levels, pae || long_mode);
  }

 private:
  static constexpr std::uint64_t kAddress = 0x000f'ffff'ffff'f000;
  static constexpr std::uint64_t kPresent = 1, kLarge = 1u << 7;
  static constexpr std::size_t kMostTables = 1u << 20;

  std::optional<Gpa> look(Gpa table, int level, bool wide) {
    if (wanted_.contains(table)) return table;
    if (level == 1 || seen_.size() >= kMostTables || !seen_.insert(table).second) return std::nullopt;
    std::vector<std::uint8_t> entries(kPageSize);
    if (!memory_.read(table, entries)) return std::nullopt;
    const std::size_t width = wide ? 8 : 4;
    for (std::size_t at = 0; at < kPageSize; at += width) {
      const std::uint64_t entry =
          wide ? load<std::uint64_t>(entries.data() + at) : load<std::uint32_t>(entries.data() + at);
      if ((entry & kPresent) == 0 || (level < 5 && (entry & kLarge) != 0 && level > 1)) continue;
      if (const auto found = look(Gpa{entry & kAddress}, level - 1, wide)) return found;
    }
    return std::nullopt;
  }

  const PhysicalMemory& memory_;
  const std::set<Gpa>& wanted_;
  std::set<Gpa> seen_;
};

void add_page(std::vector<GpaRange>& ranges, Gpa page) {
  if (!ranges.empty() && ranges.back().end >= page) {
    ranges.back().end = std::max(ranges.back().end, page + kPageSize);
  } else {
    ranges.push_back({page, page + kPageSize});
  }
}

bool covers(const std::vector<GpaRange>& all, const std::vector<GpaRange>& some) {
  return std::ranges::all_of(some, [&](const GpaRange& range) {
    const auto there = std::ranges::upper_bound(all, range.begin, {}, &GpaRange::begin);
    return there != all.begin() && std::prev(there)->end >= range.end;
  });
}

std::vector<GpaRange> united(const std::vector<GpaRange>& a, const std::vector<GpaRange>& b) {
  std::vector<GpaRange> all(a);
  all.insert(all.end(), b.begin(), b.end());
  std::ranges::sort(all);
  std::vector<GpaRange> out;
  for (const GpaRange& range : all) {
    if (!out.empty() && out.back().end >= range.begin) {
      out.back().end = std::max(out.back().end, range.end);
    } else {
      out.push_back(range);
    }
  }
  return out;
}

}  // namespace

Result<void> Hub::may_be_set(const PointSpec& spec) const {
  const auto slots = slots_needed(spec);
  if (slots) return {};
  if (spec.kind != PointKind::kWrite || slots.error().code != Errc::kExhausted)
    return unexpected(slots.error());
  if (spec.length > kMostWatched) {
    return fail(Errc::kRefused, fmt::format("{} bytes are too many to watch: {} MiB are possible",
                                            spec.length, kMostWatched >> 20));
  }
  if (machine_.info().watches_writes) return {};
  return fail(Errc::kUnsupported, slots.error().text + ", and this host's KVM cannot watch pages");
}

// Every vCPU is parked.
Result<void> Hub::may_be_watched(const PointSpec& spec) const {
  if (!machine_.info().watches_writes) return fail(Errc::kUnsupported, "all 4 debug registers are in use");
  std::set<Gpa> pages;
  for (Gva at = page_of(spec.at); at < spec.at + spec.length; at = at + kPageSize) {
    const auto where = find_data(at);
    if (!where)
      return fail(Errc::kNotMapped, fmt::format("{:#x} is not mapped, and cannot be watched yet", at.value));
    if (!machine_.memory().load_at<std::uint8_t>(*where))
      return fail(Errc::kNotMapped, fmt::format("what lies at {:#x} is not memory", at.value));
    pages.insert(page_of(*where));
  }
  for (const Vcpu& vcpu : vcpus_) {
    TableSearch search(machine_.memory(), pages);
    if (const auto table = search.run(vcpu.context.paging)) {
      return fail(Errc::kRefused,
                  fmt::format("a page table lies there (guest-physical {:#x}), where the CPU itself "
                              "writes: watch 8 bytes of it with a debug register",
                              table->value));
    }
  }
  return {};
}

std::optional<Gpa> Hub::find_data(Gva at) const {
  for (const Vcpu& vcpu : vcpus_) {
    if (const auto where = memory_.translate(vcpu.context.paging, at)) return where;
  }
  if (at.value < kKernelHalf) return std::nullopt;
  const auto paging = kernel_paging();
  return paging ? memory_.translate(*paging, at) : std::nullopt;
}

// By address; what has no memory any more is left out.
std::vector<WatchPiece> Hub::watch_pieces() {
  std::vector<WatchPiece> pieces;
  std::erase_if(watched_at_, [this](const auto& one) { return !mechanisms_.trapped.contains(one.first); });
  for (const PointSpec& spec : mechanisms_.trapped) {
    auto watch = std::make_shared<Watch>(Watch{.spec = spec, .wishes = {}});
    for (const auto& [owner, claim] : points_.points().at(spec))
      watch->wishes.push_back({owner, spec.kind, claim});
    // Where it was when it was set: a process's page stays watched while others run.
    auto [known, fresh] = watched_at_.try_emplace(spec);
    for (Gva at = spec.at; at < spec.at + spec.length; at = page_of(at) + kPageSize) {
      if (fresh) known->second.push_back(find_data(at));
    }
    std::size_t page = 0;
    for (Gva at = spec.at; at < spec.at + spec.length; at = page_of(at) + kPageSize, ++page) {
      const std::uint64_t bytes = std::min<std::uint64_t>(spec.at + spec.length - at, bytes_to_page_end(at));
      const auto& where = known->second.at(page);
      if (where) pieces.push_back({.where = {*where, *where + bytes}, .at = at, .watch = watch});
    }
  }
  std::ranges::stable_sort(pieces, {}, [](const WatchPiece& piece) { return piece.where.begin; });
  return pieces;
}

// Neighbours in the kernel's text are watched in one piece, with what lies between: KVM has a price for each
// piece, and text is hardly ever written.
bool Hub::are_neighbours(const Int3Site& a, Gpa where_a, const Int3Site& b, Gpa where_b) const {
  constexpr std::uint64_t kNear = 32 * kPageSize;
  if (where_b - where_a > kNear) return false;
  const Gva from = *a.at.begin();
  if (from.value < kKernelHalf || *b.at.begin() - from != where_b - where_a) return false;
  for (Gpa page = page_of(where_a) + kPageSize; page < where_b; page = page + kPageSize) {
    if (find_memory(from + (page - where_a), VcpuId{0}) != page) return false;
  }
  return true;
}

std::vector<GpaRange> Hub::pages_to_watch(const PointSnapshot& snapshot) const {
  std::vector<GpaRange> code, data;
  const auto& sites = memory_.sites();
  for (auto site = sites.begin(); site != sites.end(); ++site) {
    const auto before = site == sites.begin() ? sites.end() : std::prev(site);
    const bool joins =
        before != sites.end() && are_neighbours(before->second, before->first, site->second, site->first);
    if (joins)
      code.back().end = page_of(site->first) + kPageSize;
    else
      add_page(code, page_of(site->first));
  }
  for (const WatchPiece& piece : snapshot.watches) add_page(data, page_of(piece.where.begin));
  return united(code, data);
}

// Every vCPU is parked.  A page that need not be watched any more stays so until the guest writes to it: a
// debugger that takes its points out at each stop will put them in again.
void Hub::watch_pages(PointSnapshot& snapshot) {
  snapshot.watched_pages = pages_to_watch(snapshot);
  if (!machine_.info().watches_writes) return;
  const bool enough = !reviewing_ && covers(watched_pages_, snapshot.watched_pages);
  if (!enough) {
    std::vector<GpaRange> wanted =
        reviewing_ ? snapshot.watched_pages : united(watched_pages_, snapshot.watched_pages);
    if (wanted != watched_pages_) set_watched(std::move(wanted));
  }
  snapshot.watching = !watched_pages_.empty();
}

void Hub::set_watched(std::vector<GpaRange> pages) {
  Result<void> set = machine_.watch_writes(pages);
  if (set) {
    watched_pages_ = std::move(pages);
    cannot_watch_ = false;
    return;
  }
  if (!std::exchange(cannot_watch_, true)) {
    spdlog::error("what the guest writes to its text cannot be watched: {}; breakpoints there may be lost",
                  set.error().text);
  }
  set = machine_.watch_writes({});
  watched_pages_.clear();
  if (set) return;
  spdlog::critical("the guest's memory could not be restored: {}", set.error().text);
  quit_machine();
}

void Hub::write_hits(VcpuId id) {
  Vcpu& vcpu = at(id);
  for (Wanted& wanted : policy_.context(id).wanted) {
    if (wanted.kind != PointKind::kWrite || points_.claim(wanted.who, wanted.watch) == nullptr) continue;
    vcpu.steps.erase(wanted.who);
    concern(wanted.who, {.vcpu = id,
                         .reason = tracer::StopReason::kWriteWatch,
                         .at = wanted.watch.at,
                         .context = vcpu.context,
                         .mark = wanted.mark,
                         .detail = std::move(wanted.problem)});
  }
}

// Thread: a vCPU's.  Plans are made anew a little later, once for all that a patching kernel does meanwhile.
void Hub::text_rewritten() {
  if (text_rewritten_.exchange(true, std::memory_order_relaxed)) return;
  post([this] {
    text_timer_.expires_after(std::chrono::seconds(1));
    text_timer_.async_wait([this](const boost::system::error_code& cancelled) {
      if (cancelled) return;
      text_rewritten_.store(false, std::memory_order_relaxed);
      if (!ended_) replan_points();
    });
  });
}

// While the guest runs it is looked from time to time whether what is pending has a place now; before anything
// runs, publish_all() does.
// Whether anything is pending that may have a place some time.
bool Hub::has_hope() const {
  return std::ranges::any_of(mechanisms_.pending,
                             [this](Gva at) { return !guard_ || !guard_->forbids_for_good(at); });
}

bool Hub::pending_is_due() const {
  return has_hope() && std::chrono::steady_clock::now() - looked_for_pending_ > kPendingPeriod;
}

void Hub::look_for_pending() {
  looked_for_pending_ = std::chrono::steady_clock::now();
  if (!has_hope() || std::exchange(looking_for_pending_, true)) return;
  pending_timer_.expires_after(kPendingPeriod);
  pending_timer_.async_wait([this](const boost::system::error_code& cancelled) {
    if (cancelled) return;
    looking_for_pending_ = false;
    if (ended_) return;
    for (std::size_t i = 0; i < vcpus_.size(); ++i) {
      if (vcpus_[i].parked) continue;
      with_context(VcpuId{static_cast<std::uint32_t>(i)},
                   [this](const x86::CpuContext& context) { look_for_pending_in(context); });
    }
    look_for_pending();
  });
}

// A module's init function runs as soon as the module is in place: what is pending there is looked for when
// do_init_module() is entered, whose point is set while it may be needed.  True when points have changed.
bool Hub::look_at_new_modules() {
  const auto known = kernel_.known();
  const bool wanted = std::ranges::any_of(mechanisms_.pending, [&](Gva at) {
    return at.value >= kKernelHalf && (!known || at >= known->image.text + known->image.bytes);
  });
  const auto standing = std::ranges::find_if(
      events_.points, [](const auto& one) { return one.second.occasion == Occasion::kModule; });
  if (wanted == (standing != events_.points.end())) return false;
  PointSpec spec{.kind = PointKind::kProbe, .at = {}};
  if (!wanted) {
    spec.at = standing->first;
    events_.points.erase(standing);
    return points_.remove(kEvents, spec);
  }
  if (!known) look_for_kernel();
  const auto entry = known ? known->kernel->symbol("do_init_module") : std::nullopt;
  const auto memory = kernel_.memory(snapshot_);
  if (!entry || !memory) return false;
  spec.at = body_of(*entry, *known->kernel, *memory);
  const EventPoint point{.occasion = Occasion::kModule, .symbol = "do_init_module"};
  if (!events_.points.try_emplace(spec.at, point).second) return false;
  return points_.add(kEvents, spec);
}

void Hub::look_for_pending_in(const x86::CpuContext& context) {
  if (ended_) return;
  const bool found = std::ranges::any_of(mechanisms_.pending, [&](Gva at) {
    if (forbidden(at) != nullptr) return false;
    const x86::WalkResult leaf = x86::walk(context.paging, at, machine_.memory());
    return leaf && leaf->executable;
  });
  if (found) replan_points();
}

}  // namespace ringside::hub
