#include "stub/hub/stop_wishes.hpp"

#include <gmock/gmock.h>

namespace ringside::hub {
namespace {

using testing::HasSubstr;
using testing::UnorderedElementsAre;

TEST(StopWishesTest, AListNamesPlacesOfTheBoot) {
  StopWishes wishes;
  ASSERT_TRUE(wishes.add("start_kernel,init", false));
  EXPECT_THAT(wishes.at, UnorderedElementsAre(Occasion::kStartKernel, Occasion::kInit));
}

TEST(StopWishesTest, ASecondListAddsToTheFirst) {
  StopWishes wishes;
  ASSERT_TRUE(wishes.add("reset", false));
  ASSERT_TRUE(wishes.add("panic", true));
  EXPECT_THAT(wishes.at, UnorderedElementsAre(Occasion::kReset, Occasion::kPanic));
}

TEST(StopWishesTest, NoneDropsThoseOfItsKindOnly) {
  StopWishes wishes;
  ASSERT_TRUE(wishes.add("reset,init", false));
  ASSERT_TRUE(wishes.add("panic", true));
  ASSERT_TRUE(wishes.add("none", false));
  EXPECT_THAT(wishes.at, UnorderedElementsAre(Occasion::kPanic));
}

TEST(StopWishesTest, AMarkMayBeOneByteInEitherBase) {
  StopWishes wishes;
  ASSERT_TRUE(wishes.add("mark:0x42", false));
  EXPECT_EQ(wishes.mark, 0x42);
  ASSERT_TRUE(wishes.add("mark:255", false));
  EXPECT_EQ(wishes.mark, 255);
  ASSERT_TRUE(wishes.add("mark", false));
  EXPECT_FALSE(wishes.mark.has_value());
}

TEST(StopWishesTest, AHangHasItsSeconds) {
  StopWishes wishes;
  ASSERT_TRUE(wishes.add("hang:30", true));
  EXPECT_EQ(wishes.hang_seconds, 30u);
  ASSERT_TRUE(wishes.add("hang", true));
  EXPECT_EQ(wishes.hang_seconds, 10u);
}

TEST(StopWishesTest, TroubleIsNoPlaceAndTheErrorSaysWhatThereIs) {
  StopWishes wishes;
  const auto added = wishes.add("panic", false);
  ASSERT_FALSE(added);
  EXPECT_THAT(added.error().text, HasSubstr("\"panic\" is nothing to stop at: use reset, entry32"));
  EXPECT_FALSE(wishes.add("init", true));
}

class BadWish : public testing::TestWithParam<std::pair<const char*, bool>> {};

TEST_P(BadWish, IsRefusedAndNothingOfItsListIsTaken) {
  StopWishes wishes;
  EXPECT_FALSE(wishes.add(GetParam().first, GetParam().second));
  EXPECT_TRUE(wishes.at.empty());
}

INSTANTIATE_TEST_SUITE_P(Lists, BadWish,
                         testing::Values(std::pair{"", false}, std::pair{"init,", false},
                                         std::pair{",init", false}, std::pair{"init,start_kernal", false},
                                         std::pair{"mark:256", false}, std::pair{"mark:", false},
                                         std::pair{"mark:0x", false}, std::pair{"mark:-1", false},
                                         std::pair{"init:3", false}, std::pair{"hang:0", true},
                                         std::pair{"hang:4000000000000", true}, std::pair{"panic ", true}));

TEST(StopWishesTest, OnlySomeNeedSymbols) {
  StopWishes wishes;
  ASSERT_TRUE(wishes.add("reset,relocated,mark", false));
  EXPECT_FALSE(wishes.need_symbols());
  ASSERT_TRUE(wishes.add("warn", true));
  EXPECT_TRUE(wishes.need_symbols());
}

}  // namespace
}  // namespace ringside::hub
