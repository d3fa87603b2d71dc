#include "stub/strace/filter.hpp"

#include <gmock/gmock.h>

#include "stub/strace/trace_options.hpp"

namespace ringside::strace {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint32_t kRead = 0, kWrite = 1, kOpen = 2, kClose = 3, kOpenat = 257, kGetppid = 110;

Filter tracing(std::string_view expression) {
  return Filter::parse({.trace = std::string(expression), .status = {}, .signal = {}, .paths = {}}).value();
}
bool wants(const Filter& filter, std::uint32_t number) { return filter.wants_call(Abi::kX64, number); }
std::string refusal(std::string_view lines) {
  const auto options = parse_options(lines);
  return options ? "not refused" : options.error().text;
}

TEST(Filter, WantsAllAtFirst) {
  const Filter filter;
  EXPECT_TRUE(wants(filter, kRead));
  EXPECT_TRUE(wants(filter, 100'000));
  EXPECT_TRUE(filter.wants_signal(17));
  EXPECT_FALSE(filter.needs_result());
}

TEST(Filter, NamesOnBothAbis) {
  const Filter filter = tracing("read,close");
  EXPECT_TRUE(wants(filter, kRead));
  EXPECT_TRUE(wants(filter, kClose));
  EXPECT_FALSE(wants(filter, kWrite));
  EXPECT_FALSE(wants(filter, 100'000));
  EXPECT_TRUE(filter.wants_call(Abi::kI386, 3));   // read
  EXPECT_FALSE(filter.wants_call(Abi::kI386, 1));  // exit
}

TEST(Filter, AllButWhatIsNamed) {
  const Filter filter = tracing("!read,close");
  EXPECT_FALSE(wants(filter, kRead));
  EXPECT_FALSE(wants(filter, kClose));
  EXPECT_TRUE(wants(filter, kWrite));
  EXPECT_TRUE(wants(filter, 100'000));
}

TEST(Filter, ClassesAndExpressions) {
  EXPECT_TRUE(wants(tracing("%file"), kOpenat));
  EXPECT_FALSE(wants(tracing("%file"), kRead));
  EXPECT_TRUE(wants(tracing("/^get"), kGetppid));
  EXPECT_FALSE(wants(tracing("/^get"), kRead));
  EXPECT_TRUE(wants(tracing("/^open(at)?$,close"), kOpen));
  EXPECT_FALSE(wants(tracing("none"), kRead));
  EXPECT_TRUE(wants(tracing("all"), kRead));
  EXPECT_TRUE(wants(tracing("?nosuch,read"), kRead));
}

TEST(TraceOptions, SeveralExpressionsAreAllMeant) {
  const auto options = parse_options("trace=read\ntrace=close\npid=1\npid=7\n");
  ASSERT_TRUE(options);
  EXPECT_TRUE(wants(options->filter, kRead));
  EXPECT_TRUE(wants(options->filter, kClose));
  EXPECT_FALSE(wants(options->filter, kWrite));
  EXPECT_THAT(options->pids, ElementsAre(1, 7));
}

TEST(TraceOptions, WhatIsWrongIsSaid) {
  EXPECT_THAT(refusal("trace=nosuch\n"), HasSubstr("nosuch"));
  EXPECT_THAT(refusal("trace=%nosuch\n"), HasSubstr("nosuch"));
  EXPECT_THAT(refusal("trace=/(\n"), HasSubstr("regular expression"));
  EXPECT_THAT(refusal("signal=SIGNOSUCH\n"), HasSubstr("SIGNOSUCH"));
  EXPECT_THAT(refusal("status=sideways\n"), HasSubstr("sideways"));
  EXPECT_THAT(refusal("pid=x\n"), HasSubstr("pid=x"));
  EXPECT_THAT(refusal("ring=1\n"), HasSubstr("ring=1"));
  EXPECT_THAT(refusal("overflow=sink\n"), HasSubstr("sink"));
  EXPECT_THAT(refusal("mode=magic\n"), HasSubstr("mode"));
}

TEST(TraceOptions, KeysOfANewerClientAreNamedAndIgnored) {
  const auto options = parse_options("newest=1\nstring=64\nnewer\n");
  ASSERT_TRUE(options);
  EXPECT_THAT(options->unknown, ElementsAre("newest", "newer"));
  EXPECT_EQ(options->style.string_limit, 64u);
}

TEST(Filter, SignalsByNameAndNumber) {
  const Filter filter = Filter::parse({.trace = {}, .status = {}, .signal = "SIGCHLD,term", .paths = {}}).value();
  EXPECT_TRUE(filter.wants_signal(17));
  EXPECT_TRUE(filter.wants_signal(15));
  EXPECT_FALSE(filter.wants_signal(9));
}

TEST(Filter, TheResultDecidesWithAStatus) {
  const Filter filter = Filter::parse({.trace = {}, .status = "failed", .signal = {}, .paths = {}}).value();
  EXPECT_TRUE(filter.needs_result());
  EXPECT_TRUE(filter.wants_result(-2));
  EXPECT_FALSE(filter.wants_result(3));
  EXPECT_FALSE(filter.wants_result(-4096));  // an address
}

}  // namespace
}  // namespace ringside::strace
