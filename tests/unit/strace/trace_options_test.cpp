#include "stub/strace/trace_options.hpp"

#include <gmock/gmock.h>

namespace ringside::strace {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;

constexpr std::uint32_t kRead = 0, kWrite = 1, kClose = 3;

bool wants(const Filter& filter, std::uint32_t number) { return filter.wants_call(Abi::kX64, number); }
std::string refusal(std::string_view lines) {
  const auto options = parse_options(lines);
  return options ? "not refused" : options.error().text;
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

}  // namespace
}  // namespace ringside::strace
