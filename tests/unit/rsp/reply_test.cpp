#include "stub/rsp/reply.hpp"

#include <algorithm>

#include <gtest/gtest.h>

#include "stub/rsp/hex.hpp"

namespace ringside::rsp {
namespace {

using x86::Reg;
using x86::RegGroup;
using x86::RegisterFile;

Features all_agreed() {
  Features agreed;
  agreed.client = {
      .multiprocess = true, .swbreak = true, .hwbreak = true, .no_resumed = true, .error_message = true};
  return agreed;
}

const Features kNothingAgreed{};

TEST(ErrorReply, IsANumberUnlessTextIsAgreed) {
  const Error error{Errc::kNotMapped, "no memory at 0x0"};

  EXPECT_EQ(error_reply(error, kNothingAgreed), "E14");
  EXPECT_EQ(error_reply(error, all_agreed()), "E.no memory at 0x0");
  EXPECT_EQ(error_reply(Error{Errc::kExhausted, ""}, all_agreed()), "E22");
}

TEST(ErrorReply, TextHoldsNothingThatFramingWouldTake) {
  EXPECT_EQ(error_reply(Error{Errc::kRefused, "a#b$c}d*e\nf\xff"}, all_agreed()), "E.a b c d e f ");
}

TEST(ErrorReply, NumberHasTwoDigits) {
  EXPECT_EQ(error_reply(1), "E01");
  EXPECT_EQ(error_reply(22), "E22");
  EXPECT_EQ(error_reply(1000), "E99");
}

TEST(ThreadReply, IdsFollowTheAgreement) {
  EXPECT_EQ(thread_id(VcpuId{0}, all_agreed()), "p1.1");
  EXPECT_EQ(thread_id(VcpuId{15}, all_agreed()), "p1.10");
  EXPECT_EQ(thread_id(VcpuId{0}, kNothingAgreed), "1");
  EXPECT_EQ(current_thread_reply(VcpuId{1}, all_agreed()), "QCp1.2");
}

TEST(ThreadReply, ListIsCommaSeparatedAndEndsWithL) {
  const VcpuId vcpus[] = {VcpuId{0}, VcpuId{1}};

  EXPECT_EQ(thread_list_reply(vcpus, all_agreed()), "mp1.1,p1.2");
  EXPECT_EQ(thread_list_reply({}, all_agreed()), "l");
}

TEST(ThreadReply, XmlEscapesWhatTheGuestNamed) {
  const ThreadRow rows[] = {{VcpuId{0}, "CPU#0", "halted"}, {VcpuId{1}, "a\"<&", "\x01>"}};

  EXPECT_EQ(threads_xml(rows, all_agreed()),
            "<?xml version=\"1.0\"?>\n<threads>\n"
            "<thread id=\"p1.1\" core=\"0\" name=\"CPU#0\">halted</thread>\n"
            "<thread id=\"p1.2\" core=\"1\" name=\"a&quot;&lt;&amp;\">?&gt;</thread>\n"
            "</threads>\n");
}

std::string stop_with(StopCause cause, const Features& agreed) {
  return stop_reply({.signal = kSignalTrap, .vcpu = VcpuId{0}, .with_core = true, .cause = cause}, agreed);
}

TEST(StopReply, NamesThreadAndCore) {
  EXPECT_EQ(stop_with({}, all_agreed()), "T05thread:p1.1;core:0;");
  EXPECT_EQ(
      stop_reply({.signal = kSignalNone, .vcpu = VcpuId{2}, .with_core = false, .cause = {}}, kNothingAgreed),
      "T00thread:3;");
}

TEST(StopReply, BreakpointKeysNeedTheAgreement) {
  EXPECT_EQ(stop_with(StoppedBySwBreak{}, all_agreed()), "T05thread:p1.1;core:0;swbreak:;");
  EXPECT_EQ(stop_with(StoppedByHwBreak{}, all_agreed()), "T05thread:p1.1;core:0;hwbreak:;");
  EXPECT_EQ(stop_with(StoppedBySwBreak{}, kNothingAgreed), "T05thread:1;core:0;");
}

TEST(StopReply, CauseCarriesItsAddressOrNumber) {
  EXPECT_EQ(stop_with(StoppedByWatch{StoppedByWatch::Kind::kWrite, Gva{0xffff888000001000}}, all_agreed()),
            "T05thread:p1.1;core:0;watch:ffff888000001000;");
  EXPECT_EQ(stop_with(StoppedByWatch{StoppedByWatch::Kind::kRead, Gva{1}}, kNothingAgreed),
            "T05thread:1;core:0;rwatch:1;");
  EXPECT_EQ(stop_with(StoppedByWatch{StoppedByWatch::Kind::kAccess, Gva{1}}, kNothingAgreed),
            "T05thread:1;core:0;awatch:1;");
  EXPECT_EQ(stop_with(StoppedBySyscall{StoppedBySyscall::Side::kEntry, 0x101}, kNothingAgreed),
            "T05thread:1;core:0;syscall_entry:101;");
  EXPECT_EQ(stop_with(StoppedBySyscall{StoppedBySyscall::Side::kReturn, 0x101}, kNothingAgreed),
            "T05thread:1;core:0;syscall_return:101;");
  EXPECT_EQ(stop_with(StoppedByLibrary{}, kNothingAgreed), "T05thread:1;core:0;library:;");
  EXPECT_EQ(stop_with(StoppedByHistoryEnd{StoppedByHistoryEnd::Edge::kBegin}, kNothingAgreed),
            "T05thread:1;core:0;replaylog:begin;");
}

TEST(StopReply, ExpeditesTheAvailableRegisters) {
  RegisterFile registers;
  registers.set_available(RegGroup::kCore, true);
  registers.set_u64(Reg::kRip, 0xffffffff81000000);
  registers.set_u64(Reg::kRsp, 0x11);
  const Reg expedite[] = {Reg::kRip, Reg::kRsp, Reg::kCr3};

  EXPECT_EQ(stop_reply({}, all_agreed(), &registers, expedite),
            "T05thread:p1.1;core:0;10:00000081ffffffff;07:1100000000000000;");
}

TEST(EndReply, NamesTheProcessWhenThereMayBeMany) {
  EXPECT_EQ(exited_reply(0, kNothingAgreed), "W00");
  EXPECT_EQ(exited_reply(1, all_agreed()), "W01;process:1");
  EXPECT_EQ(killed_reply(9, all_agreed()), "X09;process:1");
}

TEST(DataReply, MemoryIsHexOrEscaped) {
  EXPECT_EQ(hex_reply(Bytes{0x90, 0xcc}), "90cc");
  EXPECT_EQ(binary_reply(Bytes{0x90, '#', '}'}), "b\x90}\x03}]");
  EXPECT_EQ(binary_reply({}), "b");
}

TEST(DataReply, XferWindowsJoinToTheDocument) {
  const std::string document = "<target>#$*}</target>";

  EXPECT_EQ(xfer_reply(document, 0, 8), "m<target>");
  EXPECT_EQ(xfer_reply(document, 8, 4), "m}\x03}\x04}\x0a}]");
  EXPECT_EQ(xfer_reply(document, 12, 100), "l</target>");
  EXPECT_EQ(xfer_reply(document, 12, 9), "l</target>");
  EXPECT_EQ(xfer_reply(document, document.size(), 9), "l");
  EXPECT_EQ(xfer_reply(document, document.size() + 1, 9), "E22");
  EXPECT_EQ(xfer_reply(document, ~std::uint64_t{0}, ~std::uint64_t{0}), "E22");
  EXPECT_EQ(xfer_reply("", 0, ~std::uint64_t{0}), "l");
}

TEST(DataReply, ConsoleTextIsCutIntoPackets) {
  EXPECT_EQ(console_replies("hello\n"), (std::vector<std::string>{"O68656c6c6f0a"}));
  EXPECT_EQ(console_replies("abc", 5), (std::vector<std::string>{"O6162", "O63"}));
  EXPECT_EQ(console_replies("ab", 0), (std::vector<std::string>{"O61", "O62"}));
  EXPECT_TRUE(console_replies("").empty());
}

TEST(DataReply, OffsetsDependOnTheClient) {
  EXPECT_EQ(text_segment_reply(Gva{0xffffffff9d000000}), "TextSeg=ffffffff9d000000");
  EXPECT_EQ(section_offsets_reply(0x1c000000), "Text=1c000000;Data=1c000000;Bss=1c000000");
}

TEST(DataReply, SmallAnswersAreSpelledRight) {
  EXPECT_EQ(search_reply(std::nullopt), "0");
  EXPECT_EQ(search_reply(Gva{0x1234}), "1,1234");
  EXPECT_EQ(symbol_lookup("_text"), "qSymbol:5f74657874");
  EXPECT_EQ(hex_text_reply("ok"), "6f6b");
  EXPECT_EQ(vcont_reply(), "vCont;c;C;s;S;t;r");
}

TEST(RegisterReply, UnavailableRegistersAreXs) {
  RegisterFile registers;
  registers.set_available(RegGroup::kCore, true);

  const std::string packet = g_packet(registers);

  EXPECT_EQ(packet.substr(0, 16), std::string(16, '0'));
  EXPECT_EQ(packet.substr(2 * 140, 8), "xxxxxxxx");
  EXPECT_EQ(register_reply(registers, Reg::kPkru), "xxxxxxxx");
  EXPECT_EQ(register_reply(registers, Reg::kOrigRax), "ffffffffffffffff");
}

TEST(RegisterReply, GPacketSurvivesTheWayThereAndBack) {
  RegisterFile registers;
  for (const RegGroup group : x86::g_packet_groups()) registers.set_available(group, true);
  for (unsigned i = 0; i < x86::g_packet_end(); ++i)
    registers.set_u64(static_cast<Reg>(i), 0x0102030405060708 * i);
  RegisterFile read;

  const Result<x86::RegGroups> written = read_g_packet(g_packet(registers), read);

  ASSERT_TRUE(written.has_value());
  EXPECT_EQ(*written, x86::g_packet_groups());
  EXPECT_TRUE(std::ranges::equal(read.raw(Reg::kIdtrLimit), registers.raw(Reg::kIdtrLimit)));
  EXPECT_EQ(read.u64(Reg::kXmm15), registers.u64(Reg::kXmm15));
}

TEST(RegisterReply, WritingXsLeavesARegisterAlone) {
  RegisterFile registers;
  registers.set_u64(Reg::kRax, 7);

  const Result<x86::RegGroups> written = read_g_packet("xxxxxxxxxxxxxxxx0100000000000000", registers);

  ASSERT_TRUE(written.has_value());
  EXPECT_EQ(*written, x86::RegGroups(RegGroup::kCore));
  EXPECT_EQ(registers.u64(Reg::kRax), 7u);
  EXPECT_EQ(registers.u64(Reg::kRbx), 1u);
}

TEST(RegisterReply, WrongGPacketChangesNothing) {
  RegisterFile registers;
  const std::string whole = g_packet(registers);

  EXPECT_FALSE(read_g_packet("0100000000000000zz", registers).has_value());
  EXPECT_FALSE(read_g_packet("010000000000000001", registers).has_value());
  EXPECT_FALSE(read_g_packet(whole + "00", registers).has_value());
  EXPECT_FALSE(read_g_packet("xxxxxxxxxxxxxxx0", registers).has_value());
  EXPECT_EQ(registers, RegisterFile{});
}

}  // namespace
}  // namespace ringside::rsp
