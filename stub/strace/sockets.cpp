// Arguments of socket calls, but for addresses, messages and options.
#include <algorithm>
#include <array>

#include "stub/strace/arguments.hpp"
#include "stub/strace/decode.hpp"

namespace ringside::strace {

namespace {

// The length that the process offered, as note_entry() kept it: one above, so that 0 can be told from "not
// known".
std::optional<std::int32_t> noted_length(const Printer& printer) {
  const std::uint64_t noted = printer.call().noted;
  if (noted == 0) return std::nullopt;
  return static_cast<std::int32_t>(noted - 1);
}

void print_length(Printer& printer, std::uint64_t at) {
  const auto before = noted_length(printer);
  const auto length = at == 0 ? std::nullopt : printer.before_return().load<std::int32_t>(at);
  if (!length) return printer.pointer(at);
  if (before && printer.failed()) return printer.format("[{}]", *before);
  before&&* before != *length ? printer.format("[{} => {}]", *before, *length)
                              : printer.format("[{}]", *length);
}

}  // namespace

// Where the length of an address or option is that the kernel replaces: of accept, accept4, getsockname,
// getpeername, recvfrom, getsockopt the address of an int; of recvmsg in its msghdr.
std::uint64_t note_entry(const Call& call, const Process& process) noexcept {
  struct Place {
    std::uint32_t x64, i386;
    unsigned argument;
    bool in_header;
  };
  constexpr Place kPlaces[] = {{43, 0xffff, 2, false}, {288, 364, 2, false}, {51, 367, 2, false},
                               {52, 368, 2, false},    {45, 371, 5, false},  {55, 365, 4, false},
                               {47, 372, 1, true}};
  for (const Place& place : kPlaces) {
    if (call.number != (call.abi == Abi::kX64 ? place.x64 : place.i386)) continue;
    std::uint64_t at = call.args[place.argument];
    if (call.abi == Abi::kI386) at = static_cast<std::uint32_t>(at);
    if (at == 0) return 0;
    if (place.in_header) at += call.abi == Abi::kX64 ? 8 : 4;
    const auto length = process.memory().load_at<std::uint32_t>(Gva{at});
    return length ? std::uint64_t{*length} + 1 : 0;
  }
  return 0;
}

namespace arguments {

namespace {

enum : std::uint32_t { kUnix = 1, kInet = 2, kInet6 = 10, kNetlink = 16, kPacket = 17, kBluetooth = 31 };
constexpr std::uint32_t kTypeFlags = 0x80800;  // SOCK_CLOEXEC | SOCK_NONBLOCK

}  // namespace

void print_socket_type(Printer& printer, unsigned at) {
  const std::uint32_t type = printer.uint_arg(at);
  constexpr std::uint32_t kTypeBits = 0xf;
  const std::string_view name = find_name(names::socket_types, type & kTypeBits);
  if (name.empty() && (type & kTypeBits) == 0) {
    printer.text("0");
  } else if (name.empty()) {
    return printer.flags({names::socket_type_flags.rows, "SOCK_???"}, type);
  } else {
    printer.text(name);
  }
  printer.more_flags(names::socket_type_flags, type & ~kTypeBits);
}

void print_socket_type_flags_(Printer& printer, unsigned at) {
  printer.flags(names::socket_type_flags, printer.uint_arg(at));
}

void print_socket_protocol(Printer& printer, unsigned at) {
  constexpr Name kBluetoothProtocols[] = {{0, "BTPROTO_L2CAP"},  {1, "BTPROTO_HCI"},  {2, "BTPROTO_SCO"},
                                          {3, "BTPROTO_RFCOMM"}, {4, "BTPROTO_BNEP"}, {5, "BTPROTO_CMTP"},
                                          {6, "BTPROTO_HIDP"},   {7, "BTPROTO_AVDTP"}};
  const std::uint32_t protocol = printer.uint_arg(at);
  switch (printer.uint_arg(0)) {
    case kInet:
    case kInet6:
      return printer.named(names::inet_protocols, protocol);
    case kNetlink:
      return printer.named(names::netlink_protocols, protocol);
    case kPacket: {
      const std::uint32_t swapped = (protocol >> 8 & 0xff) | (protocol << 8 & 0xff00);
      printer.text("htons(");
      printer.named(names::ethernet_protocols, swapped);
      return printer.text(")");
    }
    case kBluetooth:
      return printer.named({kBluetoothProtocols, "BTPROTO_???"}, protocol);
    default:
      printer.unsigned_decimal(printer.arg(at));
  }
}

void print_sockaddr_in(Printer& printer, unsigned at) {
  const std::int32_t size = printer.int_arg(at + 1);
  print_sockaddr(printer, printer.arg(at), size < 0 ? 0 : static_cast<std::uint64_t>(size));
}

void print_sockaddr_out(Printer& printer, unsigned at) {
  const std::uint64_t length_at = printer.arg(at + 1);
  const auto length =
      printer.failed() || length_at == 0 ? std::nullopt : printer.load<std::int32_t>(length_at);
  if (!length || *length < 0) return printer.pointer(printer.arg(at));
  // Not more than what the process had room for was stored.
  const std::int32_t stored = std::min(*length, noted_length(printer).value_or(*length));
  print_sockaddr(printer, printer.arg(at), stored < 0 ? 0 : static_cast<std::uint64_t>(stored));
}

void print_socklen_in_out(Printer& printer, unsigned at) { print_length(printer, printer.arg(at)); }
void print_option_length(Printer& printer, unsigned at) { print_length(printer, printer.arg(at)); }

void print_socket_level(Printer& printer, unsigned at) {
  printer.named(names::socket_levels, printer.uint_arg(at));
}

// One number and an array of the arguments (linux/net.h); shown where the array cannot be read.
void print_socketcall_(Printer& printer, unsigned at) {
  constexpr Name kCalls[] = {
      {1, "SYS_SOCKET"},    {2, "SYS_BIND"},        {3, "SYS_CONNECT"},     {4, "SYS_LISTEN"},
      {5, "SYS_ACCEPT"},    {6, "SYS_GETSOCKNAME"}, {7, "SYS_GETPEERNAME"}, {8, "SYS_SOCKETPAIR"},
      {9, "SYS_SEND"},      {10, "SYS_RECV"},       {11, "SYS_SENDTO"},     {12, "SYS_RECVFROM"},
      {13, "SYS_SHUTDOWN"}, {14, "SYS_SETSOCKOPT"}, {15, "SYS_GETSOCKOPT"}, {16, "SYS_SENDMSG"},
      {17, "SYS_RECVMSG"},  {18, "SYS_ACCEPT4"},    {19, "SYS_RECVMMSG"},   {20, "SYS_SENDMMSG"}};
  const std::string_view name = find_name({kCalls, {}}, printer.uint_arg(at));
  name.empty() ? printer.unsigned_decimal(printer.uint_arg(at)) : printer.text(name);
  printer.next();
  printer.pointer(printer.arg(at + 1));
}

}  // namespace arguments

}  // namespace ringside::strace
