#include "stub/cli/options.hpp"

#include <gmock/gmock.h>

namespace ringside::cli {
namespace {

using testing::HasSubstr;

Result<Options> parse(std::vector<const char*> arguments) {
  arguments.insert(arguments.begin(), "ringside");
  return parse_options(static_cast<int>(arguments.size()), arguments.data());
}

std::string help(std::vector<const char*> arguments) {
  const auto options = parse(std::move(arguments));
  if (!options || !std::holds_alternative<ShowText>(*options)) return {};
  return std::get<ShowText>(*options).text;
}

TEST(Options, AttachTakesOneAddress) {
  const auto options = parse({"attach", ":1234"});

  ASSERT_TRUE(options);
  EXPECT_EQ(std::get<AttachOptions>(*options).address, ":1234");
  EXPECT_FALSE(parse({"attach"}));
  EXPECT_FALSE(parse({"attach", ":1", ":2"}));
}

TEST(Options, GdbMayBeRepeated) {
  const auto options = parse({"run", "k", "--gdb", ":1", "--gdb", "fd:3,ro"});

  ASSERT_TRUE(options);
  EXPECT_THAT(std::get<RunOptions>(*options).gdb, testing::ElementsAre(":1", "fd:3,ro"));
}

TEST(Options, BootNamesAWayIn) {
  const auto mode = [](const char* option) {
    const auto options = parse({"run", "k", option});
    return options ? std::get<RunOptions>(*options).boot.mode : boot::BootMode::kAuto;
  };
  EXPECT_EQ(mode("--boot=real"), boot::BootMode::kReal);
  EXPECT_EQ(mode("--boot=32"), boot::BootMode::kEntry32);
  EXPECT_EQ(mode("--boot=bzimage"), boot::BootMode::kEntry64);
  EXPECT_EQ(mode("--boot=pvh"), boot::BootMode::kPvh);
  const auto wrong = parse({"run", "k", "--boot=16"});
  ASSERT_FALSE(wrong);
  EXPECT_EQ(wrong.error().text, "--boot=16: use real, 32, 64, elf, pvh or auto");
}

TEST(Options, ListsOfStopsAddUp) {
  const auto options =
      parse({"run", "k", "--stop-at=init,mark:1", "--stop-at", "relocated", "--stop-on=hang:3"});

  ASSERT_TRUE(options);
  EXPECT_EQ(std::get<RunOptions>(*options).stop_at, "init,mark:1,relocated");
  EXPECT_EQ(std::get<RunOptions>(*options).stop_on, "hang:3");
}

TEST(Options, AStopThatThereIsNotIsNamed) {
  const auto options = parse({"run", "k", "--stop-on=panik"});

  ASSERT_FALSE(options);
  EXPECT_THAT(options.error().text,
              HasSubstr("--stop-on=panik: \"panik\" is nothing to stop on: use triple-fault"));
}

TEST(Options, EveryCommandHasItsHelp) {
  EXPECT_THAT(help({"--help"}), HasSubstr("attach"));
  EXPECT_THAT(help({"run", "--help"}), HasSubstr("fd:N"));
  EXPECT_THAT(help({"attach", "--help"}), HasSubstr("unix:PATH"));
  EXPECT_THAT(help({"doctor", "--help"}), HasSubstr("KVM"));
}

}  // namespace
}  // namespace ringside::cli
