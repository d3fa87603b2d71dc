// What the stops that the monitor finds itself need to know of the guest: functions by the kernel's own symbols, and
// each CPU's pulse.
#include <array>
#include <chrono>

#include <fmt/format.h>
#include <spdlog/spdlog.h>

#include "stub/guestos/kernel.hpp"
#include "stub/hub/hub.hpp"

namespace ringside::hub {

// The guest waits while its symbols are looked for: what is to be caught may come at once.
void Hub::arm_symbols() {
  if (!events_.need_symbols() || std::exchange(events_.arming, true)) return;
  holds_.take_all(kMonitor);
  ask_symbols(2);
}

// A search that began before the kernel was in its place fails: one more then finds it.
void Hub::ask_symbols(int tries) {
  kernel_.ask(snapshot_, [this, tries, life = life_](const auto& kernel) {
    if (life != life_ || ended_) return;
    if (!kernel && tries > 1) {
      post([this, tries, life] {
        if (life == life_ && !ended_) ask_symbols(tries - 1);
      });
      return;
    }
    events_.arming = false;
    if (kernel) {
      set_symbol_points(**kernel);
    } else {
      spdlog::warn("the kernel's functions are not known, and nothing stops there: {}", kernel.error().text);
    }
    release_monitor();
    settle();
  });
}

// The function's first instruction of its own.  Before it the kernel patches, and complains about bytes that it does
// not know: endbr64 (arch/x86/kernel/alternative.c, apply_seal_endbr) and the call of __fentry__ (kernel/trace/ftrace.c).
Gva Hub::body_of(Gva function, const guestos::Kernel& kernel, const VirtualMemory& memory) {
  constexpr std::uint32_t kEndbr64 = 0xfa1e0ff3;
  constexpr std::uint32_t kNop5 = 0x00441f0f;  // and one more zero
  constexpr std::uint8_t kCall = 0xe8;
  constexpr std::uint64_t kFentryBytes = 5;
  Gva where = function;
  if (memory.load_at<std::uint32_t>(where) == kEndbr64) where = where + 4;
  if (memory.load_at<std::uint32_t>(where) == kNop5) return where + kFentryBytes;
  const auto target = memory.load_at<std::int32_t>(where + 1);
  if (memory.load_at<std::uint8_t>(where) != kCall || !target) return where;
  const Gva called = where + kFentryBytes + static_cast<std::uint64_t>(std::int64_t{*target});
  return called == kernel.symbol("__fentry__") ? where + kFentryBytes : where;
}

void Hub::set_symbol_points(const guestos::Kernel& kernel) {
  const auto memory = kernel_.memory(snapshot_);
  const auto state_at = kernel.symbol("system_state");
  const auto state = state_at && memory ? memory->load_at<std::uint32_t>(*state_at) : std::nullopt;
  // Its memory is given to others when it has run (Linux init/main.c, free_initmem).
  const bool begins = state.value_or(0) == 0;
  struct Row {
    Occasion occasion;
    std::array<const char*, 2> symbols;  // the first that there is; or both
    bool both = false;
  };
  static constexpr Row kRows[] = {{Occasion::kStartKernel, {"start_kernel", nullptr}},
                                  {Occasion::kInit, {"start_thread", "compat_start_thread"}, true},
                                  {Occasion::kPanic, {"vpanic", "panic"}},
                                  {Occasion::kOops, {"__die", "oops_enter"}},
                                  {Occasion::kWarn, {"__warn", nullptr}}};
  for (const Row& row : kRows) {
    if (!events_.wants(row.occasion) || (row.occasion == Occasion::kStartKernel && !begins)) continue;
    bool any = false;
    for (const char* symbol : row.symbols) {
      const auto where = symbol != nullptr && (row.both || !any) ? kernel.symbol(symbol) : std::nullopt;
      if (!where) continue;
      any = true;
      const Gva body = memory ? body_of(*where, kernel, *memory) : *where;
      watch_for(body, {row.occasion, PointKind::kProbe, row.occasion != Occasion::kInit, symbol});
    }
    if (!any) spdlog::warn("stop at {}: this kernel has no {}", name_of(row.occasion), row.symbols[0]);
  }
}

// Once a second while somebody wants to know.
void Hub::look_for_hangs() {
  if (!events_.wants(Occasion::kHang) || ended_ || std::exchange(hang_timer_runs_, true)) return;
  hang_timer_.expires_after(std::chrono::seconds(1));
  hang_timer_.async_wait([this, alive = std::weak_ptr(alive_)](boost::system::error_code error) {
    if (error || alive.expired()) return;
    hang_timer_runs_ = false;
    for (std::uint32_t i = 0; i < vcpus_.size(); ++i) {
      if (vcpus_[i].parked) {
        hangs_.forget(VcpuId{i});
        continue;
      }
      machine_.vcpu(VcpuId{i}).post([this, i](api::VcpuAccess& access) {
        const auto pulse = access.pulse();
        if (pulse)
          post([this, i, pulse = *pulse, context = access.context()] { felt(VcpuId{i}, pulse, context); });
      });
    }
    look_for_hangs();
  });
}

void Hub::felt(VcpuId id, const api::Pulse& pulse, const x86::CpuContext& context) {
  if (ended_ || at(id).parked || !events_.wants(Occasion::kHang)) {
    hangs_.forget(id);
    return;
  }
  const std::chrono::seconds limit(events_.hang_seconds());
  if (!hangs_.look(id, pulse, HangWatch::Clock::now(), limit)) return;
  guest_kernel([this, id, context, limit](const auto&) {  // for the name of the place; it need not be known
    if (ended_) return;
    trouble(Occasion::kHang, id, context,
            fmt::format("hang: CPU {} has taken no interrupt for {} s, and is at {}", id.number,
                        limit.count(), place_text(context.linear_rip())));
    settle();
  });
}

std::string Hub::place_text(Gva where) const {
  const auto known = kernel_.known();
  const auto near = known ? known->kernel->nearest(where) : std::nullopt;
  return near ? fmt::format("{}+{:#x}", near->name, near->offset) : fmt::format("{:#x}", where.value);
}

}  // namespace ringside::hub
