#include <string>

#include "tests/unit/rsp/parse_testing.hpp"

namespace ringside::rsp {
namespace {

using Form = ReadMemory::Form;

TEST(ParseRegister, ReadsNumbersAndValues) {
  EXPECT_TRUE(parses_as<ReadRegisters>("g"));
  EXPECT_EQ(parsed<WriteRegisters>("G00xx").hex, "00xx");
  EXPECT_EQ(parsed<ReadRegister>("p43").number, 0x43u);
  EXPECT_EQ(parsed<WriteRegister>("P10=0011").number, 0x10u);
  EXPECT_EQ(parsed<WriteRegister>("P10=0011").value, (Bytes{0x00, 0x11}));
}

TEST(ParseRegister, RefusesHalfPackets) {
  for (const char* body : {"p", "pzz", "p10=", "P", "P10", "P10=", "P10=1", "P10=zz", "P=00", "P1;00"}) {
    EXPECT_TRUE(fails(body)) << body;
  }
}

TEST(ParseMemory, ReadsInBothForms) {
  const auto hex = parsed<ReadMemory>("mffffffff81000000,40");
  const auto binary = parsed<ReadMemory>("x1000,20");

  EXPECT_EQ(hex.at, Gva{0xffffffff81000000});
  EXPECT_EQ(hex.length, 0x40u);
  EXPECT_EQ(hex.form, Form::kHex);
  EXPECT_EQ(binary.at, Gva{0x1000});
  EXPECT_EQ(binary.form, Form::kBinary);
}

TEST(ParseMemory, LongReadIsClampedAndNotRefused) {
  EXPECT_EQ(parsed<ReadMemory>("m0,ffffffffffffffff").length, kMaxRead);
  EXPECT_EQ(parsed<ReadMemory>("x0,0").length, 0u);
}

TEST(ParseMemory, WritesHexAndEscapedData) {
  EXPECT_EQ(parsed<WriteMemory>("M10,3:0aff00").data, (Bytes{0x0a, 0xff, 0x00}));
  EXPECT_EQ(parsed<WriteMemory>("X10,4:a}]}\x03:").data, (Bytes{'a', '}', '#', ':'}));
  EXPECT_EQ(parsed<WriteMemory>("X10,1:\x03").data, (Bytes{3}));
}

TEST(ParseMemory, EmptyWriteIsTheProbe) {
  EXPECT_TRUE(parsed<WriteMemory>("Xffffffff81000000,0:").data.empty());
  EXPECT_TRUE(parsed<WriteMemory>("M0,0:").data.empty());
}

TEST(ParseMemory, RefusesHalfPacketsAndWrongLengths) {
  for (const char* body : {"m",
                           "m0",
                           "m0,",
                           "m,1",
                           "m0,1,2",
                           "m0,1:",
                           "m10000000000000000,1",
                           "mzz,1",
                           "m 0,1",
                           "x0",
                           "M0,1",
                           "M0,1:",
                           "M0,1:0",
                           "M0,1:0000",
                           "M0,1:zz",
                           "M0,ffffffffffffffff:00",
                           "X0,1:",
                           "X0,1:ab",
                           "X0,1:}",
                           "X0,2:a}",
                           "X0:a"}) {
    EXPECT_TRUE(fails(body)) << body;
  }
}

TEST(ParseMemory, SearchHasAnEscapedPattern) {
  const auto search = parsed<SearchMemory>("qSearch:memory:1000;20;a};b");

  EXPECT_EQ(search.at, Gva{0x1000});
  EXPECT_EQ(search.length, 0x20u);
  EXPECT_EQ(search.pattern, (Bytes{'a', ';' ^ 0x20, 'b'}));
  EXPECT_TRUE(fails("qSearch:memory:1000;20;"));
  EXPECT_TRUE(fails("qSearch:memory:1000;20"));
  EXPECT_TRUE(fails("qSearch:memory:1000,20;a"));
}

TEST(ParseMemory, CrcHasARange) {
  EXPECT_EQ(parsed<QueryCrc>("qCRC:1000000,e01ef2").length, 0xe01ef2u);
  EXPECT_TRUE(fails("qCRC:1000000"));
  EXPECT_TRUE(fails("qCRC:0,1;"));
}

TEST(ParsePoint, PlainPointHasNoCode) {
  const auto point = parsed<InsertPoint>("Z0,ffffffff8134a350,1");

  EXPECT_EQ(point.type, PointType::kSoftware);
  EXPECT_EQ(point.at, Gva{0xffffffff8134a350});
  EXPECT_EQ(point.kind, 1u);
  EXPECT_TRUE(point.conditions.empty());
  EXPECT_TRUE(point.commands.empty());
}

TEST(ParsePoint, AllFiveTypesAreKnownAndNoOther) {
  EXPECT_EQ(parsed<InsertPoint>("Z1,10,1").type, PointType::kHardware);
  EXPECT_EQ(parsed<InsertPoint>("Z2,10,8").type, PointType::kWriteWatch);
  EXPECT_EQ(parsed<InsertPoint>("Z3,10,4").type, PointType::kReadWatch);
  EXPECT_EQ(parsed<RemovePoint>("z4,10,2").type, PointType::kAccessWatch);
  EXPECT_EQ(parsed<RemovePoint>("z4,10,2").kind, 2u);
  EXPECT_TRUE(parses_as<Unknown>("Z5,10,1"));
  EXPECT_TRUE(parses_as<Unknown>("zff,10,1"));
}

TEST(ParsePoint, ConditionsFollowEachOtherWithoutSeparator) {
  const auto point = parsed<InsertPoint>("Z0,10,1;Xb,2600051620229c16081327X9,260005162022031327");

  ASSERT_EQ(point.conditions.size(), 2u);
  EXPECT_EQ(point.conditions[0].size(), 11u);
  EXPECT_EQ(point.conditions[1], (Bytes{0x26, 0x00, 0x05, 0x16, 0x20, 0x22, 0x03, 0x13, 0x27}));
}

TEST(ParsePoint, SeparatorBetweenConditionsIsLegal) {
  EXPECT_EQ(parsed<InsertPoint>("Z0,10,1;X1,27;X1,27;").conditions.size(), 2u);
}

TEST(ParsePoint, CommandsComeAfterTheirPersistFlag) {
  const auto both = parsed<InsertPoint>("Z0,10,1;X2,2201;cmds:1,X1,27X1,28");
  const auto commands_only = parsed<InsertPoint>("Z0,10,1;cmds:0,X1,27");

  EXPECT_EQ(both.conditions, (std::vector<Bytes>{{0x22, 0x01}}));
  EXPECT_EQ(both.commands, (std::vector<Bytes>{{0x27}, {0x28}}));
  EXPECT_TRUE(both.persist);
  EXPECT_EQ(commands_only.commands.size(), 1u);
  EXPECT_FALSE(commands_only.persist);
}

TEST(ParsePoint, RefusesHalfPackets) {
  for (const char* body :
       {"Z0", "Z0,", "Z0,10", "Z0,10,", "Z,10,1", "Z0,10,1x", "Z0,10,1X1,27", "Z0,10,1;Y", "Z0,10,1;X",
        "Z0,10,1;X1", "Z0,10,1;X1,", "Z0,10,1;X1,2", "Z0,10,1;X2,27", "Z0,10,1;X1,zz",
        "Z0,10,1;cmds:", "Z0,10,1;cmds:1", "Z0,10,1;cmds:1,cmds:1,", "z0,10,1;X1,27", "z0,10"}) {
    EXPECT_TRUE(fails(body)) << body;
  }
}

TEST(ParsePoint, CodeAboveTheLimitsIsExhaustionBeforeItIsRead) {
  std::string many = "Z0,10,1;";
  for (std::size_t i = 0; i <= kMaxPointItems; ++i) many += "X1,27";

  EXPECT_TRUE(fails("Z0,10,1;Xffffffffffffffff,27", Errc::kExhausted));
  EXPECT_TRUE(fails("Z0,10,1;X10001,27", Errc::kExhausted));
  EXPECT_TRUE(fails("Z0,10,1;X10000,27"));
  EXPECT_TRUE(fails(many, Errc::kExhausted));
}

}  // namespace
}  // namespace ringside::rsp
