#include "stub/strace/filter.hpp"

#include <sys/syscall.h>

#include <gtest/gtest.h>

#include "tests/unit/strace/strace_testing.hpp"

namespace ringside::strace {
namespace {

Filter trace(std::string text) {
  FilterText all;
  all.trace = std::move(text);
  return Filter::parse(all).value();
}

std::string complaint(FilterText text) { return Filter::parse(text).error().text; }

bool wants(const Filter& filter, std::string_view name, Abi abi = Abi::kX64) {
  return filter.wants_call(abi, find_syscall_number(abi, name).value());
}

TEST(Filter, LetsEverythingThroughWhenNothingIsSaid) {
  const Filter filter;
  EXPECT_TRUE(wants(filter, "openat"));
  EXPECT_TRUE(filter.wants_call(Abi::kX64, 100000));
  EXPECT_TRUE(filter.wants_signal(17));
  EXPECT_TRUE(filter.wants_result(-2));
}

TEST(Filter, TakesNamesClassesAndExpressions) {
  EXPECT_TRUE(wants(trace("openat,close"), "close"));
  EXPECT_FALSE(wants(trace("openat,close"), "read"));
  EXPECT_TRUE(wants(trace("%network"), "connect"));
  EXPECT_TRUE(wants(trace("network"), "connect"));
  EXPECT_FALSE(wants(trace("%network"), "openat"));
  EXPECT_TRUE(wants(trace("/^sched_"), "sched_yield"));
  EXPECT_FALSE(wants(trace("/^sched_"), "read"));
}

TEST(Filter, AnExclamationMarkMeansAllOthers) {
  EXPECT_FALSE(wants(trace("!openat"), "openat"));
  EXPECT_TRUE(wants(trace("!openat"), "close"));
  EXPECT_FALSE(wants(trace("none"), "close"));
  EXPECT_TRUE(wants(trace("all"), "close"));
}

TEST(Filter, ASuffixChoosesTheAbi) {
  EXPECT_TRUE(wants(trace("open@32"), "open", Abi::kI386));
  EXPECT_FALSE(wants(trace("open@32"), "open"));
}

TEST(Filter, UnknownNamesAreRefusedUnlessTheyMayBeMissing) {
  FilterText text;
  text.trace = "opneat";
  EXPECT_EQ(complaint(text), "invalid system call 'opneat'");
  text.trace = "%fiel";
  EXPECT_EQ(complaint(text), "invalid class of system calls '%fiel'");
  text.trace = "/[";
  EXPECT_EQ(complaint(text), "invalid regular expression '['");
  EXPECT_FALSE(wants(trace("?opneat"), "openat"));
}

TEST(Filter, TakesSignalsByNameAndNumber) {
  FilterText text;
  text.signal = "int,SIGCHLD,15";
  const Filter filter = Filter::parse(text).value();
  EXPECT_TRUE(filter.wants_signal(2) && filter.wants_signal(17) && filter.wants_signal(15));
  EXPECT_FALSE(filter.wants_signal(1));
  text.signal = "nosuch";
  EXPECT_EQ(complaint(text), "invalid signal 'nosuch'");
}

TEST(Filter, TakesStatuses) {
  FilterText text;
  text.status = "failed,unfinished";
  const Filter filter = Filter::parse(text).value();
  EXPECT_TRUE(filter.wants_result(-2));
  EXPECT_FALSE(filter.wants_result(2));
  EXPECT_TRUE(filter.wants_status(Status::kUnfinished));
  text.status = "done";
  EXPECT_EQ(complaint(text), "invalid status 'done'");
}

TEST(Filter, MatchesPathsOfArgumentsAndDescriptors) {
  FilterText text;
  text.paths = {"/etc/passwd"};
  const Filter filter = Filter::parse(text).value();
  FakeProcess process;
  const auto path = process.put_path("/etc/passwd");
  const auto other = process.put_path("/etc/group");
  EXPECT_TRUE(filter.wants_paths_of(make_call("openat", {0xffffff9c, path, 0}, 0), process));
  EXPECT_FALSE(filter.wants_paths_of(make_call("openat", {0xffffff9c, other, 0}, 0), process));
  EXPECT_TRUE(filter.wants_paths_of(make_call("read", {3, 0, 0}, 0), process));
  EXPECT_FALSE(filter.wants_paths_of(make_call("read", {4, 0, 0}, 0), process));
  EXPECT_FALSE(filter.wants_paths_of(make_call("getpid", {}, 0), process));
}

}  // namespace
}  // namespace ringside::strace
