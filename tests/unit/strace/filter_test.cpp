#include "stub/strace/filter.hpp"

#include <gmock/gmock.h>

namespace ringside::strace {
namespace {

using testing::HasSubstr;

constexpr std::uint32_t kRead = 0, kWrite = 1, kOpen = 2, kClose = 3, kOpenat = 257, kGetppid = 110;

Filter tracing(std::initializer_list<std::string_view> expressions) {
  Filter filter;
  for (const std::string_view one : expressions) EXPECT_TRUE(filter.add_trace(one)) << one;
  return filter;
}
bool wants(const Filter& filter, std::uint32_t number) { return filter.wants_call(Abi::kX64, number); }

TEST(Filter, WantsAllAtFirst) {
  const Filter filter;
  EXPECT_TRUE(wants(filter, kRead));
  EXPECT_TRUE(wants(filter, 100'000));
  EXPECT_TRUE(filter.wants_signal(17));
  EXPECT_FALSE(filter.needs_result());
}

TEST(Filter, NamesOnBothAbis) {
  const Filter filter = tracing({"read,close"});
  EXPECT_TRUE(wants(filter, kRead));
  EXPECT_TRUE(wants(filter, kClose));
  EXPECT_FALSE(wants(filter, kWrite));
  EXPECT_FALSE(wants(filter, 100'000));
  EXPECT_TRUE(filter.wants_call(Abi::kI386, 3));   // read
  EXPECT_FALSE(filter.wants_call(Abi::kI386, 1));  // exit
}

TEST(Filter, AllButWhatIsNamed) {
  const Filter filter = tracing({"!read,close"});
  EXPECT_FALSE(wants(filter, kRead));
  EXPECT_TRUE(wants(filter, kWrite));
  EXPECT_TRUE(wants(filter, 100'000));
}

TEST(Filter, ClassesAndExpressions) {
  EXPECT_TRUE(wants(tracing({"%file"}), kOpenat));
  EXPECT_FALSE(wants(tracing({"%file"}), kRead));
  EXPECT_TRUE(wants(tracing({"/^get"}), kGetppid));
  EXPECT_FALSE(wants(tracing({"/^get"}), kRead));
  const Filter both = tracing({"/^open(at)?$", "close"});
  EXPECT_TRUE(wants(both, kOpen));
  EXPECT_TRUE(wants(both, kClose));
  EXPECT_FALSE(wants(both, kRead));
  EXPECT_FALSE(wants(tracing({"none"}), kRead));
  EXPECT_TRUE(wants(tracing({"all"}), kRead));
}

TEST(Filter, WhatDoesNotExistIsAnErrorUnlessItMay) {
  Filter filter;
  EXPECT_THAT(filter.add_trace("nosuch").error().text, HasSubstr("\"nosuch\""));
  EXPECT_THAT(filter.add_trace("%nosuch").error().text, HasSubstr("nosuch"));
  EXPECT_THAT(filter.add_trace("/(").error().text, HasSubstr("regular"));
  EXPECT_FALSE(filter.add_trace(""));
  EXPECT_TRUE(filter.add_trace("?nosuch,read"));
  EXPECT_FALSE(filter.add_signal("SIGNOSUCH"));
  EXPECT_FALSE(filter.add_signal("65"));
  EXPECT_FALSE(filter.add_status("detached"));
  EXPECT_FALSE(filter.add_path(""));
}

TEST(Filter, SignalsByNameAndNumber) {
  Filter filter;
  ASSERT_TRUE(filter.add_signal("SIGCHLD,term,2"));
  EXPECT_TRUE(filter.wants_signal(17));
  EXPECT_TRUE(filter.wants_signal(15));
  EXPECT_TRUE(filter.wants_signal(2));
  EXPECT_FALSE(filter.wants_signal(9));
  Filter none;
  ASSERT_TRUE(none.add_signal("!all"));
  EXPECT_FALSE(none.wants_signal(17));
}

TEST(Filter, TheResultDecidesWithAStatus) {
  Filter filter;
  ASSERT_TRUE(filter.add_status("failed"));
  EXPECT_TRUE(filter.needs_result());
  Call call;
  call.result = -2;
  EXPECT_TRUE(filter.wants_result(call));
  call.result = 3;
  EXPECT_FALSE(filter.wants_result(call));
  call.result = -4096;  // an address
  EXPECT_FALSE(filter.wants_result(call));
}

TEST(Filter, PathsAsArgumentsAndBehindDescriptors) {
  Filter filter;
  ASSERT_TRUE(filter.add_path("/etc/passwd"));
  EXPECT_TRUE(filter.wants_paths_in("AT_FDCWD\x1f\"/etc/passwd\"\x1fO_RDONLY"));
  EXPECT_TRUE(filter.wants_paths_in("3</etc/passwd>"));
  EXPECT_FALSE(filter.wants_paths_in("\"/etc/passwd-\""));
}

}  // namespace
}  // namespace ringside::strace
