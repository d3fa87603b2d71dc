// Plays every dialogue of this folder, one case a file; a failure names the file and the line.
#include <algorithm>
#include <set>

#include <gtest/gtest.h>

#include "stub/rsp/parse.hpp"
#include "tests/golden/stage.hpp"

namespace ringside::golden {
namespace {

const std::filesystem::path kFolder = RINGSIDE_GOLDEN_FOLDER;

class Golden : public testing::TestWithParam<std::filesystem::path> {};

std::string name_of(const testing::TestParamInfo<std::filesystem::path>& info) {
  std::string name = info.param.stem().string();
  std::ranges::replace(name, '-', '_');
  return name;
}

TEST_P(Golden, IsSpokenAsWritten) {
  const Dialogue dialogue = read_dialogue(GetParam());
  ASSERT_EQ(dialogue.mistakes, std::vector<std::string>{});
  ASSERT_FALSE(dialogue.lines.empty());
  Stage stage(dialogue);

  for (const Line& line : dialogue.lines) {
    if (const auto wrong = stage.play(line)) {
      ADD_FAILURE_AT(GetParam().c_str(), line.number) << line.text << "\n" << *wrong;
      return;
    }
  }
  if (const auto left = stage.leftovers()) {
    ADD_FAILURE_AT(GetParam().c_str(), dialogue.lines.back().number) << "at the end: " << *left;
  }
}

INSTANTIATE_TEST_SUITE_P(Dialogue, Golden, testing::ValuesIn(dialogues(kFolder)), name_of);

// A line is for the first row that it begins with, as in parse().
std::set<std::string> rows_spoken() {
  std::set<std::string> spoken;
  for (const auto& file : dialogues(kFolder)) {
    for (const Line& line : read_dialogue(file).lines) {
      if (line.kind != Line::Kind::kSend && line.kind != Line::Kind::kMonitor) continue;
      const std::string body = body_of(line);
      const auto row = std::ranges::find_if(
          rsp::packet_table(), [&](const rsp::PacketRow& one) { return body.starts_with(one.prefix); });
      if (row != rsp::packet_table().end()) spoken.emplace(row->prefix);
    }
  }
  return spoken;
}

TEST(GoldenFolder, SpeaksEveryPacketOfTheTable) {
  const std::set<std::string> spoken = rows_spoken();

  for (const rsp::PacketRow& row : rsp::packet_table()) {
    EXPECT_TRUE(spoken.contains(std::string(row.prefix))) << "no dialogue has " << row.prefix;
  }
}

Line expected(const char* text) { return {.kind = Line::Kind::kExpect, .text = text}; }

TEST(GoldenLine, MatchesExactlyOrByExpression) {
  EXPECT_TRUE(matches(expected("OK"), "OK"));
  EXPECT_TRUE(matches(expected(""), ""));
  EXPECT_TRUE(matches(expected("b\\x00\\\\"), std::string("b\0\\", 3)));
  EXPECT_TRUE(matches(expected("/T05.*;/"), "T05thread:1;"));

  EXPECT_FALSE(matches(expected("OK"), "OKAY"));
  EXPECT_FALSE(matches(expected(""), "OK"));
  EXPECT_FALSE(matches(expected("/T05/"), "T05thread:1;"));
  EXPECT_FALSE(matches(expected("T05.*"), "T05thread:1;"));
}

TEST(GoldenStage, MissesAReplyAndMindsOneTooMany) {
  Stage stage({});

  EXPECT_FALSE(stage.play({.kind = Line::Kind::kSend, .text = "vMustReplyEmpty"}));
  EXPECT_TRUE(stage.leftovers());
  EXPECT_TRUE(stage.play({.kind = Line::Kind::kSend, .text = "?"}));
  EXPECT_FALSE(stage.play(expected("")));
  EXPECT_TRUE(stage.play(expected("")));
  EXPECT_TRUE(stage.play({.kind = Line::Kind::kDirection, .text = "running none"}));
  EXPECT_TRUE(stage.play({.kind = Line::Kind::kDirection, .text = "dance"}));
}

}  // namespace
}  // namespace ringside::golden
