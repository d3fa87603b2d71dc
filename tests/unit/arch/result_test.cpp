#include "arch/result.hpp"

#include <cerrno>
#include <memory>

#include <gtest/gtest.h>

namespace ringside {
namespace {

Result<int> half(int value) {
  if (value % 2 != 0) return fail(Errc::kMalformed, "odd");
  return value / 2;
}

Result<int> quarter(int value) {
  const int first = RS_TRY(half(value));
  return half(first);
}

Result<void> check_quarter(int value) {
  (void)RS_TRY(quarter(value));
  return {};
}

TEST(Result, TryGivesTheValueOfAGoodResult) {
  const Result<int> result = quarter(8);

  ASSERT_TRUE(result.has_value());
  EXPECT_EQ(*result, 2);
}

TEST(Result, TryReturnsTheErrorOfABadResult) {
  const Result<int> result = quarter(6);

  ASSERT_FALSE(result.has_value());
  EXPECT_EQ(result.error().code, Errc::kMalformed);
  EXPECT_EQ(result.error().text, "odd");
}

TEST(Result, VoidResultCarriesAnErrorToo) {
  EXPECT_TRUE(check_quarter(4).has_value());
  EXPECT_FALSE(check_quarter(5).has_value());
}

TEST(Result, HoldsMoveOnlyValues) {
  Result<std::unique_ptr<int>> result = std::make_unique<int>(7);

  const std::unique_ptr<int> taken = std::move(result).value();

  EXPECT_EQ(*taken, 7);
}

TEST(Result, ErrnoErrorNamesWhatFailedAndWhy) {
  const Result<int> result = fail_errno("open /dev/kvm", ENOENT);

  EXPECT_EQ(result.error().code, Errc::kSystem);
  EXPECT_EQ(result.error().text, "open /dev/kvm: No such file or directory");
}

}  // namespace
}  // namespace ringside
