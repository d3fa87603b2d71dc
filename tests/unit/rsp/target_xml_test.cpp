#include "stub/rsp/target_xml.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ringside::rsp {
namespace {

using testing::HasSubstr;
using testing::Not;

constexpr x86::CpuFeatures kBaseline{};
constexpr x86::CpuFeatures kFull{.avx = true, .avx512 = true, .pkru = true};

TEST(TargetXml, LinuxPersonalityHasTheAbiAndItsFeature) {
  const std::string xml = target_xml(kBaseline, Personality::kLinux);

  EXPECT_THAT(xml, HasSubstr("<architecture>i386:x86-64</architecture>\n<osabi>GNU/Linux</osabi>"));
  EXPECT_THAT(xml, HasSubstr("<feature name=\"org.gnu.gdb.i386.linux\">"));
}

TEST(TargetXml, BarePersonalityKeepsOrigRaxInItsPlace) {
  const std::string xml = target_xml(kBaseline, Personality::kBare);

  EXPECT_THAT(xml, HasSubstr("<osabi>none</osabi>"));
  EXPECT_THAT(xml, Not(HasSubstr("org.gnu.gdb.i386.linux")));
  EXPECT_THAT(xml, HasSubstr("<reg name=\"orig_rax\" bitsize=\"64\" type=\"int\" regnum=\"57\""));
}

TEST(TargetXml, NumbersDoNotDependOnTheCpu) {
  const std::string row = "<reg name=\"msr_lstar\" bitsize=\"64\" type=\"code_ptr\" regnum=\"169\"";

  EXPECT_THAT(target_xml(kBaseline, Personality::kLinux), HasSubstr(row));
  EXPECT_THAT(target_xml(kFull, Personality::kLinux), HasSubstr(row));
}

TEST(TargetXml, VectorFeaturesAppearOnlyWithTheCpus) {
  EXPECT_THAT(target_xml(kBaseline, Personality::kLinux), Not(HasSubstr("ymm0h")));
  EXPECT_THAT(target_xml(kBaseline, Personality::kLinux), Not(HasSubstr("pkru")));
  EXPECT_THAT(target_xml(kFull, Personality::kLinux), HasSubstr("zmm31h"));
}

TEST(TargetXml, SystemStateIsNotRestoredAfterACallInTheGuest) {
  const std::string xml = target_xml(kBaseline, Personality::kLinux);

  EXPECT_THAT(xml, HasSubstr("regnum=\"63\" group=\"system\" save-restore=\"no\"/>"));
  EXPECT_THAT(xml, HasSubstr("regnum=\"16\" group=\"general\"/>"));
}

}  // namespace
}  // namespace ringside::rsp
