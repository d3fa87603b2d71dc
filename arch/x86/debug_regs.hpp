// The debug registers' encoding (SDM 3B 17.2): which ranges a slot can watch, DR7 from slots, slots from DR6.
// Pure values; who gets a slot is decided elsewhere.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>

#include "arch/addr.hpp"
#include "arch/result.hpp"

namespace ringside::x86 {

inline constexpr std::size_t kDebugSlotCount = 4;

// There is no read-only watch: x86 has execute, write, and read or write (SDM 3B 17.2.4).
enum class WatchKind : std::uint8_t { kExecute, kWrite, kReadWrite };

// What one of DR0 to DR3 watches.
struct DebugSlot {
  Gva at;                   // linear; aligned to length
  std::uint8_t length = 1;  // 1, 2, 4 or 8 bytes; 1 for kExecute
  WatchKind kind = WatchKind::kExecute;
  bool operator==(const DebugSlot&) const = default;
};

using DebugSlots = std::array<std::optional<DebugSlot>, kDebugSlotCount>;

// kMalformed unless length and alignment are ones a slot can have (SDM 3B 17.2.5).
Result<DebugSlot> make_slot(Gva at, std::uint64_t length, WatchKind kind);

// DR7 with the given slots enabled globally, LE and GE set; dr7::kReset when there are none.
std::uint64_t encode_dr7(std::span<const std::optional<DebugSlot>, kDebugSlotCount> slots);

// Bit n: the condition of slot n was met.  The CPU may set it for a slot that DR7 does not enable (SDM 3B
// 17.2.3), so mask with the slots in use, which the second form reads out of DR7.
std::uint8_t hits(std::uint64_t dr6);
std::uint8_t hits(std::uint64_t dr6, std::uint64_t dr7);

// Up to four slots that together watch one range exactly.
struct WatchSlots {
  std::array<DebugSlot, kDebugSlotCount> storage{};
  std::size_t count = 0;

  const DebugSlot* begin() const { return storage.data(); }
  const DebugSlot* end() const { return storage.data() + count; }
  std::size_t size() const { return count; }
};

// The fewest aligned pieces of [at, at + length): an unaligned range takes two or more.  kMalformed for an
// empty or wrapping range and for kExecute longer than a byte; kExhausted when four slots do not reach.
Result<WatchSlots> split_watch(Gva at, std::uint64_t length, WatchKind kind);

}  // namespace ringside::x86
