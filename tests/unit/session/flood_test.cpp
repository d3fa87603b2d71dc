// Clients that send more than anybody would: what is kept for them is bounded, and only they are the worse
// for it.
#include <gmock/gmock.h>

#include "tests/unit/session/session_testing.hpp"

namespace ringside::session {
namespace {

using testing::StartsWith;

class SessionFlood : public SessionTest {
 protected:
  // Sends the same over and over until the connection ends; how often that was.
  int flood(Remote& remote, const std::string& bytes, int most) {
    const auto session = last_;
    int sent = 0;
    for (; sent < most && !session.expired(); ++sent) say(remote, bytes);
    return sent;
  }
};

TEST_F(SessionFlood, RequestsWhileTheGuestRunsAreQueuedUpToABoundThenTheClientIsDropped) {
  Remote other = connect_and_stop();
  EXPECT_EQ(ask(other, "vCont;c"), "");
  Remote remote = connect_and_stop();
  EXPECT_EQ(ask(remote, "vCont;c"), "");

  EXPECT_EQ(flood(remote, framed("qC"), 2000), 1001);

  EXPECT_TRUE(remote.ended());
  EXPECT_TRUE(all_running());
  EXPECT_THAT(say(other, "\x03"), StartsWith("$T02"));
}

TEST_F(SessionFlood, AsManyRequestsAsMayWaitAreAnsweredInOrder) {
  Remote remote = connect_and_stop();
  EXPECT_EQ(ask(remote, "vCont;c"), "");
  std::string questions, answers;
  for (int i = 0; i < 500; ++i) {
    questions += framed("m8000,1") + framed("qC");
    answers += framed("90") + framed("QC1");
  }
  EXPECT_EQ(say(remote, questions), "");

  const std::string heard = say(remote, "\x03");

  EXPECT_THAT(heard, StartsWith("$T02"));
  EXPECT_TRUE(heard.ends_with(answers));
}

TEST_F(SessionFlood, LargeRequestsAreBoundedByTheirSize) {
  Remote remote = connect_and_stop();
  EXPECT_EQ(ask(remote, "vCont;c"), "");
  const std::string large = framed("Ma000," + std::string(200'000, '0'));

  const int sent = flood(remote, large, 1000);

  EXPECT_EQ(sent, 1 + (8 << 20) / 200'006);
  EXPECT_TRUE(all_running());
}

TEST_F(SessionFlood, InterruptsStopOnceAndCostNothing) {
  Remote remote = connect_and_stop();
  const std::string interrupts(1'000'000, '\x03');
  EXPECT_EQ(say(remote, interrupts), "") << "stopped already";
  EXPECT_EQ(ask(remote, "vCont;c"), "");

  const std::string heard = say(remote, interrupts);

  EXPECT_THAT(heard, StartsWith("$T02"));
  EXPECT_EQ(std::ranges::count(heard, '$'), 1);
  EXPECT_EQ(ask(remote, "qC"), framed("QC1"));
}

TEST_F(SessionFlood, NaksAreAnsweredOnlyForAsLongAsTheAnswersAreRead) {
  Remote remote = connect();
  const auto session = last_;
  EXPECT_THAT(ask(remote, "m0,8000"), StartsWith("+$"));
  const std::string naks(4096, '-');

  for (int i = 0; i < 10 && !session.expired(); ++i) {
    remote.write(naks);
    settle();
  }

  EXPECT_TRUE(session.expired());
}

TEST_F(SessionFlood, PacketWithoutAnEndIsNotKept) {
  Remote remote = connect();
  say(remote, "$");
  const std::string junk(1 << 20, 'x');
  for (int i = 0; i < 64; ++i) EXPECT_EQ(say(remote, junk), "");

  EXPECT_EQ(say(remote, "#00"), "+" + framed("E22"));
  EXPECT_EQ(ask(remote, "qC"), "+" + framed("QC1"));
}

TEST_F(SessionFlood, TextForAPersonIsCut) {
  Remote remote = connect_and_stop();
  EXPECT_EQ(ask(remote, "vCont;c"), "");
  machine_.end(api::GuestEnd::kPowerOff, std::string(5u << 20, 'x'));
  settle();

  std::string heard = remote.read();
  while (!heard.ends_with(framed("W00")) && !remote.ended()) {
    settle();
    heard += remote.read();
  }

  EXPECT_LT(heard.size(), std::size_t{3} << 20);
  EXPECT_GT(heard.size(), std::size_t{2} << 20);
  EXPECT_TRUE(heard.ends_with(framed("W00")));
}

}  // namespace
}  // namespace ringside::session
