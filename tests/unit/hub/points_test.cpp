#include "stub/hub/points.hpp"

#include <gmock/gmock.h>

namespace ringside::hub {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
constexpr TracerId kAlice{1}, kBob{2};

PointSpec software(std::uint64_t at) { return {PointKind::kSoftware, Gva{at}, 1}; }
PointSpec hardware(std::uint64_t at) { return {PointKind::kHardware, Gva{at}, 1}; }
PointSpec watch(std::uint64_t at, std::uint64_t length = 8) { return {PointKind::kWrite, Gva{at}, length}; }
std::optional<Gpa> everything(Gva at) { return Gpa{at.value}; }
std::optional<Gpa> nothing(Gva) { return std::nullopt; }

x86::DebugSlot execute(std::uint64_t at) {
  return {.at = Gva{at}, .length = 1, .kind = x86::WatchKind::kExecute};
}
x86::DebugSlot write8(std::uint64_t at) {
  return {.at = Gva{at}, .length = 8, .kind = x86::WatchKind::kWrite};
}

PointTable table_of(std::initializer_list<PointSpec> specs) {
  PointTable table;
  for (const PointSpec& spec : specs) table.add(kAlice, spec);
  return table;
}
Mechanisms plan(const PointTable& table, const Mechanisms& current = {}) {
  return plan_mechanisms(table, current, everything).value();
}
std::ptrdiff_t free_slots(const Mechanisms& planned) {
  return std::ranges::count_if(planned.slots, [](const auto& slot) { return !slot.has_value(); });
}
std::string refusal(const PointTable& table, const Mechanisms& current = {},
                    std::optional<Gpa> (*where)(Gva) = everything) {
  const auto planned = plan_mechanisms(table, current, where);
  return planned ? "not refused" : planned.error().text;
}

TEST(PointTable, OnlyTheFirstClaimAndTheLastReleaseChangeTheSet) {
  PointTable table;
  EXPECT_TRUE(table.add(kAlice, software(1)));
  EXPECT_FALSE(table.add(kAlice, software(1)));
  EXPECT_FALSE(table.add(kBob, software(1)));
  EXPECT_FALSE(table.remove(kAlice, software(1)));
  EXPECT_TRUE(table.remove(kBob, software(1)));
  EXPECT_FALSE(table.remove(kBob, software(1)));
  EXPECT_THAT(table.points(), IsEmpty());
}

TEST(PointTable, RemovingWhatIsNotOnesOwnDoesNothing) {
  PointTable table;
  table.add(kAlice, software(1));
  EXPECT_FALSE(table.remove(kBob, software(1)));
  EXPECT_FALSE(table.remove(kAlice, hardware(1)));
  EXPECT_EQ(table.owned_by(kAlice), 1u);
}

TEST(PointTable, RemoveAllTakesOneTracersClaimsOnly) {
  PointTable table;
  table.add(kAlice, software(1));
  table.add(kBob, software(1));
  table.add(kAlice, watch(0x100));
  EXPECT_TRUE(table.remove_all(kAlice));
  EXPECT_EQ(table.owned_by(kAlice), 0u);
  EXPECT_EQ(table.owned_by(kBob), 1u);
  EXPECT_FALSE(table.remove_all(kAlice));
}

TEST(PointTable, RemoveAllOfSharedPointsChangesNothingThatIsInserted) {
  PointTable table;
  table.add(kAlice, software(1));
  table.add(kBob, software(1));
  EXPECT_FALSE(table.remove_all(kAlice));
}

TEST(PointTable, CountsWhatEachOwns) {
  PointTable table;
  table.add(kAlice, software(0x10));
  table.add(kAlice, software(0x10));
  table.add(kAlice, software(0x20));
  table.add(kBob, software(0x10));
  EXPECT_EQ(table.owned_by(kAlice), 2u);
  EXPECT_EQ(table.owned_by(kBob), 1u);
  table.remove(kAlice, software(0x20));
  EXPECT_EQ(table.owned_by(kAlice), 1u);
}

TEST(PointTable, HitsAreCountedOnWhenAPointComesBack) {
  PointTable table;
  table.add(kAlice, software(0x10));
  table.claim(kAlice, software(0x10))->counters->hits = 7;
  table.remove(kAlice, software(0x10));
  table.add(kAlice, software(0x10));
  EXPECT_EQ(table.claim(kAlice, software(0x10))->counters->hits, 7u);
}

TEST(PointTable, WhatPersistsGoesToTheHeir) {
  auto lasting = std::make_shared<PointActions>();
  lasting->commands.push_back(agent::Program::verify(Bytes{0x27}).value());
  lasting->persist = true;
  PointTable table;
  table.add(kAlice, software(0x10), lasting);
  table.add(kAlice, software(0x20));
  table.leave(kAlice, kBob);
  EXPECT_EQ(table.claim(kBob, software(0x10))->actions, lasting);
  EXPECT_EQ(table.points().size(), 1u);
}

TEST(PlanMechanisms, DebugRegistersComeFirst) {
  const Mechanisms planned = plan(table_of({software(1), software(2), software(3), software(4)}));
  EXPECT_THAT(planned.int3, IsEmpty());
  for (const auto& slot : planned.slots) EXPECT_TRUE(slot.has_value());
}

TEST(PlanMechanisms, TheFifthSoftwareBreakpointIsAnInt3) {
  const Mechanisms four = plan(table_of({software(1), software(2), software(3), software(4)}));
  const Mechanisms five =
      plan(table_of({software(0), software(1), software(2), software(3), software(4)}), four);
  EXPECT_THAT(five.int3, ElementsAre(testing::Key(Gva{0})));
  EXPECT_EQ(five.slots, four.slots);
}

TEST(PlanMechanisms, AWatchpointTakesASlotFromASoftwareBreakpoint) {
  const Mechanisms four = plan(table_of({software(1), software(2), software(3), software(4)}));
  const Mechanisms planned =
      plan(table_of({software(1), software(2), software(3), software(4), watch(0x100)}), four);
  EXPECT_EQ(planned.int3.size(), 1u);
  EXPECT_THAT(planned.slots, testing::Contains(write8(0x100)));
}

TEST(PlanMechanisms, AHardwareBreakpointTakesASlotFromASoftwareBreakpoint) {
  const Mechanisms four = plan(table_of({software(1), software(2), software(3), software(4)}));
  const Mechanisms planned =
      plan(table_of({software(1), software(2), software(3), software(4), hardware(9)}), four);
  EXPECT_EQ(planned.int3.size(), 1u);
  EXPECT_THAT(planned.slots, testing::Contains(execute(9)));
}

TEST(PlanMechanisms, SoftwareAndHardwareAtOneAddressShareASlot) {
  const Mechanisms planned = plan(table_of({software(9), hardware(9)}));
  EXPECT_THAT(planned.int3, IsEmpty());
  EXPECT_EQ(std::ranges::count(planned.slots, std::optional(execute(9))), 1);
  EXPECT_EQ(free_slots(planned), 3);
}

TEST(PlanMechanisms, TwoReadersOfOneRangeShareASlot) {
  PointTable table = table_of({{PointKind::kRead, Gva{0x100}, 8}});
  table.add(kBob, {PointKind::kAccess, Gva{0x100}, 8});
  EXPECT_EQ(free_slots(plan(table)), 3);
}

TEST(PlanMechanisms, WhatStaysKeepsItsSlotWhenOthersGo) {
  const Mechanisms four = plan(table_of({hardware(1), hardware(2), hardware(3), hardware(4)}));
  const Mechanisms two = plan(table_of({hardware(2), hardware(4)}), four);
  for (std::size_t i = 0; i < 4; ++i) {
    const bool stays = four.slots[i] == execute(2) || four.slots[i] == execute(4);
    EXPECT_EQ(two.slots[i], stays ? four.slots[i] : std::nullopt);
  }
}

TEST(PlanMechanisms, ThePlanOfAPlanIsItself) {
  const PointTable table =
      table_of({software(1), software(2), software(3), software(4), software(5), hardware(6), watch(0x100)});
  const Mechanisms once = plan(table);
  EXPECT_EQ(plan(table, once), once);
}

TEST(PlanMechanisms, AnInt3MovesBackToASlotThatIsFreeAgain) {
  const PointTable five = table_of({software(1), software(2), software(3), software(4), software(5)});
  const Mechanisms before = plan(five);
  const Gva as_int3 = before.int3.begin()->first;
  PointTable fewer = five;
  for (const auto& slot : before.slots) {
    if (slot) {
      fewer.remove(kAlice, software(slot->at.value));
      break;
    }
  }
  const Mechanisms after = plan(fewer, before);
  EXPECT_THAT(after.int3, IsEmpty());
  EXPECT_THAT(after.slots, testing::Contains(execute(as_int3.value)));
}

TEST(PlanMechanisms, AnAddressWithoutMemoryGetsASlotBeforeOthers) {
  const Mechanisms four = plan(table_of({software(1), software(2), software(3), software(4)}));
  const PointTable table = table_of({software(1), software(2), software(3), software(4), software(0x9999)});
  const auto planned =
      plan_mechanisms(table, four, [](Gva at) { return at != Gva{0x9999} ? everything(at) : std::nullopt; });
  ASSERT_TRUE(planned);
  EXPECT_THAT(planned->slots, testing::Contains(execute(0x9999)));
  EXPECT_EQ(planned->int3.size(), 1u);
}

TEST(PlanMechanisms, OfFiveUnmappedBreakpointsFourHaveASlotAndOneIsPending) {
  const PointTable five = table_of({software(1), software(2), software(3), software(4), software(5)});
  const auto planned = plan_mechanisms(five, {}, nothing);
  ASSERT_TRUE(planned);
  EXPECT_EQ(free_slots(*planned), 0);
  EXPECT_THAT(planned->int3, IsEmpty());
  EXPECT_THAT(planned->pending, ElementsAre(Gva{5}));
  const auto mapped = plan_mechanisms(five, *planned, everything);
  ASSERT_TRUE(mapped);
  EXPECT_THAT(mapped->pending, IsEmpty());
  EXPECT_THAT(mapped->int3, ElementsAre(std::pair(Gva{5}, Gpa{5})));
}

TEST(PlanMechanisms, WatchesWithoutASlotAreTrappedReadsAreNot) {
  const PointTable many = table_of(
      {watch(0x1000), watch(0x2000), watch(0x3000), watch(0x4000), watch(0x5000), watch(0x6000, 1000)});
  const Mechanisms planned = plan(many);
  EXPECT_EQ(free_slots(planned), 0);
  EXPECT_THAT(planned.trapped, ElementsAre(watch(0x5000), watch(0x6000, 1000)));
}

// Who can have nothing else comes first, whatever was there before.
TEST(PlanMechanisms, AHardwareBreakpointTakesTheRegisterOfAWatchpoint) {
  const PointTable four = table_of({watch(0x1000), watch(0x2000), watch(0x3000), watch(0x4000)});
  const Mechanisms before = plan(four);
  EXPECT_THAT(before.trapped, IsEmpty());
  PointTable five = table_of({watch(0x1000), watch(0x2000), watch(0x3000), watch(0x4000), hardware(0x7000)});
  const Mechanisms after = plan(five, before);
  EXPECT_EQ(after.trapped.size(), 1u);
  EXPECT_THAT(after.slots, testing::Contains(execute(0x7000)));
  EXPECT_THAT(plan(four, after).trapped, IsEmpty());
}

TEST(PlanMechanisms, AFifthSlotIsRefusedWithWhoHasWhat) {
  PointTable table = table_of({hardware(0x1000), hardware(0x2000), watch(0x3000)});
  table.add(kBob, {PointKind::kAccess, Gva{0x4000}, 4});
  table.add(kBob, hardware(0x5000));
  table.add(kBob, hardware(0x6000));  // the watch could do without
  const std::string text = refusal(table);
  EXPECT_THAT(text, HasSubstr("all 4 debug registers are in use"));
  EXPECT_THAT(text, HasSubstr("hbreak 0x1000 (tracer 1)"));
  EXPECT_THAT(text, HasSubstr("watch 0x3000+8 (tracer 1)"));
  EXPECT_THAT(text, HasSubstr("awatch 0x4000+4 (tracer 2)"));
  EXPECT_THAT(text, HasSubstr("delete one of them first"));
}

TEST(PlanMechanisms, AnUnalignedWatchTakesSeveralSlots) {
  const Mechanisms planned = plan(table_of({watch(0x1001, 8)}));
  EXPECT_LT(free_slots(planned), 3);
}

TEST(SlotsNeeded, RefusesWhatNoFourSlotsReach) {
  EXPECT_FALSE(slots_needed(watch(0x1000, 64)));
  EXPECT_FALSE(slots_needed(watch(0x1000, 0)));
  EXPECT_TRUE(slots_needed(watch(0x1000, 32)));
}

TEST(PointSpec, ToText) {
  EXPECT_EQ(to_text(software(0x10)), "break 0x10");
  EXPECT_EQ(to_text(hardware(0x10)), "hbreak 0x10");
  EXPECT_EQ(to_text(watch(0x10, 4)), "watch 0x10+4");
  EXPECT_EQ(to_text({PointKind::kRead, Gva{0x10}, 2}), "rwatch 0x10+2");
  EXPECT_EQ(to_text({PointKind::kAccess, Gva{0x10}, 1}), "awatch 0x10+1");
}

// 0 to 3 have the registers; then 9, an int3, is hit more than 2.
TEST(PlanMechanisms, ABreakpointThatIsHitMostGetsARegister) {
  const PointTable table = table_of({software(0), software(1), software(2), software(3), software(9)});
  const Mechanisms before = plan(table);
  EXPECT_THAT(before.int3, ElementsAre(testing::Key(Gva{9})));
  for (const std::uint64_t at : {0, 1, 3, 9})
    table.claim(kAlice, software(at))->counters->hits = 2 * kBusyHits;
  const Mechanisms after = plan(table, before);
  EXPECT_THAT(after.int3, ElementsAre(testing::Key(Gva{2})));
  EXPECT_EQ(after.slots[2], execute(9));
}

TEST(PlanMechanisms, AFewHitsMoreAreNoReasonToChangePlaces) {
  const PointTable table = table_of({software(0), software(1), software(2), software(3), software(9)});
  const Mechanisms before = plan(table);
  for (const std::uint64_t at : {0, 1, 2, 3})
    table.claim(kAlice, software(at))->counters->hits = 2 * kBusyHits;
  table.claim(kAlice, software(9))->counters->hits = 2 * kBusyHits + kBusyHits / 2;
  EXPECT_EQ(plan(table, before), before);
}

}  // namespace
}  // namespace ringside::hub
