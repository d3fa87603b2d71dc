// The arithmetic of agent expressions, total: 64-bit values that wrap, and an answer for every operand.
// Only division by zero is left to the caller.  Pure, and tried out at compile time.
#pragma once

#include <cstdint>

namespace ringside::agent {

// The low `bits` bits as a two's complement number; of no bits at all it is 0.
constexpr std::uint64_t sign_extend(std::uint64_t value, unsigned bits) {
  if (bits == 0) return 0;
  if (bits >= 64) return value;
  const unsigned unused = 64 - bits;
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(value << unused) >> unused);
}

constexpr std::uint64_t zero_extend(std::uint64_t value, unsigned bits) {
  return bits >= 64 ? value : value & ((std::uint64_t{1} << bits) - 1);
}

constexpr std::uint64_t shift_left(std::uint64_t value, std::uint64_t by) {
  return by < 64 ? value << by : 0;
}

constexpr std::uint64_t shift_right_unsigned(std::uint64_t value, std::uint64_t by) {
  return by < 64 ? value >> by : 0;
}

// Shifts of 64 and more leave nothing but the sign.
constexpr std::uint64_t shift_right_signed(std::uint64_t value, std::uint64_t by) {
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(value) >> (by < 64 ? by : 63));
}

// INT64_MIN / -1 wraps to INT64_MIN, remainder 0: the CPU's own division would trap.  `b` is not 0.
constexpr std::uint64_t divide_signed(std::uint64_t a, std::uint64_t b) {
  if (b == ~std::uint64_t{0}) return 0 - a;
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(a) / static_cast<std::int64_t>(b));
}

constexpr std::uint64_t remainder_signed(std::uint64_t a, std::uint64_t b) {
  if (b == ~std::uint64_t{0}) return 0;
  return static_cast<std::uint64_t>(static_cast<std::int64_t>(a) % static_cast<std::int64_t>(b));
}

constexpr bool less_signed(std::uint64_t a, std::uint64_t b) {
  return static_cast<std::int64_t>(a) < static_cast<std::int64_t>(b);
}

static_assert(sign_extend(0x9c, 8) == static_cast<std::uint64_t>(-100));
static_assert(sign_extend(0x9c, 0) == 0 && sign_extend(~0ull, 64) == ~0ull && sign_extend(5, 255) == 5);
static_assert(sign_extend(1, 1) == ~0ull && sign_extend(0x8000000000, 40) == 0xffffff8000000000);
static_assert(zero_extend(~0ull, 0) == 0 && zero_extend(~0ull, 63) == ~0ull >> 1);
static_assert(zero_extend(~0ull, 64) == ~0ull && zero_extend(0x1234, 8) == 0x34);
static_assert(shift_left(1, 63) == 1ull << 63 && shift_left(1, 64) == 0);
static_assert(shift_right_unsigned(~0ull, 63) == 1 && shift_right_unsigned(~0ull, 64) == 0);
static_assert(shift_right_signed(1ull << 63, ~0ull) == ~0ull && shift_right_signed(5, 64) == 0);
static_assert(divide_signed(1ull << 63, ~0ull) == 1ull << 63 && remainder_signed(1ull << 63, ~0ull) == 0);
static_assert(divide_signed(static_cast<std::uint64_t>(-7), 2) == static_cast<std::uint64_t>(-3));

}  // namespace ringside::agent
