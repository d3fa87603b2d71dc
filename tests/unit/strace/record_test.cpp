#include "stub/strace/record.hpp"

#include <gmock/gmock.h>

namespace ringside::strace {
namespace {

Record full() {
  Record r{.kind = Record::Kind::kReturn, .time_ns = 1'700'000'000'123'456'789};
  r.cpu = 3;
  r.pid = 123;
  r.tgid = 120;
  r.comm = "bash";
  r.abi = Abi::kI386;
  r.number = 5;
  r.name = "open";
  r.text = "\"/etc\"";
  r.more = true;
  r.result = -2;
  r.result_text = "-1 ENOENT";
  r.took_ns = 99;
  r.lost = 7;
  r.code = -256;
  r.parent = 1;
  r.calls = 1ull << 63;
  r.errors = 4;
  r.stack = "do_syscall_64+0x5\n";
  return r;
}

Bytes encoded(const Record& record) {
  Bytes bytes(4096);
  bytes.resize(encode(record, bytes).value());
  return bytes;
}

TEST(Record, ComesBackAsItWas) {
  const Record r = full();
  const Bytes bytes = encoded(r);
  ByteView rest(bytes);
  const auto back = decode(rest);
  ASSERT_TRUE(back);
  EXPECT_TRUE(rest.empty());
  EXPECT_EQ(back->kind, r.kind);
  EXPECT_EQ(back->time_ns, r.time_ns);
  EXPECT_EQ(back->cpu, r.cpu);
  EXPECT_EQ(back->pid, r.pid);
  EXPECT_EQ(back->tgid, r.tgid);
  EXPECT_EQ(back->comm, r.comm);
  EXPECT_EQ(back->abi, r.abi);
  EXPECT_EQ(back->number, r.number);
  EXPECT_EQ(back->name, r.name);
  EXPECT_EQ(back->text, r.text);
  EXPECT_EQ(back->more, r.more);
  EXPECT_EQ(back->result, r.result);
  EXPECT_EQ(back->result_text, r.result_text);
  EXPECT_EQ(back->took_ns, r.took_ns);
  EXPECT_EQ(back->lost, r.lost);
  EXPECT_EQ(back->code, r.code);
  EXPECT_EQ(back->parent, r.parent);
  EXPECT_EQ(back->calls, r.calls);
  EXPECT_EQ(back->errors, r.errors);
  EXPECT_EQ(back->stack, r.stack);
}

TEST(Record, OneThatIsNotWholeIsNotTaken) {
  const Bytes bytes = encoded(full());
  for (std::size_t size = 0; size < bytes.size(); ++size) {
    ByteView part = ByteView(bytes).first(size);
    EXPECT_FALSE(decode(part)) << size;
    EXPECT_EQ(part.size(), size);
  }
}

TEST(Record, WhatDoesNotFitIsNotWritten) {
  const Bytes bytes = encoded(full());
  Bytes small(bytes.size() - 1);
  EXPECT_FALSE(encode(full(), small));
}

// Recorded from a monitor to come: a field 60 with a number, a field 61 with bytes, a kind 99.
TEST(Record, FieldsAndKindsOfANewerMonitorAreSkipped) {
  const Bytes bytes{15,   1 << 1, 1, 4 << 1, 10,  0xf8, 0x03 & 0x7f, 42,
                    0xfb, 0x03,   3, 'a',    'b', 'c',  5 << 1,      12};
  Bytes fixed = bytes;
  fixed[0] = static_cast<std::uint8_t>(bytes.size() - 1);
  ByteView rest(fixed);
  const auto record = decode(rest);
  ASSERT_TRUE(record);
  EXPECT_EQ(record->kind, Record::Kind::kEntry);
  EXPECT_EQ(record->pid, 5);
  EXPECT_EQ(record->tgid, 6);

  const Bytes later{2, 1 << 1, 99};
  ByteView view(later);
  EXPECT_EQ(decode(view)->kind, Record::Kind::kNone);
}

TEST(Record, HostileLengthsAreRefused) {
  const Bytes endless(20, 0xff);
  ByteView view(endless);
  EXPECT_FALSE(decode(view));
  const Bytes inner{3, 6 << 1 | 1, 0xff, 0x7f};  // bytes longer than the record
  view = inner;
  EXPECT_FALSE(decode(view));
}

}  // namespace
}  // namespace ringside::strace
