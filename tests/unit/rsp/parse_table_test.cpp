#include <set>
#include <string>

#include "tests/unit/rsp/parse_testing.hpp"

namespace ringside::rsp {
namespace {

TEST(PacketTable, NamesEachPrefixOnceAndEveryRowARequest) {
  std::set<std::string> prefixes;
  for (const PacketRow& row : packet_table()) {
    prefixes.emplace(row.prefix);
    EXPECT_FALSE(row.request.empty());
  }

  EXPECT_EQ(prefixes.size(), packet_table().size());
}

TEST(PacketTable, LongerPrefixIsNotTakenForTheShorter) {
  EXPECT_TRUE(parses_as<QueryCurrentThread>("qC"));
  EXPECT_TRUE(parses_as<QueryCrc>("qCRC:0,1"));
  EXPECT_TRUE(parses_as<QueryVCont>("vCont?"));
  EXPECT_TRUE(parses_as<ResumeMany>("vCont;c"));
  EXPECT_TRUE(parses_as<ThreadAlive>("T1"));
  EXPECT_TRUE(parses_as<QueryStepBits>("qqemu.sstepbits"));
  EXPECT_TRUE(parses_as<StepFlags>("qqemu.sstep"));
}

TEST(PacketTable, WhatOnlyBeginsLikeAPacketIsUnknown) {
  for (const char* body : {"qCX",
                           "qC:",
                           "qCRC",
                           "vCont",
                           "vContX",
                           "vCtrlCX",
                           "qAttachedX",
                           "qOffsets;",
                           "??",
                           "!!",
                           "gg",
                           "kk",
                           "qSupportedX",
                           "QStartNoAckModeX",
                           "vMustReplyEmptyX",
                           "qfThreadInfo2",
                           "qTStatusX",
                           "Hx0",
                           "H",
                           "vKill",
                           "vStopped:",
                           "QNonStop1",
                           "qRcmd:68",
                           "bcx"}) {
    EXPECT_TRUE(parses_as<Unknown>(body)) << body;
  }
}

TEST(PacketTable, PacketsOfOtherStubsAreUnknown) {
  for (const char* body : {"",
                           "qHostInfo",
                           "qProcessInfo",
                           "QThreadSuffixSupported",
                           "QListThreadsInStopReply",
                           "qVAttachOrWaitSupported",
                           "QEnableErrorStrings",
                           "qStructuredDataPlugins",
                           "qShlibInfoAddr",
                           "qMemoryRegionInfo:0",
                           "jThreadsInfo",
                           "jThreadExtendedInfo:",
                           "_M1,rw",
                           "qP0000001f0000000000000001",
                           "qL1160000000000000000",
                           "vFile:setfs:0",
                           "vFlashDone",
                           "MultiMemRead:ranges:0,1;",
                           "QTDP:1:0:E:0:0",
                           "QTinit",
                           "QTBuffer:circular:1",
                           "i",
                           "t",
                           "r",
                           "A6,0,61",
                           "b115200",
                           "d",
                           "qPassSignals",
                           "qwatch",
                           "QDisableRandomization:1",
                           "\xff\xfe",
                           "$",
                           "#"}) {
    EXPECT_TRUE(parses_as<Unknown>(body)) << body;
  }
}

TEST(PacketTable, PacketWhoseFeatureIsNotOfferedIsUnknown) {
  const Features nothing_offered{.client = {}, .server = ServerFeatures::none()};

  for (const char* body :
       {"QStartNoAckMode", "QNonStop:1", "QNonStop:x", "QCatchSyscalls:1", "QThreadEvents:1",
        "QPassSignals:1", "QProgramSignals:1", "bc", "bs", "qTStatus", "qTV:1", "qTfV", "qTsV", "qTfP",
        "qTsP", "qXfer:features:read:target.xml:0,1000", "qXfer:threads:read::0,1000"}) {
    const auto request = parse(body, nothing_offered);

    ASSERT_TRUE(request.has_value()) << body;
    EXPECT_TRUE(std::holds_alternative<Unknown>(*request)) << body;
  }
}

// Every row, given nonsense, answers with a value or an Error; the fuzzer goes further.
TEST(PacketTable, NoRowMindsNonsense) {
  const std::string nonsense[] = {
      "",   ":",   ";",    ",",    "=",     "x",    "-1", "p",        "p1.",  "ffffffffffffffffff",
      "0,", "0,0", "0,0:", "0,0;", "0,0;X", ":;,=", "}",  "0,0,0;Xf", "0;;;", std::string(3, '\0')};
  for (const PacketRow& row : packet_table()) {
    for (const std::string& rest : nonsense) {
      const auto request = parse(std::string(row.prefix) + rest, everything_offered());
      EXPECT_TRUE(request.has_value() || !request.error().text.empty());
    }
  }
}

}  // namespace
}  // namespace ringside::rsp
