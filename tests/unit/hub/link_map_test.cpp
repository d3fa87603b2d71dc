#include "stub/hub/link_map.hpp"

#include <gtest/gtest.h>

namespace ringside::hub {
namespace {

constexpr Gva kLink{0xffffffff81000000};
constexpr std::uint64_t kBytes = 0x3000000;
constexpr TracerId kOld{1}, kNew{2};

PointSpec point(Gva at) { return {PointKind::kSoftware, at, 1}; }

KernelPlace moved_by(std::uint64_t slide) {
  return {
      .text = kLink + slide, .at = Gpa{0x1000000}, .bytes = kBytes, .link_text = kLink, .as_loaded = true};
}

class LinkMapTest : public testing::Test {
 protected:
  void relocate(std::uint64_t slide) { map_.relocated(moved_by(slide), {kOld}); }
  LinkMap map_;
};

constexpr std::uint64_t kFar = 0x10000000;   // the running image is apart from the linked one
constexpr std::uint64_t kNear = 0x01000000;  // they overlap

TEST_F(LinkMapTest, ATracerFromBeforeMeansTheRunningImage) {
  relocate(kFar);
  EXPECT_EQ(map_.inserted(kOld, point(kLink + 0x100)), point(kLink + kFar + 0x100));
  EXPECT_EQ(map_.set_at(kOld, point(kLink + kFar + 0x100)), kLink + 0x100);
}

TEST_F(LinkMapTest, OneThatCameLaterMeansWhatItSays) {
  relocate(kFar);
  EXPECT_EQ(map_.inserted(kNew, point(kLink + 0x100)), point(kLink + 0x100));
}

TEST_F(LinkMapTest, WithoutASlideNothingMoves) {
  relocate(0);
  EXPECT_EQ(map_.inserted(kOld, point(kLink + 0x100)), point(kLink + 0x100));
  EXPECT_FALSE(map_.meant(kOld, point(kLink)));
}

TEST_F(LinkMapTest, AnAddressOutsideTheImageIsLeftAlone) {
  relocate(kFar);
  EXPECT_EQ(map_.inserted(kOld, point(kLink + kBytes)), point(kLink + kBytes));
  EXPECT_EQ(map_.inserted(kOld, point(kLink - 1)), point(kLink - 1));
}

TEST_F(LinkMapTest, ARemovalByTheLinkAddressFindsThePointOnce) {
  relocate(kFar);
  map_.inserted(kOld, point(kLink));
  EXPECT_EQ(map_.removed(kOld, point(kLink)), point(kLink + kFar));
  EXPECT_EQ(map_.removed(kOld, point(kLink)), point(kLink));
}

TEST_F(LinkMapTest, WhoSetsAPointInTheRunningImageHasMovedItsSymbols) {
  relocate(kFar);
  EXPECT_EQ(map_.inserted(kOld, point(kLink + kFar + 8)), point(kLink + kFar + 8));
  EXPECT_EQ(map_.inserted(kOld, point(kLink + 8)), point(kLink + 8));
}

TEST_F(LinkMapTest, PointsSetBeforeCanStillBeRemovedThen) {
  relocate(kFar);
  map_.inserted(kOld, point(kLink));
  map_.inserted(kOld, point(kLink + kFar + 8));
  EXPECT_EQ(map_.removed(kOld, point(kLink)), point(kLink + kFar));
}

TEST_F(LinkMapTest, ThePointAtItsRealAddressIsNoMovedOneAnyMore) {
  relocate(kFar);
  map_.inserted(kOld, point(kLink));
  map_.inserted(kOld, point(kLink + kFar));
  EXPECT_FALSE(map_.set_at(kOld, point(kLink + kFar)).has_value());
}

TEST_F(LinkMapTest, WhereTheImagesOverlapATracerThatWasNotToldMeansTheLinkedOne) {
  relocate(kNear);
  EXPECT_EQ(map_.inserted(kOld, point(kLink + kNear)), point(kLink + 2 * kNear));
}

TEST_F(LinkMapTest, AndOneThatWasToldTheRunningOne) {
  relocate(kNear);
  map_.told(kOld, kNear);
  EXPECT_EQ(map_.inserted(kOld, point(kLink + kNear)), point(kLink + kNear));
}

TEST_F(LinkMapTest, WhoWasToldBeforeTheKernelRanKnowsAsWell) {
  map_.told(kOld, kNear);
  relocate(kNear);
  EXPECT_FALSE(map_.meant(kOld, point(kLink + kNear)));
  EXPECT_EQ(map_.inserted(kOld, point(kLink + kNear)), point(kLink + kNear));
  EXPECT_TRUE(map_.meant(kOld, point(kLink))) << "nothing runs there";
}

TEST_F(LinkMapTest, AndStillDoesWhenTheSameKernelComesAgain) {
  relocate(kNear);
  map_.told(kOld, kNear);
  map_.forget();
  relocate(kNear);
  EXPECT_FALSE(map_.meant(kOld, point(kLink + kNear)));
}

TEST_F(LinkMapTest, WhoWasToldOfAnotherSlideDoesNot) {
  map_.told(kOld, kFar);
  relocate(kNear);
  EXPECT_TRUE(map_.meant(kOld, point(kLink + kNear)));
}

TEST_F(LinkMapTest, WhoKnowsAnotherPlaceMeansTheKernelThatRuns) {
  map_.told(kOld, kFar);
  relocate(kNear);
  const PointSpec asked = point(kLink + kFar + 0x100), there = point(kLink + kNear + 0x100);
  EXPECT_EQ(map_.meant(kOld, asked), there);
  EXPECT_EQ(map_.inserted(kOld, asked), there);
  EXPECT_EQ(map_.set_at(kOld, there), asked.at);
  EXPECT_EQ(map_.removed(kOld, asked), there);
  EXPECT_FALSE(map_.set_at(kOld, there).has_value());
}

TEST_F(LinkMapTest, AlsoWhenThatIsWhereItIsLinked) {
  map_.told(kOld, kFar);
  relocate(0);
  EXPECT_EQ(map_.inserted(kOld, point(kLink + kFar)), point(kLink));
  EXPECT_EQ(map_.inserted(kOld, point(kLink)), point(kLink));  // its symbols have been moved
  EXPECT_EQ(map_.inserted(kOld, point(kLink + kFar)), point(kLink + kFar));
}

TEST_F(LinkMapTest, WhoSetsAPointInTheRunningImageMeansThatKernelWhereverItComesNext) {
  relocate(kFar);
  EXPECT_EQ(map_.inserted(kOld, point(kLink + kFar)), point(kLink + kFar));
  relocate(kNear);
  EXPECT_EQ(map_.inserted(kOld, point(kLink + kFar + 4)), point(kLink + kNear + 4));
}

TEST_F(LinkMapTest, AProbeIsWhereTheKernelSaysItIs) {
  const PointSpec probe{.kind = PointKind::kProbe, .at = kLink + kNear, .length = 1};
  relocate(kNear);
  EXPECT_FALSE(map_.meant(kOld, probe));
  EXPECT_EQ(map_.inserted(kOld, probe), probe);
}

TEST_F(LinkMapTest, ATracerThatLeavesIsForgotten) {
  relocate(kFar);
  map_.inserted(kOld, point(kLink));
  map_.forget(kOld);
  EXPECT_TRUE(map_.all_moved().empty());
  EXPECT_EQ(map_.inserted(kOld, point(kLink)), point(kLink));
}

}  // namespace
}  // namespace ringside::hub
