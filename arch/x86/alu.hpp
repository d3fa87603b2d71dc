// Integer arithmetic with the six status flags as the CPU sets them (SDM 1 3.4.3.1).
//
// Operands are the low `size` bytes of a word (1, 2, 4 or 8); what is above is ignored, and zero in a result.
// Where the SDM leaves AF undefined (and, or, xor, test) CPUs clear it.  Pure.
#pragma once

#include <bit>
#include <cstdint>

#include "arch/x86/control.hpp"

namespace ringside::x86::alu {

inline constexpr std::uint64_t kStatus =
    rflags::kCf | rflags::kPf | rflags::kAf | rflags::kZf | rflags::kSf | rflags::kOf;

struct Outcome {
  std::uint64_t value = 0;
  std::uint64_t flags = 0;  // of kStatus; the others are zero
  bool operator==(const Outcome&) const = default;
};

constexpr std::uint64_t mask_of(unsigned size) { return ~std::uint64_t{0} >> (64 - 8 * size); }
constexpr std::uint64_t sign_of(unsigned size) { return bit(8 * size - 1); }

constexpr std::uint64_t sign_extend(std::uint64_t value, unsigned size) {
  const std::uint64_t low = value & mask_of(size);
  return (low ^ sign_of(size)) - sign_of(size);
}

constexpr std::uint64_t flag_if(bool condition, std::uint64_t flag) { return condition ? flag : 0; }

constexpr std::uint64_t sign_zero_parity(std::uint64_t value, unsigned size) {
  return flag_if((value & mask_of(size)) == 0, rflags::kZf) |
         flag_if((value & sign_of(size)) != 0, rflags::kSf) |
         flag_if(std::popcount(value & 0xff) % 2 == 0, rflags::kPf);
}

// a + b + carry.  A bit is carried out of where both have it, or where one has it and the sum lacks it.
constexpr Outcome add(std::uint64_t a, std::uint64_t b, bool carry, unsigned size) {
  const std::uint64_t sum = a + b + (carry ? 1 : 0);
  const std::uint64_t carries = (a & b) | ((a | b) & ~sum);
  const std::uint64_t overflow = (a ^ sum) & (b ^ sum);
  return {sum & mask_of(size), sign_zero_parity(sum, size) |
                                   flag_if((carries & sign_of(size)) != 0, rflags::kCf) |
                                   flag_if((carries & bit(3)) != 0, rflags::kAf) |
                                   flag_if((overflow & sign_of(size)) != 0, rflags::kOf)};
}

// a - b - borrow.
constexpr Outcome sub(std::uint64_t a, std::uint64_t b, bool borrow, unsigned size) {
  const std::uint64_t difference = a - b - (borrow ? 1 : 0);
  const std::uint64_t borrows = (~a & b) | ((~a | b) & difference);
  const std::uint64_t overflow = (a ^ b) & (a ^ difference);
  return {difference & mask_of(size), sign_zero_parity(difference, size) |
                                          flag_if((borrows & sign_of(size)) != 0, rflags::kCf) |
                                          flag_if((borrows & bit(3)) != 0, rflags::kAf) |
                                          flag_if((overflow & sign_of(size)) != 0, rflags::kOf)};
}

// The result of and, or, xor, test: CF, OF and AF clear.
constexpr Outcome logic(std::uint64_t value, unsigned size) {
  return {value & mask_of(size), sign_zero_parity(value, size)};
}

// A condition as jcc, setcc and cmovcc encode it (SDM 1 B.1): bit 0 negates.
constexpr bool holds(std::uint8_t condition, std::uint64_t flags) {
  const auto has = [flags](std::uint64_t flag) { return (flags & flag) != 0; };
  const bool less = has(rflags::kSf) != has(rflags::kOf);
  const bool positive[8] = {has(rflags::kOf),
                            has(rflags::kCf),
                            has(rflags::kZf),
                            has(rflags::kCf | rflags::kZf),
                            has(rflags::kSf),
                            has(rflags::kPf),
                            less,
                            less || has(rflags::kZf)};
  return positive[(condition >> 1) & 7] != ((condition & 1) != 0);
}

}  // namespace ringside::x86::alu
