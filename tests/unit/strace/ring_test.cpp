#include "stub/strace/ring.hpp"

#include <thread>

#include <gmock/gmock.h>

#include "stub/strace/record.hpp"

namespace ringside::strace {
namespace {

using testing::ElementsAre;

Bytes numbered(std::int32_t pid) {
  Bytes bytes(64);
  const Record record{.kind = Record::Kind::kEntry, .pid = pid, .text = "0123456789"};
  bytes.resize(encode(record, bytes).value());
  return bytes;
}

// Pids of entries; a loss of n as -n.
std::vector<std::int64_t> taken(Ring& ring) {
  Bytes bytes;
  ring.take(bytes, 1 << 20);
  std::vector<std::int64_t> all;
  ByteView rest(bytes);
  while (const auto record = decode(rest)) {
    all.push_back(record->kind == Record::Kind::kLost ? -static_cast<std::int64_t>(record->lost)
                                                      : record->pid);
  }
  EXPECT_TRUE(rest.empty());
  return all;
}

TEST(Ring, GivesWhatItWasGivenAcrossItsEnd) {
  Ring ring(100, Overflow::kDrop);
  for (std::int32_t i = 1; i < 50; ++i) {
    EXPECT_TRUE(ring.push(numbered(i)).first);
    EXPECT_FALSE(ring.push(numbered(1000 + i)).first);
    EXPECT_THAT(taken(ring), ElementsAre(i, 1000 + i));
  }
  EXPECT_EQ(ring.lost(), 0u);
}

TEST(Ring, DropsWhatDoesNotFitAndTellsWhere) {
  Ring ring(100, Overflow::kDrop);
  for (std::int32_t i = 1; i <= 10; ++i) ring.push(numbered(i));
  const auto lost = static_cast<std::int64_t>(ring.lost());
  ASSERT_GT(lost, 0);
  for (int i = 0; i < 3; ++i) {  // one at a time: room for another, behind the loss
    Bytes bytes;
    ring.take(bytes, 1);
  }
  ring.push(numbered(11));
  const auto rest = taken(ring);
  ASSERT_GE(rest.size(), 3u);
  EXPECT_EQ(rest.front(), 4);
  EXPECT_EQ(rest[rest.size() - 3], 10 - lost);
  EXPECT_EQ(rest[rest.size() - 2], -lost);
  EXPECT_EQ(rest.back(), 11);
}

TEST(Ring, TellsOfALossAtTheEndAndOfRecordsThatCouldNotBeMade) {
  Ring ring(100, Overflow::kDrop);
  for (std::int32_t i = 1; i <= 10; ++i) ring.push(numbered(i));
  ring.lose();
  const auto all = taken(ring);
  ASSERT_LT(all.size(), 10u);
  EXPECT_EQ(all.back(), -static_cast<std::int64_t>(11 - (all.size() - 1)));
  EXPECT_TRUE(ring.empty());
}

TEST(Ring, OverwritingKeepsTheNewestAndTellsHowManyAreGone) {
  Ring ring(100, Overflow::kOverwrite);
  for (std::int32_t i = 1; i <= 10; ++i) ring.push(numbered(i));
  const auto all = taken(ring);
  ASSERT_GE(all.size(), 2u);
  EXPECT_EQ(all.back(), 10);
  EXPECT_EQ(-all.front() + static_cast<std::int64_t>(all.size()) - 1, 10);
}

TEST(Ring, BlockingSaysWhenToWaitAndWhenToGoOn) {
  Ring ring(1000, Overflow::kBlock);
  bool full = false;
  std::int32_t count = 0;
  while (!full) full = ring.push(numbered(++count)).full;
  EXPECT_FALSE(ring.has_room());
  EXPECT_EQ(taken(ring).size(), static_cast<std::size_t>(count));
  EXPECT_TRUE(ring.has_room());
  EXPECT_EQ(ring.lost(), 0u);
}

TEST(Ring, TakesNoMoreThanIsAskedFor) {
  Ring ring(1000, Overflow::kDrop);
  for (std::int32_t i = 1; i <= 10; ++i) ring.push(numbered(i));
  Bytes bytes;
  ring.take(bytes, 50);
  EXPECT_LE(bytes.size(), 50u);
  EXPECT_FALSE(bytes.empty());
  EXPECT_FALSE(ring.empty());
}

TEST(Ring, FrozenTakesNothingIn) {
  Ring ring(1000, Overflow::kOverwrite);
  ring.push(numbered(1));
  ring.freeze();
  ring.push(numbered(2));
  EXPECT_THAT(taken(ring), ElementsAre(1));
}

TEST(Ring, CountsExactlyUnderManyWriters) {
  Ring ring(4096, Overflow::kDrop);
  constexpr int kEach = 20'000;
  std::atomic<bool> done = false;
  std::uint64_t read = 0;
  std::uint64_t told = 0;
  const auto drain = [&] {
    for (const std::int64_t one : taken(ring)) (one < 0 ? told += static_cast<std::uint64_t>(-one) : ++read);
  };
  std::thread reader([&] {
    while (!done) drain();
    drain();
  });
  std::vector<std::thread> writers;
  for (int w = 1; w <= 4; ++w) {
    writers.emplace_back([&ring, w] {
      for (int i = 0; i < kEach; ++i) ring.push(numbered(w));
    });
  }
  for (std::thread& writer : writers) writer.join();
  done = true;
  reader.join();
  EXPECT_EQ(read + ring.lost(), 4u * kEach);
  EXPECT_EQ(told, ring.lost());
}

}  // namespace
}  // namespace ringside::strace
