#include "stub/session/address.hpp"

#include <gtest/gtest.h>

namespace ringside::session {
namespace {

// "tcp HOST PORT", "unix PATH", "fd N", or "no".
std::string read(std::string_view text) {
  const auto address = parse_address(text);
  if (!address) return "no";
  if (const auto* tcp = std::get_if<TcpAddress>(&*address))
    return "tcp " + tcp->host + " " + std::to_string(tcp->port);
  if (const auto* path = std::get_if<UnixAddress>(&*address)) return "unix " + path->path;
  return "fd " + std::to_string(std::get<InheritedDescriptor>(*address).number);
}

TEST(Address, PortAloneIsOnTheLoopback) {
  EXPECT_EQ(read(":1234"), "tcp 127.0.0.1 1234");
  EXPECT_EQ(read("1234"), "tcp 127.0.0.1 1234");
  EXPECT_EQ(read("localhost:1234"), "tcp 127.0.0.1 1234");
  EXPECT_EQ(read(":0"), "tcp 127.0.0.1 0");
  EXPECT_EQ(read(":65535"), "tcp 127.0.0.1 65535");
}

TEST(Address, HostIsWhatStandsBeforeTheLastColon) {
  EXPECT_EQ(read("10.0.0.1:1"), "tcp 10.0.0.1 1");
  EXPECT_EQ(read("[::1]:1234"), "tcp ::1 1234");
  EXPECT_EQ(read("::1:1234"), "tcp ::1 1234");
  EXPECT_EQ(read("box.example:1234"), "tcp box.example 1234");
}

TEST(Address, PathIsAUnixSocket) {
  EXPECT_EQ(read("unix:a"), "unix a");
  EXPECT_EQ(read("./a"), "unix ./a");
  EXPECT_EQ(read("/run/a:1"), "unix /run/a:1");
  EXPECT_EQ(read("/" + std::string(106, 'a')), "unix /" + std::string(106, 'a'));
  EXPECT_EQ(read("/" + std::string(107, 'a')), "no");
}

TEST(Address, DescriptorIsAboveTheThreeStandardOnes) {
  EXPECT_EQ(read("fd:3"), "fd 3");
  EXPECT_EQ(read("fd:1000000"), "fd 1000000");
  for (const char* text : {"fd:", "fd:0", "fd:2", "fd:-1", "fd:x", "fd:3x", "fd:99999999999", "fd: 3"})
    EXPECT_EQ(read(text), "no") << text;
}

TEST(Address, WhatIsNoneIsRefused) {
  for (const char* text : {"", ":", ":65536", ":-1", ":1x", "host", "host:", "unix:", ": 1", ":+1"}) {
    const auto address = parse_address(text);
    ASSERT_FALSE(address) << text;
    EXPECT_EQ(address.error().code, Errc::kMalformed);
  }
}

TEST(Address, DoorWithRoBehindItIsForObservers) {
  const auto door = parse_door(":1234");
  const auto read_only = parse_door("unix:/run/a,ro");

  ASSERT_TRUE(door && read_only);
  EXPECT_FALSE(door->tracers.read_only);
  EXPECT_TRUE(read_only->tracers.read_only);
  EXPECT_EQ(std::get<UnixAddress>(read_only->where).path, "/run/a");
  EXPECT_FALSE(parse_door(":1234,rw"));
  EXPECT_FALSE(parse_door(":1234,"));
  EXPECT_FALSE(parse_door(",ro"));
}

}  // namespace
}  // namespace ringside::session
