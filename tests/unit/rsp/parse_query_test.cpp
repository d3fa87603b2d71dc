#include "tests/unit/rsp/parse_testing.hpp"

namespace ringside::rsp {
namespace {

TEST(ParseThread, ReadsAllSpellings) {
  EXPECT_EQ(*parse_thread("1"), vcpu(0));
  EXPECT_EQ(*parse_thread("0002"), vcpu(1));
  EXPECT_EQ(*parse_thread("p1.2"), vcpu(1));
  EXPECT_EQ(*parse_thread("p01.01"), vcpu(0));
  EXPECT_EQ(*parse_thread("p0.3"), vcpu(2));
  EXPECT_EQ(*parse_thread("1f"), vcpu(30));
  EXPECT_EQ(*parse_thread("ffffffff"), vcpu(0xfffffffe));
}

TEST(ParseThread, ZeroIsAnyAndMinusOneIsAll) {
  EXPECT_EQ(*parse_thread("0"), kAnyThread);
  EXPECT_EQ(*parse_thread("p0.0"), kAnyThread);
  EXPECT_EQ(*parse_thread("p1.0"), kAnyThread);
  EXPECT_EQ(*parse_thread("p0"), kAnyThread);
  EXPECT_EQ(*parse_thread("-1"), kAllThreads);
  EXPECT_EQ(*parse_thread("p1.-1"), kAllThreads);
  EXPECT_EQ(*parse_thread("p-1.-1"), kAllThreads);
  EXPECT_EQ(*parse_thread("p-1"), kAllThreads);
  EXPECT_EQ(*parse_thread("p1"), kAllThreads);
}

TEST(ParseThread, AnotherProcessIsNotFound) {
  EXPECT_EQ(parse_thread("p2.1").error().code, Errc::kNotFound);
  EXPECT_EQ(parse_thread("p2").error().code, Errc::kNotFound);
  EXPECT_EQ(parse_thread("100000000").error().code, Errc::kNotFound);
}

TEST(ParseThread, RestIsMalformed) {
  for (const char* text : {"", "-", "-2", "p", "p.", "p.1", "p1.", "p1.x", "px.1", "p1.1.1", "p-1.5", "p-2.1",
                           "1 ", "+1", "0x1", "p1.10000000000000000"}) {
    EXPECT_EQ(parse_thread(text).error().code, Errc::kMalformed) << text;
  }
}

TEST(ParseQuery, HandshakePacketsAreWhole) {
  EXPECT_TRUE(parses_as<MustReplyEmpty>("vMustReplyEmpty"));
  EXPECT_TRUE(parses_as<StartNoAckMode>("QStartNoAckMode"));
  EXPECT_TRUE(parses_as<ExtendedMode>("!"));
  EXPECT_TRUE(parses_as<QueryOffsets>("qOffsets"));
  EXPECT_TRUE(parses_as<QueryTraceStatus>("qTStatus"));
}

TEST(ParseQuery, SupportedCarriesTheClientsFeatures) {
  EXPECT_TRUE(parsed<QuerySupported>("qSupported:swbreak+;hwbreak+").client.swbreak);
  EXPECT_EQ(parsed<QuerySupported>("qSupported").client, ClientFeatures{});
}

TEST(ParseQuery, SwitchesAreZeroOrOne) {
  EXPECT_TRUE(parsed<SetNonStop>("QNonStop:1").on);
  EXPECT_FALSE(parsed<SetNonStop>("QNonStop:0").on);
  EXPECT_TRUE(parsed<SetThreadEvents>("QThreadEvents:1").on);
  EXPECT_TRUE(fails("QNonStop:2"));
  EXPECT_TRUE(fails("QNonStop:"));
  EXPECT_TRUE(fails("QThreadEvents:01"));
}

TEST(ParseQuery, AttachedMayNameAProcess) {
  EXPECT_EQ(parsed<QueryAttached>("qAttached").pid, std::nullopt);
  EXPECT_EQ(parsed<QueryAttached>("qAttached:1").pid, 1u);
  EXPECT_TRUE(fails("qAttached:x"));
}

TEST(ParseQuery, ThreadIsSelectedForAccessOrForResuming) {
  const auto access = parsed<SelectThread>("Hgp1.2");
  const auto resume = parsed<SelectThread>("Hc-1");

  EXPECT_EQ(access.use, SelectThread::For::kAccess);
  EXPECT_EQ(access.who, vcpu(1));
  EXPECT_EQ(resume.use, SelectThread::For::kResume);
  EXPECT_EQ(resume.who, kAllThreads);
  EXPECT_TRUE(fails("Hg"));
  EXPECT_TRUE(fails("Hgp2.1", Errc::kNotFound));
  EXPECT_TRUE(parses_as<Unknown>("Hm0"));
}

TEST(ParseQuery, ThreadPacketsNameTheirThread) {
  EXPECT_EQ(parsed<ThreadAlive>("Tp1.3").who, vcpu(2));
  EXPECT_EQ(parsed<QueryThreadInfo>("qThreadExtraInfo,p1.1").who, vcpu(0));
  EXPECT_TRUE(parsed<ListThreads>("qfThreadInfo").first);
  EXPECT_FALSE(parsed<ListThreads>("qsThreadInfo").first);
  EXPECT_TRUE(fails("T"));
  EXPECT_TRUE(fails("qThreadExtraInfo,"));
}

TEST(ParseQuery, XferHasObjectAnnexAndWindow) {
  const auto read = parsed<ReadXfer>("qXfer:features:read:target.xml:fff,1000");

  EXPECT_EQ(read.object, XferObject::kFeatures);
  EXPECT_EQ(read.annex, "target.xml");
  EXPECT_EQ(read.offset, 0xfffu);
  EXPECT_EQ(read.length, 0x1000u);
  EXPECT_EQ(parsed<ReadXfer>("qXfer:threads:read::0,1000").annex, "");
  EXPECT_EQ(parsed<ReadXfer>("qXfer:exec-file:read:1:0,1000").object, XferObject::kExecFile);
  EXPECT_EQ(parsed<ReadXfer>("qXfer:libraries:read:a:b:0,1").annex, "a:b");
}

TEST(ParseQuery, XferOfOtherObjectsOrWritesIsUnknown) {
  EXPECT_TRUE(parses_as<Unknown>("qXfer:memory-map:read::0,1000"));
  EXPECT_TRUE(parses_as<Unknown>("qXfer:auxv:read::0,1000"));
  EXPECT_TRUE(parses_as<Unknown>("qXfer:features:write:target.xml:0:00"));
  EXPECT_TRUE(parses_as<Unknown>("qXfer:"));
}

TEST(ParseQuery, XferThatIsNotOfferedIsUnknown) {
  const auto request = parse("qXfer:libraries:read::0,1000", Features{});

  ASSERT_TRUE(request.has_value());
  EXPECT_TRUE(std::holds_alternative<Unknown>(*request));
}

TEST(ParseQuery, XferWithoutAWindowIsMalformed) {
  for (const char* body : {"qXfer:features:read", "qXfer:features:read:", "qXfer:features:read:target.xml",
                           "qXfer:features:read:target.xml:", "qXfer:features:read:target.xml:0",
                           "qXfer:features:read:target.xml:0,", "qXfer:features:read:target.xml:0,1,2",
                           "qXfer:features:read:target.xml:0,10000000000000000"}) {
    EXPECT_TRUE(fails(body)) << body;
  }
}

TEST(ParseQuery, SymbolIsAnOfferOrAnAnswer) {
  const auto offer = parsed<OfferSymbol>("qSymbol::");
  const auto found = parsed<OfferSymbol>("qSymbol:ffffffff81000000:5f74657874");
  const auto missing = parsed<OfferSymbol>("qSymbol::5f74657874");

  EXPECT_TRUE(offer.name.empty());
  EXPECT_EQ(found.value, Gva{0xffffffff81000000});
  EXPECT_EQ(found.name, "_text");
  EXPECT_EQ(missing.value, std::nullopt);
  EXPECT_EQ(missing.name, "_text");
  EXPECT_TRUE(fails("qSymbol:12"));
  EXPECT_TRUE(fails("qSymbol:zz:5f"));
  EXPECT_TRUE(fails("qSymbol::5"));
}

TEST(ParseQuery, MonitorCommandIsText) {
  EXPECT_EQ(parsed<Monitor>("qRcmd,68656c70").command, "help");
  EXPECT_EQ(parsed<Monitor>("qRcmd,").command, "");
  EXPECT_TRUE(fails("qRcmd,6"));
  EXPECT_TRUE(fails("qRcmd,help"));
}

TEST(ParseQuery, QemuExtensionsAskAndSet) {
  EXPECT_EQ(parsed<PhysicalMode>("qqemu.PhyMemMode").set, std::nullopt);
  EXPECT_EQ(parsed<PhysicalMode>("Qqemu.PhyMemMode:1").set, true);
  EXPECT_EQ(parsed<StepFlags>("qqemu.sstep").set, std::nullopt);
  EXPECT_EQ(parsed<StepFlags>("Qqemu.sstep=0x1").set, 1u);
  EXPECT_EQ(parsed<StepFlags>("Qqemu.sstep=7").set, 7u);
  EXPECT_TRUE(fails("Qqemu.PhyMemMode:2"));
  EXPECT_TRUE(fails("Qqemu.sstep=0x"));
}

TEST(ParseQuery, TraceListsHaveAFirstAndANext) {
  EXPECT_TRUE(parsed<ListTraceVariables>("qTfV").first);
  EXPECT_FALSE(parsed<ListTraceVariables>("qTsV").first);
  EXPECT_TRUE(parsed<ListTracepoints>("qTfP").first);
  EXPECT_FALSE(parsed<ListTracepoints>("qTsP").first);
  EXPECT_EQ(parsed<ReadTraceVariable>("qTV:7").number, 7u);
  EXPECT_TRUE(fails("qTV:"));
}

}  // namespace
}  // namespace ringside::rsp
