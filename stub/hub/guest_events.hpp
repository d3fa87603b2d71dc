// What the hub keeps of the stops that the monitor finds itself (hub_events.cpp).
#pragma once

#include <algorithm>
#include <map>
#include <optional>
#include <string>

#include "stub/hub/kernel_spotter.hpp"
#include "stub/hub/points.hpp"
#include "stub/hub/stop_wishes.hpp"

namespace ringside::hub {

// Something seen on a vCPU's thread, which waits there until the hub has dealt with it.
struct Sighting {
  VcpuId vcpu;
  api::GuestEvent event;
  x86::CpuContext context;
  std::optional<KernelPlace> kernel;  // that has just come to its place
};

// A point of the monitor's own.  Some occasions are found in two stages: the first tells where the second is.
struct EventPoint {
  Occasion occasion = Occasion::kReset;
  PointKind kind = PointKind::kProbe;
  bool last_stage = true;
  std::string symbol;  // empty when it is not known by one
};

struct GuestEvents {
  StopWishes wishes;
  StopWishes noticed;                // trouble that the monitor itself wants to know of (Hub::notice)
  std::optional<KernelPlace> place;  // of the kernel that runs
  std::map<Gva, EventPoint> points;  // the claims of kEvents
  bool arming = false;               // every vCPU waits for the kernel's symbols
  std::string last;                  // what the guest was stopped for last, in words
  // A stop that nobody was there to be told of.
  struct Untold {
    VcpuId vcpu;
    tracer::StopReason reason = tracer::StopReason::kEvent;
    x86::CpuContext context;
    std::string text;
  };
  std::optional<Untold> untold;

  bool wants(Occasion occasion) const { return wishes.has(occasion) || noticed.has(occasion); }
  bool need_symbols() const { return wishes.need_symbols() || noticed.need_symbols(); }
  unsigned hang_seconds() const {
    const bool both = wishes.has(Occasion::kHang) && noticed.has(Occasion::kHang);
    if (both) return std::min(wishes.hang_seconds, noticed.hang_seconds);
    return noticed.has(Occasion::kHang) ? noticed.hang_seconds : wishes.hang_seconds;
  }
};

// Text of a panic, oops or warning at the entry of the function that says it; `memory` is the kernel's.
std::string trouble_text(Occasion occasion, const EventPoint& point, const x86::CoreRegs& core,
                         const guestos::Kernel& kernel, const VirtualMemory& memory);

}  // namespace ringside::hub
