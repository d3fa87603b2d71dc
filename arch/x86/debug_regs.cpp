#include "arch/x86/debug_regs.hpp"

#include <bit>

#include "arch/x86/control.hpp"

namespace ringside::x86 {
namespace {

// R/W field (SDM 3B 17.2.4); 10b is I/O and never ours.
std::uint64_t condition_bits(WatchKind kind) {
  switch (kind) {
    case WatchKind::kExecute:
      return 0b00;
    case WatchKind::kWrite:
      return 0b01;
    case WatchKind::kReadWrite:
      return 0b11;
  }
  return 0b00;
}

// LEN field: not in order of size, since 8 came last (SDM 3B 17.2.4).
std::uint64_t length_bits(std::uint8_t length) {
  switch (length) {
    case 2:
      return 0b01;
    case 4:
      return 0b11;
    case 8:
      return 0b10;
    default:
      return 0b00;
  }
}

// The longest piece a slot can take at the start of a range.
std::uint64_t longest_piece(Gva at, std::uint64_t left) {
  std::uint64_t piece = 8;
  while (piece > left || (at.value & (piece - 1)) != 0) piece /= 2;
  return piece;
}

}  // namespace

Result<DebugSlot> make_slot(Gva at, std::uint64_t length, WatchKind kind) {
  if (!std::has_single_bit(length) || length > 8) {
    return fail(Errc::kMalformed, "a debug register watches 1, 2, 4 or 8 bytes");
  }
  if ((at.value & (length - 1)) != 0) {
    return fail(Errc::kMalformed, "a debug register watches ranges aligned to their length");
  }
  if (kind == WatchKind::kExecute && length != 1) {
    return fail(Errc::kMalformed, "an execution breakpoint in a debug register has length 1");
  }
  return DebugSlot{at, static_cast<std::uint8_t>(length), kind};
}

std::uint64_t encode_dr7(std::span<const std::optional<DebugSlot>, kDebugSlotCount> slots) {
  std::uint64_t value = dr7::kReset;
  for (unsigned i = 0; i < kDebugSlotCount; ++i) {
    const std::optional<DebugSlot>& slot = slots[i];
    if (!slot) continue;
    value |= dr7::kLe | dr7::kGe | dr7::global(i);
    value |= condition_bits(slot->kind) << dr7::condition_shift(i);
    value |= length_bits(slot->length) << dr7::length_shift(i);
  }
  return value;
}

std::uint8_t hits(std::uint64_t dr6) { return static_cast<std::uint8_t>(dr6 & 0xf); }

std::uint8_t hits(std::uint64_t dr6, std::uint64_t dr7) {
  std::uint8_t enabled = 0;
  for (unsigned i = 0; i < kDebugSlotCount; ++i) {
    if ((dr7 & (dr7::local(i) | dr7::global(i))) != 0) enabled = static_cast<std::uint8_t>(enabled | 1u << i);
  }
  return hits(dr6) & enabled;
}

Result<WatchSlots> split_watch(Gva at, std::uint64_t length, WatchKind kind) {
  if (length == 0 || at.value + (length - 1) < at.value) {
    return fail(Errc::kMalformed, "a watched range is empty or wraps around");
  }
  if (kind == WatchKind::kExecute && length != 1) {
    return fail(Errc::kMalformed, "an execution breakpoint in a debug register has length 1");
  }
  WatchSlots slots;
  while (length > 0) {
    if (slots.count == kDebugSlotCount) {
      return fail(Errc::kExhausted, "the range needs more than the four debug registers");
    }
    const std::uint64_t piece = longest_piece(at, length);
    slots.storage[slots.count++] = {at, static_cast<std::uint8_t>(piece), kind};
    at = at + piece;
    length -= piece;
  }
  return slots;
}

}  // namespace ringside::x86
