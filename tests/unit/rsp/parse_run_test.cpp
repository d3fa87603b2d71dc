#include <string>

#include "tests/unit/rsp/parse_testing.hpp"

namespace ringside::rsp {
namespace {

using Kind = ResumeAction::Kind;

TEST(ParseVCont, OneActionWithoutThreadIsForAll) {
  const auto request = parsed<ResumeMany>("vCont;c");

  ASSERT_EQ(request.actions.size(), 1u);
  EXPECT_EQ(request.actions[0].kind, Kind::kContinue);
  EXPECT_EQ(request.actions[0].who, kAllThreads);
}

TEST(ParseVCont, KeepsTheOrderOfItsActions) {
  const auto request = parsed<ResumeMany>("vCont;s:p1.1;C02:p1.2;t:p1.3;S5:4;c:p1.-1");

  ASSERT_EQ(request.actions.size(), 5u);
  EXPECT_EQ(request.actions[0].kind, Kind::kStep);
  EXPECT_EQ(request.actions[0].who, vcpu(0));
  EXPECT_EQ(request.actions[1].kind, Kind::kContinue);
  EXPECT_EQ(request.actions[1].signal, 2u);
  EXPECT_EQ(request.actions[2].kind, Kind::kStop);
  EXPECT_EQ(request.actions[3].kind, Kind::kStep);
  EXPECT_EQ(request.actions[3].signal, 5u);
  EXPECT_EQ(request.actions[3].who, vcpu(3));
  EXPECT_EQ(request.actions[4].who, kAllThreads);
}

TEST(ParseVCont, RangeStepHasItsRange) {
  const auto request = parsed<ResumeMany>("vCont;rffffffff81000000,ffffffff81000010:p1.1;c:p1.-1");

  EXPECT_EQ(request.actions[0].kind, Kind::kRangeStep);
  EXPECT_EQ(request.actions[0].range, (GvaRange{Gva{0xffffffff81000000}, Gva{0xffffffff81000010}}));
  EXPECT_EQ(request.actions[0].who, vcpu(0));
}

TEST(ParseVCont, LldbsThreadNumbersAreAccepted) {
  const auto request = parsed<ResumeMany>("vCont;c:0002;s:0001");

  EXPECT_EQ(request.actions[0].who, vcpu(1));
  EXPECT_EQ(request.actions[1].who, vcpu(0));
}

TEST(ParseVCont, RefusesWhatIsNoAction) {
  for (const char* body :
       {"vCont;", "vCont;;c", "vCont;x", "vCont;c:", "vCont;cc", "vCont;C", "vCont;C100", "vCont;S:1",
        "vCont;r", "vCont;r1", "vCont;r1,", "vCont;r1,2,3", "vCont;c:p1.1:2", "vCont;c-1"}) {
    EXPECT_TRUE(fails(body)) << body;
  }
  EXPECT_TRUE(fails("vCont;c:p2.1", Errc::kNotFound));
}

TEST(ParseVCont, EndlessListIsExhaustion) {
  std::string body = "vCont";
  for (std::size_t i = 0; i <= kMaxResumeActions; ++i) body += ";c";

  EXPECT_TRUE(fails(body, Errc::kExhausted));
}

TEST(ParseLegacyResume, TakesAnOptionalAddressAndSignal) {
  EXPECT_EQ(parsed<ResumeLegacy>("c").kind, Kind::kContinue);
  EXPECT_EQ(parsed<ResumeLegacy>("c").at, std::nullopt);
  EXPECT_EQ(parsed<ResumeLegacy>("s1000").kind, Kind::kStep);
  EXPECT_EQ(parsed<ResumeLegacy>("s1000").at, Gva{0x1000});
  EXPECT_EQ(parsed<ResumeLegacy>("C05").signal, 5u);
  EXPECT_EQ(parsed<ResumeLegacy>("S05;1000").at, Gva{0x1000});
}

TEST(ParseLegacyResume, RefusesTheRest) {
  for (const char* body : {"cx", "c1;", "s;1", "C", "C;", "C05;", "C05:1", "C05;zz", "Sff1", "S"}) {
    EXPECT_TRUE(fails(body)) << body;
  }
}

TEST(ParseReverse, HasAStepAndAContinue) {
  EXPECT_EQ(parsed<ResumeReverse>("bc").kind, Kind::kContinue);
  EXPECT_EQ(parsed<ResumeReverse>("bs").kind, Kind::kStep);
}

TEST(ParseEnd, DetachAndKillMayNameAProcess) {
  EXPECT_EQ(parsed<Detach>("D").pid, std::nullopt);
  EXPECT_EQ(parsed<Detach>("D;1").pid, 1u);
  EXPECT_EQ(parsed<Kill>("k").pid, std::nullopt);
  EXPECT_EQ(parsed<Kill>("vKill;a410").pid, 0xa410u);
  EXPECT_EQ(parsed<Detach>("D;").pid, std::nullopt);
  EXPECT_TRUE(fails("D;x"));
  EXPECT_TRUE(fails("vKill;"));
}

TEST(ParseEnd, ExtendedPacketsAreRead) {
  EXPECT_TRUE(parses_as<Restart>("R00"));
  EXPECT_TRUE(parses_as<InterruptAll>("vCtrlC"));
  EXPECT_TRUE(parses_as<NextStop>("vStopped"));
  EXPECT_TRUE(parses_as<QueryStopReason>("?"));
  EXPECT_EQ(parsed<AttachTo>("vAttach;1").pid, 1u);
  EXPECT_EQ(parsed<rsp::Run>("vRun;61;6263").arguments, (std::vector<std::string>{"a", "bc"}));
  EXPECT_EQ(parsed<rsp::Run>("vRun;;61").arguments, (std::vector<std::string>{"", "a"}));
  EXPECT_TRUE(parsed<rsp::Run>("vRun;").arguments.empty());
  EXPECT_TRUE(fails("vAttach;"));
  EXPECT_TRUE(fails("vRun;6"));
}

TEST(ParseCatch, SyscallsAreNoneSomeOrAll) {
  const auto none = parsed<CatchSyscalls>("QCatchSyscalls:0");
  const auto all = parsed<CatchSyscalls>("QCatchSyscalls:1");
  const auto some = parsed<CatchSyscalls>("QCatchSyscalls:1;1;101");

  EXPECT_FALSE(none.on);
  EXPECT_TRUE(all.on);
  EXPECT_TRUE(all.numbers.empty());
  EXPECT_EQ(some.numbers, (std::vector<std::uint32_t>{1, 0x101}));
}

TEST(ParseCatch, RefusesWrongLists) {
  for (const char* body : {"QCatchSyscalls:", "QCatchSyscalls:2", "QCatchSyscalls:0;1", "QCatchSyscalls:1;x",
                           "QCatchSyscalls:1;;1", "QCatchSyscalls:1;100000000"}) {
    EXPECT_TRUE(fails(body)) << body;
  }
}

TEST(ParseSignals, ListsAreNumbersOfOneByte) {
  EXPECT_EQ(parsed<SetPassSignals>("QPassSignals:e;10;14").signals,
            (std::vector<std::uint8_t>{0xe, 0x10, 0x14}));
  EXPECT_TRUE(parsed<SetPassSignals>("QPassSignals:").signals.empty());
  EXPECT_EQ(parsed<SetProgramSignals>("QProgramSignals:0").signals.size(), 1u);
  EXPECT_TRUE(fails("QPassSignals:100"));
}

}  // namespace
}  // namespace ringside::rsp
