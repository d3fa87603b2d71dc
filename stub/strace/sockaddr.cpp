// Socket addresses by family.
#include <algorithm>
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace {

namespace {

enum : std::uint16_t { kUnix = 1, kInet = 2, kInet6 = 10, kNetlink = 16, kPacket = 17 };
constexpr std::size_t kMostBytes = 128;  // sizeof(struct sockaddr_storage)

std::uint16_t big16(const std::uint8_t* at) { return static_cast<std::uint16_t>(at[0] << 8 | at[1]); }
std::uint32_t big32(const std::uint8_t* at) { return std::uint32_t{big16(at)} << 16 | big16(at + 2); }

void print_inet(Printer& printer, ByteView address) {
  printer.format(", sin_port=htons({}), sin_addr=inet_addr(\"{}.{}.{}.{}\")", big16(&address[2]), address[4],
                 address[5], address[6], address[7]);
}

// As inet_ntop writes it: the longest run of two or more zero groups as "::", IPv4 in dots where it is
// mapped.
void print_inet6_address(Printer& printer, const std::uint8_t* bytes) {
  std::size_t best = 8;
  std::size_t best_size = 1;
  for (std::size_t i = 0; i < 8; ++i) {
    std::size_t size = 0;
    while (i + size < 8 && big16(bytes + 2 * (i + size)) == 0) ++size;
    if (size > best_size) best = i, best_size = size;
  }
  const bool mapped = best == 0 && (best_size == 6 || (best_size == 7 && big16(bytes + 14) != 1 && false) ||
                                    (best_size == 5 && big16(bytes + 10) == 0xffff));
  for (std::size_t i = 0; i < 8; ++i) {
    if (i >= best && i < best + best_size) {
      if (i == best) printer.text(":");
      continue;
    }
    if (i != 0) printer.text(":");
    if (mapped && i == 6) {
      return printer.format("{}.{}.{}.{}", bytes[12], bytes[13], bytes[14], bytes[15]);
    }
    printer.format("{:x}", big16(bytes + 2 * i));
  }
  if (best != 8 && best + best_size == 8) printer.text(":");
}

void print_inet6(Printer& printer, ByteView address) {
  printer.format(", sin6_port=htons({}), sin6_flowinfo=htonl({}), inet_pton(AF_INET6, \"", big16(&address[2]),
                 big32(&address[4]));
  print_inet6_address(printer, &address[8]);
  printer.text("\", &sin6_addr)");
  if (address.size() >= 28) printer.format(", sin6_scope_id={}", load<std::uint32_t>(&address[24]));
}

// The path may end with the structure; a NUL in front marks a name that is in no file system.
void print_unix(Printer& printer, ByteView address) {
  ByteView path = address.subspan(2);
  printer.text(", sun_path=");
  if (!path.empty() && path[0] == 0) {
    printer.text("@");
    return printer.quoted(path.subspan(1));
  }
  const auto nul = std::find(path.begin(), path.end(), std::uint8_t{0});
  printer.quoted(path.first(static_cast<std::size_t>(nul - path.begin())));
}

void print_netlink(Printer& printer, ByteView address) {
  const auto groups = load<std::uint32_t>(&address[8]);
  printer.format(", nl_pid={}, nl_groups=", load<std::int32_t>(&address[4]));
  groups == 0 ? printer.text("00000000") : printer.format("{:#08x}", groups);  // as %#08x has it
}

void print_packet(Printer& printer, ByteView address) {
  constexpr Name kHardware[] = {
      {1, "ARPHRD_ETHER"}, {772, "ARPHRD_LOOPBACK"}, {512, "ARPHRD_PPP"}, {65534, "ARPHRD_NONE"}};
  printer.text(", sll_protocol=htons(");
  printer.named(names::ethernet_protocols, big16(&address[2]));
  printer.format("), sll_ifindex={}, sll_hatype=", load<std::int32_t>(&address[4]));
  printer.named({kHardware, "ARPHRD_???"}, load<std::uint16_t>(&address[8]));
  printer.text(", sll_pkttype=");
  printer.named(names::packet_types, address[10]);
  printer.format(", sll_halen={}", address[11]);
  const std::size_t size = std::min<std::size_t>(address[11], address.size() - 12);
  if (size == 0) return;
  printer.text(", sll_addr=[");
  for (std::size_t i = 0; i < size; ++i) printer.format("{}{:#x}", i == 0 ? "" : ", ", address[12 + i]);
  printer.text("]");
}

}  // namespace

void print_sockaddr_bytes(Printer& printer, ByteView address) {
  const auto family = load<std::uint16_t>(address.data());
  printer.text("{sa_family=");
  printer.named(names::address_families, family);
  if (family == kUnix && address.size() > 2) {
    print_unix(printer, address);
  } else if (family == kInet && address.size() >= 8) {
    print_inet(printer, address);
  } else if (family == kInet6 && address.size() >= 24) {
    print_inet6(printer, address);
  } else if (family == kNetlink && address.size() >= 12) {
    print_netlink(printer, address);
  } else if (family == kPacket && address.size() >= 12) {
    print_packet(printer, address);
  } else if (address.size() > 2) {
    printer.text(", sa_data=");
    printer.quoted(address.subspan(2));
  }
  printer.text("}");
}

void print_sockaddr(Printer& printer, std::uint64_t at, std::uint64_t size) {
  std::array<std::uint8_t, kMostBytes> bytes;
  const auto shown =
      MutableByteView(bytes).first(static_cast<std::size_t>(std::min<std::uint64_t>(size, kMostBytes)));
  if (at == 0 || shown.size() < 2 || !printer.read(at, shown)) return printer.pointer(at);
  print_sockaddr_bytes(printer, shown);
}

}  // namespace ringside::strace
