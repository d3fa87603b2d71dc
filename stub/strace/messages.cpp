// Messages of sendmsg and recvmsg, with their control data.
#include <algorithm>
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace {

namespace {

struct Header {
  std::uint64_t name, iov, iov_length, control, control_length;
  std::uint32_t name_length, flags;
};

// struct msghdr (linux/socket.h): a word each, the length of the name an int.
std::optional<Header> load_header(const Printer& printer, std::uint64_t at) {
  const std::uint64_t word = printer.word_size();
  const auto word_at = [&](std::uint64_t n) { return printer.load_word(at + n * word); };
  const auto name = at == 0 ? std::nullopt : word_at(0);
  const auto name_length = printer.load<std::uint32_t>(at + word);
  const auto iov = word_at(2);
  const auto iov_length = word_at(3);
  const auto control = word_at(4);
  const auto control_length = word_at(5);
  const auto flags = printer.load<std::uint32_t>(at + 6 * word);
  if (!name || !name_length || !iov || !iov_length || !control || !control_length || !flags)
    return std::nullopt;
  return Header{*name, *iov, *iov_length, *control, *control_length, *name_length, *flags};
}

constexpr std::uint32_t kSocketLevel = 1;  // SOL_SOCKET
constexpr std::uint32_t kRights = 1;       // SCM_RIGHTS
constexpr std::uint32_t kCredentials = 2;  // SCM_CREDENTIALS
constexpr Name kSocketTypes[] = {
    {1, "SCM_RIGHTS"},        {2, "SCM_CREDENTIALS"},     {3, "SCM_SECURITY"},
    {29, "SO_TIMESTAMP_OLD"}, {35, "SO_TIMESTAMPNS_OLD"}, {37, "SO_TIMESTAMPING_OLD"},
    {63, "SO_TIMESTAMP_NEW"}, {64, "SO_TIMESTAMPNS_NEW"}, {65, "SO_TIMESTAMPING_NEW"}};
constexpr Name kIpTypes[] = {{1, "IP_TOS"},      {2, "IP_TTL"},      {7, "IP_RETOPTS"},
                             {8, "IP_PKTINFO"},  {11, "IP_RECVERR"}, {20, "IP_ORIGDSTADDR"},
                             {23, "IP_CHECKSUM"}};

void print_rights(Printer& printer, std::uint64_t at, std::uint64_t size) {
  printer.text("[");
  for (std::uint64_t i = 0; i < size / 4; ++i) {
    const auto fd = printer.load<std::int32_t>(at + 4 * i);
    if (!fd) break;
    if (i > 0) printer.text(", ");
    if (i >= printer.style().string_limit) {
      printer.text("...");
      break;
    }
    printer.fd(*fd);
  }
  printer.text("]");
}

void print_control_data(Printer& printer, std::uint32_t level, std::uint32_t type, std::uint64_t at,
                        std::uint64_t size) {
  if (level == kSocketLevel && type == kRights) return print_rights(printer, at, size);
  if (level == kSocketLevel && type == kCredentials && size >= 12) {
    const auto who = printer.load<std::array<std::int32_t, 3>>(at);
    if (who)
      return printer.format("{{pid={}, uid={}, gid={}}}", (*who)[0], static_cast<std::uint32_t>((*who)[1]),
                            static_cast<std::uint32_t>((*who)[2]));
  }
  if (size == 4 && level == 0) {
    const auto value = printer.load<std::uint32_t>(at);
    if (value) return printer.format("[{}]", *value);
  }
  printer.buffer(at, size);
}

// One after the other, each with its length in front, aligned to words (CMSG_NXTHDR).
void print_control(Printer& printer, std::uint64_t at, std::uint64_t size) {
  constexpr std::uint64_t kMost = 4096;  // of bytes
  const std::uint64_t word = printer.word_size();
  const std::uint64_t header = word + 8;
  const std::uint64_t end = std::min(size, kMost);
  std::uint64_t used = 0;
  printer.text("[");
  while (end - used >= header) {
    const auto length = printer.load_word(at + used);
    const auto kind = printer.load<std::array<std::uint32_t, 2>>(at + used + word);
    if (!length || !kind) break;
    const std::uint64_t whole = std::clamp<std::uint64_t>(*length, header, end - used);
    const auto [level, type] = *kind;
    printer.format("{}{{cmsg_len={}, cmsg_level=", used == 0 ? "" : ", ", *length);
    printer.named(names::socket_levels, level);
    printer.text(", cmsg_type=");
    if (level == kSocketLevel) {
      printer.named({kSocketTypes, "SCM_???"}, type);
    } else if (level == 0) {
      printer.named({kIpTypes, "IP_???"}, type);
    } else {
      printer.hex(type);
    }
    if (whole > header) {
      printer.text(", cmsg_data=");
      print_control_data(printer, level, type, at + used + header, whole - header);
    }
    printer.text("}");
    if (*length < header) break;
    used += std::min((whole + word - 1) & ~(word - 1), end - used);
  }
  if (used == 0 && end < header) printer.format("...");
  printer.text("]");
}

// `bytes`: how much of the buffers is of interest.
void print_message(Printer& printer, std::uint64_t at, std::uint64_t bytes, bool received) {
  const auto header = load_header(printer, at);
  if (!header) return printer.pointer(at);
  const std::uint64_t noted = printer.call().noted;
  const bool replaced = received && noted != 0 && noted - 1 != header->name_length;
  printer.text("{msg_name=");
  const std::uint64_t name_size =
      replaced ? std::min<std::uint64_t>(noted - 1, header->name_length) : header->name_length;
  print_sockaddr(printer, header->name, name_size);
  printer.text(", msg_namelen=");
  if (replaced) printer.format("{} => ", static_cast<std::int32_t>(noted - 1));
  printer.format("{}, msg_iov=", static_cast<std::int32_t>(header->name_length));
  print_iovec(printer, header->iov, header->iov_length, Iovec::kBytes, bytes);
  printer.format(", msg_iovlen={}", header->iov_length);
  if (header->control_length != 0 && header->control != 0) {
    printer.text(", msg_control=");
    print_control(printer, header->control, header->control_length);
  }
  printer.format(", msg_controllen={}, msg_flags=", header->control_length);
  printer.flags(names::message_flags, header->flags);
  printer.text("}");
}

void print_messages(Printer& printer, std::uint64_t at, std::uint64_t count, bool received) {
  const std::uint64_t word = printer.word_size();
  const std::uint64_t size = printer.i386() ? 32 : 64;
  const auto show = [&](std::uint64_t element) {
    const auto length = printer.load<std::uint32_t>(element + 7 * word);
    if (!length) return false;
    printer.text("{msg_hdr=");
    print_message(printer, element, received ? *length : ~std::uint64_t{0}, false);
    printer.format(", msg_len={}}}", *length);
    return true;
  };
  print_array(printer, at, count, size, show, printer.style().string_limit);
}

}  // namespace

namespace arguments {

void print_msghdr_in(Printer& printer, unsigned at) {
  print_message(printer, printer.arg(at), ~std::uint64_t{0}, false);
}

void print_msghdr_out(Printer& printer, unsigned at) {
  if (!printer.failed()) {
    return print_message(printer, printer.arg(at), static_cast<std::uint64_t>(printer.call().result), true);
  }
  // Of a message that did not come the length of its name is what was asked for.
  const auto header = load_header(printer.before_return(), printer.arg(at));
  header ? printer.format("{{msg_namelen={}}}", static_cast<std::int32_t>(header->name_length))
         : printer.pointer(printer.arg(at));
}

void print_mmsghdr_in(Printer& printer, unsigned at) {
  if (printer.failed()) return print_messages(printer, printer.arg(at), printer.uint_arg(at + 1), false);
  print_messages(printer, printer.arg(at), printer.uint_arg(at + 1), false);
}
void print_mmsghdr_out(Printer& printer, unsigned at) {
  if (printer.failed()) return printer.pointer(printer.arg(at));
  print_messages(printer, printer.arg(at), static_cast<std::uint64_t>(printer.call().result), true);
}

}  // namespace arguments

}  // namespace ringside::strace
