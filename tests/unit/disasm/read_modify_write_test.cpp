// What needs CF, put back before it was executed: this machine's CPU says what it makes of it.
#include "disasm/read_modify_write.hpp"

#include <gtest/gtest.h>

#include "arch/x86/control.hpp"

namespace ringside::disasm {
namespace {

constexpr std::uint64_t kWhere = 0x10000;
constexpr std::uint64_t kRcx = 0x8877665544332d07;  // by 7, or by 0x2d of a byte's

template <typename T>
struct Executed {
  T value;
  bool carry;
};

#define EXECUTE(NAME, INSN)                                                                    \
  template <typename T>                                                                        \
  Executed<T> NAME(T value, bool carry) {                                                      \
    std::uint8_t flag = carry ? 1 : 0;                                                         \
    asm("addb $0xff, %1\n\t" INSN "\n\tsetc %1" : "+Q"(value), "+Q"(flag) : "c"(kRcx) : "cc"); \
    return {value, flag != 0};                                                                 \
  }
EXECUTE(adc_byte, "adcb %%ch, %0")
EXECUTE(adc_word, "adcw %%cx, %0")
EXECUTE(adc_quad, "adcq %%rcx, %0")
EXECUTE(adc_constant, "adcq $-2, %0")
EXECUTE(sbb_long, "sbbl %%ecx, %0")
EXECUTE(sbb_byte_constant, "sbbb $0x7f, %0")
EXECUTE(sbb_constant, "sbbl $0x12345678, %0")
EXECUTE(rcl_byte_once, "rclb $1, %0")
EXECUTE(rcl_byte_by_cl, "rclb %%cl, %0")
EXECUTE(rcl_byte_round, "rclb $9, %0")
EXECUTE(rcl_word, "rclw $13, %0")
EXECUTE(rcl_quad_by_cl, "rclq %%cl, %0")
EXECUTE(rcr_byte, "rcrb $30, %0")
EXECUTE(rcr_long_once, "rcrl $1, %0")
EXECUTE(rcr_long_by_cl, "rcrl %%cl, %0")
EXECUTE(rcr_quad, "rcrq $63, %0")
#undef EXECUTE

template <typename T>
void expect_before(const Bytes& code, Executed<T> (*execute)(T, bool)) {
  for (const std::uint64_t value : {0ull, 0xccull, 0x11cc2233445566ccull, ~0ull, 0x8000'0000'8000'8080ull}) {
    for (const bool carry : {false, true}) {
      x86::CoreRegs before;
      before.gpr[x86::kRsi] = kWhere;
      before.gpr[x86::kRcx] = kRcx;
      before.rip = 0x4000;
      before.rflags = 2 | (carry ? x86::rflags::kCf : 0);
      const auto [result, out] = execute(static_cast<T>(value), carry);
      x86::CoreRegs after = before;
      after.rip += code.size();
      after.rflags = 2 | (out ? x86::rflags::kCf : 0);
      const auto insn = find_read_modify_write(code, after, {}, result, [](Gva at, std::uint8_t size) {
        return at == Gva{kWhere} && size == sizeof(T);
      });
      ASSERT_TRUE(insn);
      const auto found = insn->before(after, result, static_cast<T>(value));
      ASSERT_TRUE(found);
      EXPECT_EQ(*found, before) << std::hex << value << (carry ? " with" : " without") << " CF";
      const T other = static_cast<T>(result ^ 0x41);
      const auto none = insn->before(after, other, static_cast<T>(value));
      EXPECT_FALSE(none);
    }
  }
}

TEST(ReadModifyWriteWithCarry, OfASum) {
  expect_before<std::uint8_t>({0x10, 0x2e}, adc_byte);                               // adc [rsi],ch
  expect_before<std::uint16_t>({0x66, 0x11, 0x0e}, adc_word);                        // adc [rsi],cx
  expect_before<std::uint64_t>({0xf0, 0x48, 0x11, 0x0e}, adc_quad);                  // lock adc [rsi],rcx
  expect_before<std::uint64_t>({0x48, 0x83, 0x16, 0xfe}, adc_constant);              // adc qword [rsi],-2
  expect_before<std::uint32_t>({0x19, 0x0e}, sbb_long);                              // sbb [rsi],ecx
  expect_before<std::uint8_t>({0x80, 0x1e, 0x7f}, sbb_byte_constant);                // sbb byte [rsi],0x7f
  expect_before<std::uint32_t>({0x81, 0x1e, 0x78, 0x56, 0x34, 0x12}, sbb_constant);  // sbb dword [rsi],…
}

TEST(ReadModifyWriteWithCarry, OfARotation) {
  expect_before<std::uint8_t>({0xd0, 0x16}, rcl_byte_once);          // rcl byte [rsi],1
  expect_before<std::uint8_t>({0xd2, 0x16}, rcl_byte_by_cl);         // rcl byte [rsi],cl
  expect_before<std::uint8_t>({0xc0, 0x16, 9}, rcl_byte_round);      // rcl byte [rsi],9
  expect_before<std::uint16_t>({0x66, 0xc1, 0x16, 13}, rcl_word);    // rcl word [rsi],13
  expect_before<std::uint64_t>({0x48, 0xd3, 0x16}, rcl_quad_by_cl);  // rcl qword [rsi],cl
  expect_before<std::uint8_t>({0xc0, 0x1e, 30}, rcr_byte);           // rcr byte [rsi],30
  expect_before<std::uint32_t>({0xd1, 0x1e}, rcr_long_once);         // rcr dword [rsi],1
  expect_before<std::uint32_t>({0xd3, 0x1e}, rcr_long_by_cl);        // rcr dword [rsi],cl
  expect_before<std::uint64_t>({0x48, 0xc1, 0x1e, 63}, rcr_quad);    // rcr qword [rsi],63
}

}  // namespace
}  // namespace ringside::disasm
