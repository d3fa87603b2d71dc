// Against the CPU that runs this test: every pair of bytes, and a sample of wider values.
#include "arch/x86/alu.hpp"

#include <random>
#include <utility>

#include <gtest/gtest.h>

namespace ringside::x86::alu {
namespace {

// lahf: SF ZF 0 AF 0 PF 1 CF as bits 15:8 of AX, at the places they have in RFLAGS.
constexpr std::uint64_t status_of(std::uint16_t ax) {
  return ((ax >> 8) & kStatus) | flag_if((ax & 1) != 0, rflags::kOf);
}

// neg sets CF from `carry`; no stack is touched, since a leaf function keeps data below RSP.
#define RINGSIDE_NATIVE(name, instruction)                          \
  struct name {                                                     \
    template <typename T>                                           \
    static Outcome run(T a, T b, bool carry) {                      \
      auto in = static_cast<std::uint8_t>(carry);                   \
      std::uint16_t ax = 0;                                         \
      asm("negb %[in]; " instruction " %[b], %[a]; lahf; seto %%al" \
          : [a] "+&r"(a), [in] "+&q"(in), "+&a"(ax)                 \
          : [b] "r"(b)                                              \
          : "cc");                                                  \
      return {a, status_of(ax)};                                    \
    }                                                               \
  }
RINGSIDE_NATIVE(Add, "add");
RINGSIDE_NATIVE(Adc, "adc");
RINGSIDE_NATIVE(Sub, "sub");
RINGSIDE_NATIVE(Sbb, "sbb");
RINGSIDE_NATIVE(And, "and");
RINGSIDE_NATIVE(Or, "or");
RINGSIDE_NATIVE(Xor, "xor");
#undef RINGSIDE_NATIVE

using Ours = Outcome (*)(std::uint64_t a, std::uint64_t b, bool carry, unsigned size);

template <typename Native>
void every_pair_of_bytes(Ours ours) {
  for (unsigned pair = 0; pair < 0x20000; ++pair) {
    const auto a = static_cast<std::uint8_t>(pair), b = static_cast<std::uint8_t>(pair >> 8);
    const bool carry = (pair & 0x10000) != 0;
    ASSERT_EQ(ours(a, b, carry, 1), Native::run(a, b, carry)) << +a << ' ' << +b << ' ' << carry;
  }
}

// Words whose halves are all zeros, all ones, or neither, so that carries go far.
std::uint64_t edgy(std::mt19937_64& random) {
  const std::uint64_t word = random();
  switch (word % 5) {
    case 0:
      return word >> (word >> 58);
    case 1:
      return ~(word >> (word >> 58));
    case 2:
      return std::uint64_t{1} << (word >> 58);
    case 3:
      return (std::uint64_t{1} << (word >> 58)) - 1;
    default:
      return word;
  }
}

template <typename Native, typename T>
void a_sample_of(Ours ours) {
  std::mt19937_64 random(1);
  for (int i = 0; i < 20000; ++i) {
    const T a = static_cast<T>(edgy(random)), b = static_cast<T>(edgy(random));
    const bool carry = (random() & 1) != 0;
    ASSERT_EQ(ours(a, b, carry, sizeof(T)), Native::run(a, b, carry)) << a << ' ' << b << ' ' << carry;
  }
}

template <typename Native>
void compare(Ours ours) {
  every_pair_of_bytes<Native>(ours);
  a_sample_of<Native, std::uint16_t>(ours);
  a_sample_of<Native, std::uint32_t>(ours);
  a_sample_of<Native, std::uint64_t>(ours);
}

TEST(Alu, AddsAsTheCpuDoes) {
  compare<Add>([](auto a, auto b, bool, unsigned size) { return add(a, b, false, size); });
  compare<Adc>(add);
}

TEST(Alu, SubtractsAsTheCpuDoes) {
  compare<Sub>([](auto a, auto b, bool, unsigned size) { return sub(a, b, false, size); });
  compare<Sbb>(sub);
}

TEST(Alu, CombinesBitsAsTheCpuDoes) {
  compare<And>([](auto a, auto b, bool, unsigned size) { return logic(a & b, size); });
  compare<Or>([](auto a, auto b, bool, unsigned size) { return logic(a | b, size); });
  compare<Xor>([](auto a, auto b, bool, unsigned size) { return logic(a ^ b, size); });
}

TEST(Alu, BitsAboveTheOperandDoNotCount) {
  EXPECT_EQ(add(0xffff'ff01, 0xabcd'ef01, false, 1), add(1, 1, false, 1));
  EXPECT_EQ(sub(0xffff'ff01, 0xabcd'ef02, false, 1), sub(1, 2, false, 1));
  EXPECT_EQ(logic(0xffff'ff00, 1), logic(0, 1));
}

TEST(Alu, SignExtendsFromEachSize) {
  EXPECT_EQ(sign_extend(0xff80, 1), 0xffff'ffff'ffff'ff80);
  EXPECT_EQ(sign_extend(0xff7f, 1), 0x7fu);
  EXPECT_EQ(sign_extend(0x8000, 2), 0xffff'ffff'ffff'8000);
  EXPECT_EQ(sign_extend(0x8000'0000, 4), 0xffff'ffff'8000'0000);
  EXPECT_EQ(sign_extend(0x8000'0000'0000'0000, 8), 0x8000'0000'0000'0000);
}

template <std::uint8_t kCondition>
bool native_holds(std::uint64_t flags) {
  static_assert(kCondition < 16);
  bool taken = false;
  // The six flags by sahf and, for OF, the sum of 0x7f and 0 or 1; sahf leaves OF alone.
  const auto ah = static_cast<std::uint16_t>((flags & 0xff) << 8);
  auto overflow = static_cast<std::uint8_t>(0x7f);
  const auto one = static_cast<std::uint8_t>((flags & rflags::kOf) != 0);
#define RINGSIDE_SETCC(number, name)                       \
  if constexpr (kCondition == number) {                    \
    asm("addb %[one], %[overflow]; sahf; set" name " %[t]" \
        : [t] "=q"(taken), [overflow] "+q"(overflow)       \
        : [one] "q"(one), "a"(ah)                          \
        : "cc");                                           \
  }
  RINGSIDE_SETCC(0, "o")
  RINGSIDE_SETCC(1, "no")
  RINGSIDE_SETCC(2, "b")
  RINGSIDE_SETCC(3, "ae")
  RINGSIDE_SETCC(4, "e")
  RINGSIDE_SETCC(5, "ne")
  RINGSIDE_SETCC(6, "be")
  RINGSIDE_SETCC(7, "a")
  RINGSIDE_SETCC(8, "s")
  RINGSIDE_SETCC(9, "ns")
  RINGSIDE_SETCC(10, "p")
  RINGSIDE_SETCC(11, "np")
  RINGSIDE_SETCC(12, "l")
  RINGSIDE_SETCC(13, "ge")
  RINGSIDE_SETCC(14, "le")
  RINGSIDE_SETCC(15, "g")
#undef RINGSIDE_SETCC
  return taken;
}

// Bit n: condition n holds.
template <std::uint8_t... kConditions>
unsigned native_conditions(std::uint64_t flags, std::integer_sequence<std::uint8_t, kConditions...>) {
  return ((native_holds<kConditions>(flags) ? 1u << kConditions : 0u) | ...);
}

unsigned conditions(std::uint64_t flags) {
  unsigned all = 0;
  for (std::uint8_t i = 0; i < 16; ++i) all |= holds(i, flags) ? 1u << i : 0u;
  return all;
}

TEST(Alu, ConditionsHoldAsForTheCpu) {
  for (std::uint64_t flags = 0; flags < 0x1000; ++flags) {
    if ((flags & ~kStatus) != 0) continue;
    EXPECT_EQ(conditions(flags), native_conditions(flags, std::make_integer_sequence<std::uint8_t, 16>()))
        << flags;
  }
}

}  // namespace
}  // namespace ringside::x86::alu
