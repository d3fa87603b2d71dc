// Socket options by level and name.
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace::arguments {

namespace {

enum : std::uint32_t {
  kIp = 0,
  kSocket = 1,
  kTcp = 6,
  kUdp = 17,
  kIpv6 = 41,
  kRaw = 255,
  kPacket = 263,
  kNetlink = 270
};
enum : std::uint32_t {
  kLinger = 13,
  kPeerCredentials = 17,
  kBindToDevice = 25,
  kPeerSecurity = 31,
  kAttachFilter = 26,
  kAddMembership = 35,
  kDropMembership = 36,
  kCongestion = 13,
  kInfo = 11,
  kUlp = 31,
};

Names names_of(std::uint32_t level) {
  switch (level) {
    case kIp:
      return names::options_ip;
    case kSocket:
      return names::options_socket;
    case kTcp:
      return names::options_tcp;
    case kUdp:
      return names::options_udp;
    case kIpv6:
      return names::options_ipv6;
    case kRaw:
      return names::options_raw;
    case kPacket:
      return names::options_packet;
    case kNetlink:
      return names::options_netlink;
    default:
      return {};
  }
}

bool is_text_option(std::uint32_t level, std::uint32_t option) {
  return (level == kSocket && (option == kBindToDevice || option == kPeerSecurity)) ||
         (level == kTcp && (option == kCongestion || option == kInfo || option == kUlp));
}

void print_option(Printer& printer, std::uint64_t at, std::int32_t size) {
  const std::uint32_t level = printer.uint_arg(1);
  const std::uint32_t option = printer.uint_arg(2);
  if (at == 0 || size <= 0) return printer.pointer(at);
  if (level == kSocket && option == kLinger && size >= 8) {
    const auto linger = printer.load<std::array<std::int32_t, 2>>(at);
    if (!linger) return printer.pointer(at);
    return printer.format("{{l_onoff={}, l_linger={}}}", (*linger)[0], (*linger)[1]);
  }
  if (level == kSocket && option == kPeerCredentials && size >= 12) {
    const auto who = printer.load<std::array<std::uint32_t, 3>>(at);
    if (!who) return printer.pointer(at);
    return printer.format("{{pid={}, uid={}, gid={}}}", (*who)[0], (*who)[1], (*who)[2]);
  }
  if (level == kIp && (option == kAddMembership || option == kDropMembership) && size >= 8) {
    const auto group = printer.load<std::array<std::uint8_t, 8>>(at);
    if (!group) return printer.pointer(at);
    const auto& g = *group;
    return printer.format(
        "{{imr_multiaddr=inet_addr(\"{}.{}.{}.{}\"), imr_interface=inet_addr(\"{}.{}.{}.{}\")}}", g[0], g[1],
        g[2], g[3], g[4], g[5], g[6], g[7]);
  }
  const auto value = printer.load<std::int32_t>(at);
  if (size == 4 && !is_text_option(level, option) && value) return printer.format("[{}]", *value);
  printer.buffer(at, static_cast<std::uint64_t>(size));
}

}  // namespace

void print_socket_option(Printer& printer, unsigned at) {
  const Names names = names_of(printer.uint_arg(at - 1));
  names.rows.empty() ? printer.unsigned_decimal(printer.uint_arg(at))
                     : printer.named(names, printer.uint_arg(at));
}

void print_option_in(Printer& printer, unsigned at) {
  print_option(printer, printer.arg(at), printer.int_arg(at + 1));
}

void print_option_out(Printer& printer, unsigned at) {
  constexpr std::int32_t kInt = sizeof(std::int32_t);
  const std::uint64_t length_at = printer.arg(at + 1);
  const auto length =
      printer.failed() || length_at == 0 ? std::nullopt : printer.load<std::int32_t>(length_at);
  if (length && *length > 0 && *length < kInt && !is_text_option(printer.uint_arg(1), printer.uint_arg(2)))
    return printer.hex_buffer(printer.arg(at), static_cast<std::uint64_t>(*length));
  length ? print_option(printer, printer.arg(at), *length) : printer.pointer(printer.arg(at));
}

}  // namespace ringside::strace::arguments
