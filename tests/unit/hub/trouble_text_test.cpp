// The words of a kernel in trouble, from the arguments of the function that is about to print them.
#include <gtest/gtest.h>

#include "stub/hub/guest_events.hpp"
#include "tests/unit/guestos/small_kernel.hpp"

namespace ringside::hub {
namespace {

using guestos::test::SmallKernel;

class TroubleText : public testing::Test {
 protected:
  TroubleText() : kernel_(small_.kernel().value()) {}
  std::string text(Occasion occasion, const char* symbol) {
    return trouble_text(occasion, {occasion, PointKind::kProbe, true, symbol}, core_, *kernel_,
                        small_.memory());
  }
  std::string panic(std::string_view format) {
    small_.put(small_.place(0), format);
    core_.gpr[x86::kRdi] = small_.place(0).value;
    return text(Occasion::kPanic, "panic");
  }
  void pass(x86::Gpr reg, std::uint64_t value) { core_.gpr[reg] = value; }

  SmallKernel small_;
  std::shared_ptr<const guestos::Kernel> kernel_;
  x86::CoreRegs core_;
};

TEST_F(TroubleText, APanicIsPrintedWithItsArguments) {
  pass(x86::kRsi, 9);
  EXPECT_EQ(panic("Attempted to kill init! exitcode=0x%08x\n"),
            "panic: Attempted to kill init! exitcode=0x9");
}

TEST_F(TroubleText, EachConversionTakesItsArgumentInOrder) {
  small_.put(small_.place(0x200), "disk");
  pass(x86::kRsi, small_.place(0x200).value);
  pass(x86::kRdx, 0xffffffffu);
  pass(x86::kRcx, 0x1'0000'0001);
  pass(x86::kR8, 0x1'0000'0001);
  pass(x86::kR9, 'c');
  EXPECT_EQ(panic("%s %d 100%% %u %lu %c"), "panic: disk -1 100% 1 4294967297 c");
}

TEST_F(TroubleText, ArgumentsBehindTheFifthAreOnTheStack) {
  pass(x86::kRsp, small_.place(0x300).value);
  small_.word(small_.place(0x308), Gva{6});
  EXPECT_EQ(panic("%d%d%d%d%d%d"), "panic: 000006");
}

TEST_F(TroubleText, VpanicHasThemInAList) {
  small_.put(small_.place(0), "code %x of %s");
  small_.put(small_.place(0x200), "init");
  const Gva list = small_.place(0x400), saved = small_.place(0x500);
  small_.word(list, Gva{8});
  small_.word(list + 16, saved);
  small_.word(saved + 8, Gva{0xb});
  small_.word(saved + 16, small_.place(0x200));
  pass(x86::kRdi, small_.place(0).value);
  pass(x86::kRsi, list.value);
  EXPECT_EQ(text(Occasion::kPanic, "vpanic"), "panic: code b of init");
}

TEST_F(TroubleText, WhatCannotBeReadIsLeftOut) {
  pass(x86::kRdi, 0x10);
  pass(x86::kRsi, 0x20);
  EXPECT_EQ(text(Occasion::kPanic, "vpanic"), "panic: ");
  EXPECT_EQ(text(Occasion::kOops, "__die"), "oops:  (0000)");
}

TEST_F(TroubleText, ATextWithoutEndIsCutOff) {
  EXPECT_LT(panic(std::string(4096, 'x')).size(), 600u);
  EXPECT_LT(panic(std::string(300, '%') + "s%").size(), 600u);
}

TEST_F(TroubleText, AnOopsSaysWhere) {
  small_.put(small_.place(0), "general protection fault");
  small_.word(small_.place(0x480), SmallKernel::kText + 0x30005);
  pass(x86::kRdi, small_.place(0).value);
  pass(x86::kRsi, small_.place(0x400).value);
  pass(x86::kRdx, 2);
  EXPECT_EQ(text(Occasion::kOops, "__die"), "oops: general protection fault (0002) at linux_banner+0x5");
}

TEST_F(TroubleText, AWarningHasFileAndLine) {
  small_.put(small_.place(0), "kernel/exit.c");
  pass(x86::kRdi, small_.place(0).value);
  pass(x86::kRsi, 42);
  pass(x86::kRdx, SmallKernel::kText.value + 0x30008);
  EXPECT_EQ(text(Occasion::kWarn, "__warn"), "warning: kernel/exit.c:42 at linux_banner+0x8");
  pass(x86::kRdi, 0);
  EXPECT_EQ(text(Occasion::kWarn, "__warn"), "warning: at linux_banner+0x8");
}

}  // namespace
}  // namespace ringside::hub
