// Framing and acknowledgements through a real socket; connections that end in every way.
#include <gmock/gmock.h>

#include "stub/rsp/hex.hpp"
#include "tests/unit/session/session_testing.hpp"

namespace ringside::session {
namespace {

using testing::HasSubstr;
using testing::StartsWith;
using SessionFraming = SessionTest;
using SessionEnd = SessionTest;

// 0x03 as data and as an interrupt, `#` and `$` as data, with and without acknowledgements; leaves the guest
// as it was.
std::string whole_dialogue() {
  return "+" + framed("qSupported:multiprocess+") + "+" + framed("?") + "+" + "noise" +
         framed(std::string_view("Xa000,5:\x03}\x03}\x04}]\x00", 16)) + "+" + framed("ma000,5") + "+" +
         framed("vCont;c") + "\x03+" + framed("nonsense") + "+" + framed("QStartNoAckMode") + "+" +
         framed("qC") + framed("Ma000,5:0000000000") + framed("D;1");
}

// In their order; acknowledgements go out as the pieces come.
std::vector<std::string> packets_in(std::string_view heard) {
  rsp::Framer framer(SIZE_MAX);
  framer.push(rsp::as_bytes(heard));
  std::vector<std::string> packets;
  while (auto frame = framer.next()) {
    if (const auto* packet = std::get_if<rsp::Packet>(&*frame)) packets.push_back(packet->body);
  }
  return packets;
}

TEST_F(SessionFraming, TornAtAnyByteADialogueHasTheSameAnswers) {
  const std::string dialogue = whole_dialogue();
  Remote at_once = connect();
  const auto wanted = packets_in(say(at_once, dialogue));
  EXPECT_THAT(wanted, testing::ElementsAre(StartsWith("PacketSize"), StartsWith("T05"), "OK", "0323247d00",
                                           StartsWith("T02"), "", "OK", "QCp1.1", "OK", "OK"));

  for (std::size_t cut = 1; cut < dialogue.size(); ++cut) {
    Remote remote = connect();
    const std::string first = say(remote, dialogue.substr(0, cut));
    ASSERT_EQ(packets_in(first + say(remote, dialogue.substr(cut))), wanted) << "cut before byte " << cut;
    ASSERT_TRUE(remote.ended());
  }
}

TEST_F(SessionFraming, ByteByByteADialogueHasTheSameAnswers) {
  const std::string dialogue = whole_dialogue();
  Remote at_once = connect();
  const auto wanted = packets_in(say(at_once, dialogue));
  Remote remote = connect();

  std::string heard;
  for (const char byte : dialogue) heard += say(remote, std::string_view(&byte, 1));

  EXPECT_EQ(packets_in(heard), wanted);
}

TEST_F(SessionFraming, BadChecksumIsAnsweredWithAMinusAndTheRetransmissionTaken) {
  Remote remote = connect();

  EXPECT_EQ(say(remote, "$qC#00"), "-");
  EXPECT_EQ(say(remote, "$qC#zz"), "-");
  EXPECT_EQ(say(remote, "$qC#b4"), "+" + framed("QC1"));
}

TEST_F(SessionFraming, BadChecksumWithoutAcknowledgementsIsDroppedAndTheNextPacketTaken) {
  Remote remote = connect();
  ask(remote, "QStartNoAckMode");

  EXPECT_EQ(say(remote, "$qC#00"), "");
  EXPECT_EQ(say(remote, "$qC#b4"), framed("QC1"));
}

TEST_F(SessionFraming, NakRepeatsTheLastReply) {
  Remote remote = connect();

  EXPECT_EQ(say(remote, "-"), "") << "there is none yet";
  EXPECT_EQ(ask(remote, "qC"), "+" + framed("QC1"));
  EXPECT_EQ(say(remote, "-"), framed("QC1"));
  EXPECT_EQ(say(remote, "--"), framed("QC1") + framed("QC1"));
  EXPECT_EQ(say(remote, "+"), "");
  EXPECT_EQ(ask(remote, "vMustReplyEmpty"), "+$#00");
  EXPECT_EQ(say(remote, "-"), "$#00");
}

TEST_F(SessionFraming, NakWithoutAcknowledgementsIsIgnored) {
  Remote remote = connect();
  ask(remote, "QStartNoAckMode");

  EXPECT_EQ(say(remote, "-+-"), "");
}

TEST_F(SessionFraming, AcknowledgementsAreBackOnTheNextConnection) {
  Remote first = connect();
  EXPECT_EQ(ask(first, "QStartNoAckMode"), "+" + framed("OK"));
  EXPECT_EQ(ask(first, "qC"), framed("QC1"));
  first.close();
  settle();

  Remote second = connect();

  EXPECT_EQ(ask(second, "qC"), "+" + framed("QC1"));
}

TEST_F(SessionFraming, PacketThatIsTooLongIsAnErrorAndTheConnectionLives) {
  Remote remote = connect();
  const std::string fits = "m" + std::string(2 * rsp::kPacketSize - 1, '0');

  EXPECT_EQ(ask(remote, fits), "+" + framed("E22"));
  EXPECT_EQ(ask(remote, fits + "00"), "+" + framed("E22"));
  EXPECT_EQ(ask(remote, fits + fits + fits), "+" + framed("E22"));
  EXPECT_EQ(ask(remote, "qC"), "+" + framed("QC1"));
}

TEST_F(SessionFraming, PacketThatIsTooLongWaitsForItsTurnWhileTheGuestRuns) {
  Remote remote = connect_and_stop();

  EXPECT_EQ(ask(remote, "vCont;c"), "");
  EXPECT_EQ(ask(remote, std::string(3 * rsp::kPacketSize, 'm')), "");
  EXPECT_TRUE(all_running());
  const std::string heard = say(remote, "\x03");

  EXPECT_THAT(heard, StartsWith("$T02"));
  EXPECT_TRUE(heard.ends_with(framed("E22"))) << heard;
}

TEST_F(SessionFraming, GarbageBetweenPacketsIsDropped) {
  Remote remote = connect();
  std::string garbage;
  for (int byte = 0; byte < 256; ++byte) {
    if (byte != '$' && byte != '-') garbage += static_cast<char>(byte);
  }

  EXPECT_EQ(say(remote, garbage), "");
  EXPECT_EQ(say(remote, garbage + framed("qC") + garbage), "+" + framed("QC1"));
  EXPECT_EQ(say(remote, "$qC" + framed("qC")), "+" + framed("QC1")) << "an unfinished packet begins anew";
}

TEST_F(SessionFraming, UnknownIsEmptyAndMalformedAnError) {
  Remote remote = connect();

  EXPECT_EQ(ask(remote, "qUnheardOf"), "+$#00");
  EXPECT_EQ(ask(remote, ""), "+$#00");
  EXPECT_EQ(ask(remote, "mzz,1"), "+" + framed("E22"));
}

TEST_F(SessionEnd, EndOfFileInTheMiddleOfAPacketDetaches) {
  for (const char* half : {"$", "$vCont;c", "$vCont;c#", "$vCont;c#a", "$X8000,4:}", ""}) {
    Remote remote = connect_and_stop();
    ASSERT_TRUE(none_running());
    say(remote, framed("Z0,8010,1") + half);
    remote.close();
    settle();

    EXPECT_TRUE(all_running()) << half;
    EXPECT_TRUE(last_.expired()) << half;
  }
  Remote other = connect_and_stop();
  EXPECT_THAT(ask(other, "qRcmd,70726f626573"), HasSubstr("6e6f20706f696e7473")) << "no points";
}

TEST_F(SessionEnd, DetachedItIsOverAfterTheReply) {
  Remote remote = connect_and_stop();

  EXPECT_EQ(say(remote, framed("D;1") + framed("qC") + framed("?")), framed("OK"));
  EXPECT_TRUE(remote.ended());
  EXPECT_TRUE(all_running());
  EXPECT_TRUE(last_.expired());
}

TEST_F(SessionEnd, ClientThatNeverReadsIsDroppedAndItsHoldsAreGoneWhileAnotherGoesOn) {
  Remote other = connect_and_stop();
  EXPECT_EQ(ask(other, "vCont;c"), "");
  Remote deaf = connect_and_stop();
  const auto session = last_;
  ASSERT_TRUE(none_running());

  const std::string question = framed("m8000,8000");
  for (int i = 0; i < 2000 && !session.expired(); ++i) {
    deaf.write(question);
    settle();
  }

  EXPECT_TRUE(session.expired());
  EXPECT_TRUE(all_running());
  EXPECT_THAT(say(other, "\x03"), StartsWith("$T02"));
  EXPECT_EQ(ask(other, "m8000,2"), framed("9090"));
}

// `%Stop` is out, and vStopped never comes.
TEST_F(SessionEnd, ClientThatLeavesOrHangsInTheMiddleOfANoticeHoldsNobodyElse) {
  Remote other = connect_and_stop();
  EXPECT_EQ(ask(other, "vCont;c"), "");
  Remote hangs = connect();
  ask(hangs, "QStartNoAckMode");
  EXPECT_EQ(ask(hangs, "QNonStop:1"), framed("OK"));
  EXPECT_THAT(ask(hangs, "vCont;t:1"), StartsWith(framed("OK") + "%Stop:T00thread:1;"));
  EXPECT_FALSE(running(0));
  EXPECT_TRUE(running(1));

  EXPECT_THAT(say(other, "\x03"), StartsWith("$T02"));
  EXPECT_EQ(ask(other, "m8000,1"), framed("90"));
  ask(other, "vCont;c");
  EXPECT_TRUE(running(1));
  hangs.close();
  settle();

  EXPECT_TRUE(all_running());
}

TEST_F(SessionEnd, ClientThatLeavesWithoutReadingIsWaitedForASecond) {
  Remote deaf = connect_and_stop();
  const auto session = last_;
  for (int i = 0; i < 20; ++i) deaf.write(framed("m8000,8000"));
  deaf.write(framed("D"));
  settle();
  EXPECT_TRUE(all_running());
  EXPECT_FALSE(session.expired()) << "there is something left to be read";
  // More comes in: it is read, not kept, and not answered.
  deaf.write(framed("?") + "$" + std::string(100'000, 'x'));
  settle();
  EXPECT_TRUE(all_running());

  io_.restart();
  while (!session.expired() && io_.run_one_for(std::chrono::seconds(10)) > 0) {
  }

  EXPECT_TRUE(session.expired());
}

TEST_F(SessionEnd, SixtyFiveAreOneTooMany) {
  std::vector<Remote> remotes;
  for (int i = 0; i < 64; ++i) remotes.push_back(connect());
  Remote one_more = connect();
  settle();

  EXPECT_TRUE(one_more.ended());
  EXPECT_FALSE(remotes.back().ended());
  remotes.pop_back();
  settle();
  Remote now = connect();
  EXPECT_EQ(ask(now, "qC"), "+" + framed("QC1"));
}

TEST_F(SessionEnd, GuestsEndIsToldAndTheConnectionStays) {
  Remote remote = connect_and_stop();
  EXPECT_EQ(ask(remote, "vCont;c"), "");
  machine_.end(api::GuestEnd::kPowerOff);
  settle();

  EXPECT_EQ(remote.read(), framed("W00"));
  EXPECT_EQ(ask(remote, "?"), framed("W00"));
  EXPECT_EQ(ask(remote, "D"), framed("OK"));
  EXPECT_TRUE(remote.ended());
}

}  // namespace
}  // namespace ringside::session
