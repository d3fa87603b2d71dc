#include "stub/strace/lines.hpp"

#include <gmock/gmock.h>

#include "stub/strace/json.hpp"
#include "stub/strace/summary.hpp"

namespace ringside::strace {
namespace {

using testing::HasSubstr;

class LinesTest : public testing::Test {
 protected:
  void use(LineStyle style) { lines_ = Lines(style, sink()); }
  static Record entry(std::int32_t pid, std::string_view name, std::string_view text, bool more = false) {
    Record r{.kind = Record::Kind::kEntry, .time_ns = 1'000'000'000, .pid = pid};
    r.name = name;
    r.text = text;
    r.more = more;
    return r;
  }
  static Record result(std::int32_t pid, std::string_view name, std::string_view text,
                       std::string_view outcome) {
    Record r{.kind = Record::Kind::kReturn, .time_ns = 1'000'500'000, .pid = pid};
    r.name = name;
    r.text = text;
    r.result_text = outcome;
    r.took_ns = 500'000;
    return r;
  }
  Lines::Sink sink() {
    return [this](std::string_view text) { shown_ += text; };
  }
  std::string shown_;
  Lines lines_{LineStyle{}, sink()};
};

TEST_F(LinesTest, ACallIsOneLineWithItsResultInAColumn) {
  use({.pid = LineStyle::Pid::kPlain});
  lines_.add(entry(7, "close", "3"));
  lines_.add(result(7, "close", "", "0"));
  EXPECT_EQ(shown_, "7     close(3)                          = 0\n");
}

TEST_F(LinesTest, AChangeOfModeIsToldOnce) {
  Record r = entry(7, "getpid", "");
  r.abi = Abi::kI386;
  lines_.add(r);
  lines_.add(result(7, "getpid", "", "7"));
  Record child{.kind = Record::Kind::kNewTask, .pid = 8};
  child.parent = 7;
  lines_.add(child);
  r.pid = 8;
  lines_.add(r);
  EXPECT_EQ(shown_,
            "[pid     7] [ Process PID=7 runs in 32 bit mode. ]\n"
            "[pid     7] getpid()                    = 7\n"
            "ringside: Process 8 attached\n"
            "[pid     8] getpid(");
  lines_.add(result(8, "getpid", "", "8"));
  shown_.clear();
  lines_.add(entry(7, "close", "3"));
  EXPECT_EQ(shown_, "[pid     7] [ Process PID=7 runs in 64 bit mode. ]\n[pid     7] close(3");
}

TEST_F(LinesTest, QuietlyModesAreNotTold) {
  use({.attached = false});
  Record r = entry(7, "getpid", "");
  r.abi = Abi::kI386;
  lines_.add(r);
  EXPECT_EQ(shown_, "[pid     7] getpid(");
}

TEST_F(LinesTest, WhatIsLongerThanTheColumnIsNotPadded) {
  lines_.add(entry(7, "openat", "AT_FDCWD\x1f\"/etc/ld.so.cache\"\x1fO_RDONLY"));
  lines_.add(result(7, "openat", "", "3"));
  EXPECT_EQ(shown_, "[pid     7] openat(AT_FDCWD, \"/etc/ld.so.cache\", O_RDONLY) = 3\n");
}

TEST_F(LinesTest, WhatTheKernelFillsInComesAtTheReturn) {
  lines_.add(entry(7, "read", "0", true));
  EXPECT_EQ(shown_, "[pid     7] read(0, ");
  lines_.add(result(7, "read",
                    "\x1f\"abc\"\x1f"
                    "64",
                    "3"));
  EXPECT_EQ(shown_, "[pid     7] read(0, \"abc\", 64)          = 3\n");
}

TEST_F(LinesTest, AStackStandsBelowItsCall) {
  lines_.add(entry(7, "close", "3"));
  Record end = result(7, "close", "", "0");
  end.stack = "do_syscall_64+0x5\n0x401000\n";
  lines_.add(end);
  EXPECT_EQ(shown_, "[pid     7] close(3)                    = 0\n > do_syscall_64+0x5\n > 0x401000\n");
}

TEST_F(LinesTest, AStackStandsBelowItsSignal) {
  Record signal{.kind = Record::Kind::kSignal};
  signal.pid = 7;
  signal.text = "SIGHUP {}";
  signal.stack = "arch_do_signal_or_restart+0x2d\n0x401000\n";
  lines_.add(signal);
  EXPECT_EQ(shown_, "[pid     7] --- SIGHUP {} ---\n > arch_do_signal_or_restart+0x2d\n > 0x401000\n");
}

TEST_F(LinesTest, ACallThatAnotherTaskInterruptsIsResumed) {
  lines_.add(entry(7, "wait4", "-1", true));
  lines_.add(entry(8, "close", "1"));
  lines_.add(result(8, "close", "", "0"));
  lines_.add(result(7, "wait4",
                    "\x1f[{WIFEXITED(s)}]\x1f"
                    "0\x1fNULL",
                    "8"));
  EXPECT_EQ(shown_,
            "[pid     7] wait4(-1,  <unfinished ...>\n"
            "[pid     8] close(1)                    = 0\n"
            "[pid     7] <... wait4 resumed>[{WIFEXITED(s)}], 0, NULL) = 8\n");
}

TEST_F(LinesTest, OneThatNeverReturnsHasNoResult) {
  lines_.add(entry(7, "exit_group", "0"));
  Record end{.kind = Record::Kind::kExit, .pid = 7};
  lines_.add(end);
  EXPECT_EQ(shown_, "[pid     7] exit_group(0)               = ?\n[pid     7] +++ exited with 0 +++\n");
}

TEST_F(LinesTest, OneThatIsKilledElsewhereIsResumedWithoutAResult) {
  lines_.add(entry(7, "pause", ""));
  lines_.add(entry(8, "exit_group", "1"));
  lines_.add({.kind = Record::Kind::kExit, .pid = 7, .code = 9});
  EXPECT_THAT(
      shown_,
      HasSubstr("[pid     7] <... pause resumed>)        = ?\n[pid     7] +++ killed by SIGKILL +++\n"));
}

TEST_F(LinesTest, TimesAreShownAsAskedFor) {
  use({.time = LineStyle::Time::kEpoch, .took = true});
  lines_.add(entry(7, "close", "3"));
  lines_.add(result(7, "close", "", "0"));
  EXPECT_EQ(shown_, "[pid     7] 1.000000 close(3)           = 0 <0.000500>\n");
}

TEST_F(LinesTest, RecordsThatAreLostAreSaidWhereTheyAreMissing) {
  lines_.add(entry(7, "read", "0", true));
  lines_.add({.kind = Record::Kind::kLost, .lost = 12});
  EXPECT_EQ(shown_, "[pid     7] read(0,  <unfinished ...>\nringside: 12 records lost here\n");
}

TEST_F(LinesTest, AResultWhoseEntryIsLostIsLeftOut) {
  lines_.add(result(7, "close", "", "0"));
  EXPECT_EQ(shown_, "");
}

TEST(Summary, AddsUpAndSorts) {
  Summary summary;
  Record read{.kind = Record::Kind::kReturn, .took_ns = 3'000'000};
  read.name = "read";
  Record open = read;
  open.name = "openat";
  open.result = -2;
  open.took_ns = 1'000'000;
  for (int i = 0; i < 3; ++i) summary.add(open);
  summary.add(read);
  EXPECT_EQ(summary.table(SortBy::kCalls),
            "% time     seconds  usecs/call     calls    errors syscall\n"
            "------ ----------- ----------- --------- --------- ----------------\n"
            " 50.00    0.003000        1000         3         3 openat\n"
            " 50.00    0.003000        3000         1           read\n"
            "------ ----------- ----------- --------- --------- ----------------\n"
            "100.00    0.006000        1500         4         3 total\n");
}

TEST(JsonLines, ACallIsOneObject) {
  JsonLines json;
  Record begin{.kind = Record::Kind::kEntry, .time_ns = 5'000'000'001, .cpu = 1, .pid = 7, .tgid = 6};
  begin.comm = "a\"b";
  begin.name = "read";
  begin.text = "0";
  Record end = begin;
  end.kind = Record::Kind::kReturn;
  end.text =
      "\x1f\"\\n\"\x1f"
      "1";
  end.result = 1;
  end.result_text = "1";
  end.took_ns = 1000;
  EXPECT_EQ(json.add(begin), "");
  EXPECT_EQ(json.add(end),
            "{\"event\":\"call\",\"time\":5.000000001,\"cpu\":1,\"pid\":7,\"tgid\":6,\"comm\":\"a\\\"b\","
            "\"call\":\"read\","
            "\"abi\":\"x86-64\",\"args\":[\"0\",\"\\\"\\\\n\\\"\",\"1\"],\"result\":1,\"text\":\"1\","
            "\"took\":0.000001000}\n");
}

}  // namespace
}  // namespace ringside::strace
