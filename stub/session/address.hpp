// Where a monitor listens and a client connects, as people type it.  Pure.
//
//   :1234  1234  localhost:1234    TCP on the loopback        HOST:PORT  [V6]:PORT   TCP
//   unix:PATH  ./PATH  /PATH       a Unix socket              fd:N        an inherited descriptor
#pragma once

#include <cstdint>
#include <string>
#include <string_view>
#include <variant>

#include "arch/result.hpp"
#include "stub/tracer/port.hpp"

namespace ringside::session {

struct TcpAddress {
  std::string host;  // never empty
  std::uint16_t port = 0;
};
struct UnixAddress {
  std::string path;  // short enough for a sockaddr_un
};
struct InheritedDescriptor {
  int number = -1;
};
using Address = std::variant<TcpAddress, UnixAddress, InheritedDescriptor>;

Result<Address> parse_address(std::string_view text);

// An address to listen on; `,ro` behind it makes observers of who comes in there.
struct Door {
  Address where;
  tracer::AttachOptions tracers;
};
Result<Door> parse_door(std::string_view text);

}  // namespace ringside::session
