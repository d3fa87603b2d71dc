#include "vmm/run/doctor.hpp"

#include <gmock/gmock.h>

namespace ringside::run {
namespace {

using testing::EndsWith;
using testing::HasSubstr;
using testing::Not;

TEST(Doctor, AllIsWell) {
  const std::vector<Finding> findings{{.what = "int3 exit", .needed = true, .missing = {}},
                                      {.what = "dirty log", .needed = false, .missing = {}}};
  EXPECT_TRUE(can_run(findings));
  EXPECT_EQ(verdict(findings), "ringside run will work on this machine.");
}

TEST(Doctor, WhatIsNotNeededIsNamedAndDoesNotPrevent) {
  const std::vector<Finding> findings{{.what = "int3 exit", .needed = true, .missing = {}},
                                      {.what = "register sync", .needed = false, .missing = "not offered"},
                                      {.what = "dirty log", .needed = false, .missing = "went unnoticed"}};
  EXPECT_TRUE(can_run(findings));
  EXPECT_EQ(verdict(findings),
            "ringside run will work on this machine, but without: register sync, dirty log.");
}

TEST(Doctor, WhatIsNeededPreventsAndTheSentenceSaysWhereToGo) {
  const std::vector<Finding> findings{{.what = "long mode", .needed = true, .missing = {}},
                                      {.what = "int3 exit", .needed = true, .missing = "the guest failed"},
                                      {.what = "dirty log", .needed = false, .missing = "went unnoticed"}};
  EXPECT_FALSE(can_run(findings));
  EXPECT_THAT(verdict(findings), HasSubstr("will not work here, because this KVM lacks: int3 exit;"));
  EXPECT_THAT(verdict(findings), HasSubstr("tests/lab"));
  EXPECT_THAT(verdict(findings), Not(HasSubstr("dirty log")));
}

TEST(Doctor, WithoutTheDeviceTheAdviceIsTheDevices) {
  const std::vector<Finding> findings{{.what = "open /dev/kvm",
                                       .needed = true,
                                       .missing = "cannot open /dev/kvm: No such file; load kvm_intel"}};
  EXPECT_FALSE(can_run(findings));
  EXPECT_THAT(verdict(findings),
              EndsWith("will not work here: cannot open /dev/kvm: No such file; load kvm_intel."));
}

}  // namespace
}  // namespace ringside::run
