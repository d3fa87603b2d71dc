// ioctl, by request.
#include <algorithm>
#include <array>
#include <iterator>

#include "stub/strace/arguments.hpp"

namespace ringside::strace::arguments {

namespace {

enum class Content : std::uint8_t { kPointer, kHex, kNone };
struct Request {
  std::uint32_t code;
  std::string_view name;
  Content content;
};
constexpr Request kRequests[] = {
#define IOCTL(code, name, content) {code, name, Content::content},
#include "stub/strace/ioctls.def"
#undef IOCTL
};
static_assert(std::is_sorted(std::begin(kRequests), std::end(kRequests),
                             [](const Request& a, const Request& b) { return a.code < b.code; }));

const Request* find_request(std::uint32_t code) {
  const auto* const found =
      std::lower_bound(std::begin(kRequests), std::end(kRequests), code,
                       [](const Request& row, std::uint32_t c) { return row.code < c; });
  return found != std::end(kRequests) && found->code == code ? found : nullptr;
}

// asm-generic/ioctl.h: direction, size, type and number.
void print_unknown(Printer& printer, std::uint32_t code) {
  constexpr Name kDirections[] = {
      {0, "_IOC_NONE"}, {1, "_IOC_WRITE"}, {2, "_IOC_READ"}, {3, "_IOC_READ|_IOC_WRITE"}};
  printer.format("_IOC({}, ", kDirections[code >> 30].text);
  printer.hex(code >> 8 & 0xff);
  printer.text(", ");
  printer.hex(code & 0xff);
  printer.text(", ");
  printer.hex(code >> 16 & 0x3fff);
  printer.text(")");
}

// What is read or stored, and whether it is read before the call.
enum class Shape : std::uint8_t {
  kIntIn,
  kIntOut,
  kUnsignedOut,
  kLongIn,
  kLongOut,
  kWindowIn,
  kWindowOut,
  kTermiosIn,
  kTermiosOut,
  kTermioIn,
  kTermioOut,
  kDecimal,
  kCharacter,
  kFlush,
  kFlagsIn,
  kFlagsOut,
  kInterface,
  kInterfaceName,
  kInterfaceFlags,
  kInterfaceAddress,
};
struct Decoded {
  std::uint32_t code;
  Shape shape;
};
constexpr Decoded kDecoded[] = {
    {0x1260, Shape::kLongOut},           // BLKGETSIZE
    {0x1268, Shape::kIntOut},            // BLKSSZGET
    {0x5401, Shape::kTermiosOut},        // TCGETS
    {0x5402, Shape::kTermiosIn},         // TCSETS
    {0x5403, Shape::kTermiosIn},         // TCSETSW
    {0x5404, Shape::kTermiosIn},         // TCSETSF
    {0x5405, Shape::kTermioOut},         // TCGETA
    {0x5406, Shape::kTermioIn},          // TCSETA
    {0x5407, Shape::kTermioIn},          // TCSETAW
    {0x5408, Shape::kTermioIn},          // TCSETAF
    {0x5409, Shape::kDecimal},           // TCSBRK
    {0x540b, Shape::kFlush},             // TCFLSH
    {0x540e, Shape::kDecimal},           // TIOCSCTTY
    {0x540f, Shape::kIntOut},            // TIOCGPGRP
    {0x5410, Shape::kIntIn},             // TIOCSPGRP
    {0x5411, Shape::kIntOut},            // TIOCOUTQ
    {0x5412, Shape::kCharacter},         // TIOCSTI
    {0x5413, Shape::kWindowOut},         // TIOCGWINSZ
    {0x5414, Shape::kWindowIn},          // TIOCSWINSZ
    {0x541b, Shape::kIntOut},            // FIONREAD
    {0x5421, Shape::kIntIn},             // FIONBIO
    {0x5423, Shape::kIntIn},             // TIOCSETD
    {0x5424, Shape::kIntOut},            // TIOCGETD
    {0x5429, Shape::kIntOut},            // TIOCGSID
    {0x5452, Shape::kIntIn},             // FIOASYNC
    {0x8910, Shape::kInterfaceName},     // SIOCGIFNAME
    {0x8913, Shape::kInterfaceFlags},    // SIOCGIFFLAGS
    {0x8915, Shape::kInterfaceAddress},  // SIOCGIFADDR
    {0x8917, Shape::kInterfaceAddress},  // SIOCGIFDSTADDR
    {0x8919, Shape::kInterfaceAddress},  // SIOCGIFBRDADDR
    {0x891b, Shape::kInterfaceAddress},  // SIOCGIFNETMASK
    {0x40045431, Shape::kIntIn},         // TIOCSPTLCK
    {0x40049409, Shape::kDecimal},       // FICLONE
    {0x40086602, Shape::kFlagsIn},       // FS_IOC_SETFLAGS
    {0x80045200, Shape::kIntOut},        // RNDGETENTCNT
    {0x80045430, Shape::kUnsignedOut},   // TIOCGPTN
    {0x80081272, Shape::kLongOut},       // BLKGETSIZE64
    {0x80086601, Shape::kFlagsOut},      // FS_IOC_GETFLAGS
    {0x802c542a, Shape::kTermiosOut},    // TCGETS2
};
static_assert(std::is_sorted(std::begin(kDecoded), std::end(kDecoded),
                             [](const Decoded& a, const Decoded& b) { return a.code < b.code; }));

const Decoded* find_decoded(std::uint32_t code) {
  const auto* const found =
      std::lower_bound(std::begin(kDecoded), std::end(kDecoded), code,
                       [](const Decoded& row, std::uint32_t c) { return row.code < c; });
  return found != std::end(kDecoded) && found->code == code ? found : nullptr;
}

bool is_stored(Shape shape) {
  switch (shape) {
    case Shape::kIntOut:
    case Shape::kUnsignedOut:
    case Shape::kLongOut:
    case Shape::kWindowOut:
    case Shape::kTermiosOut:
    case Shape::kTermioOut:
    case Shape::kFlagsOut:
    case Shape::kInterfaceName:
    case Shape::kInterfaceFlags:
    case Shape::kInterfaceAddress:
      return true;
    default:
      return false;
  }
}

void print_window(Printer& printer, std::uint64_t at) {
  const auto size = printer.load<std::array<std::uint16_t, 4>>(at);
  if (!size) return printer.pointer(at);
  printer.format("{{ws_row={}, ws_col={}, ws_xpixel={}, ws_ypixel={}}}", (*size)[0], (*size)[1], (*size)[2],
                 (*size)[3]);
}

struct Modes {
  std::uint32_t input, output, control, local;
};

void print_output_modes(Printer& printer, std::uint32_t flags) {
  constexpr std::array<std::string_view, 4> kCr{"CR0", "CR1", "CR2", "CR3"};
  constexpr std::array<std::string_view, 4> kTab{"TAB0", "TAB1", "TAB2", "XTABS"};
  constexpr std::uint32_t kDelays = 0xff00;
  printer.format("{}|{}|{}|{}|{}|{}|", (flags & 0x100) != 0 ? "NL1" : "NL0", kCr[flags >> 9 & 3],
                 kTab[flags >> 11 & 3], (flags & 0x2000) != 0 ? "BS1" : "BS0",
                 (flags & 0x4000) != 0 ? "VT1" : "VT0", (flags & 0x8000) != 0 ? "FF1" : "FF0");
  if ((flags & ~kDelays) != 0) printer.flags(names::termios_output, flags & ~kDelays);
}

void print_control_modes(Printer& printer, std::uint32_t flags) {
  constexpr std::array<std::string_view, 4> kSizes{"CS5", "CS6", "CS7", "CS8"};
  constexpr std::uint32_t kBaud = 0x100f;
  constexpr std::uint32_t kSize = 0x30;
  printer.named(names::baud_rates, flags & kBaud);
  if (const std::uint32_t input = flags >> 16 & kBaud; input != 0) {
    printer.text("|");
    printer.named(names::baud_rates, input);
    printer.text("<<IBSHIFT");
  }
  printer.format("|{}|", kSizes[flags >> 4 & 3]);
  const std::uint32_t rest = flags & ~kSize & ~kBaud & ~(kBaud << 16);
  if (rest != 0) printer.flags(names::termios_control, rest);
}

void print_modes(Printer& printer, const Modes& modes) {
  printer.text("{c_iflag=");
  if (modes.input != 0) printer.flags(names::termios_input, modes.input);
  printer.text(", c_oflag=");
  print_output_modes(printer, modes.output);
  printer.text(", c_cflag=");
  print_control_modes(printer, modes.control);
  printer.text(", c_lflag=");
  if (modes.local != 0) printer.flags(names::termios_local, modes.local);
  printer.text(", ...}");
}

void print_termios(Printer& printer, std::uint64_t at, bool old) {
  if (!old) {
    const auto modes = printer.load<Modes>(at);
    return modes ? print_modes(printer, *modes) : printer.pointer(at);
  }
  const auto modes = printer.load<std::array<std::uint16_t, 4>>(at);
  modes ? print_modes(printer, {(*modes)[0], (*modes)[1], (*modes)[2], (*modes)[3]}) : printer.pointer(at);
}

// struct ifreq: a name of 16 bytes, then what the request is about.
void print_interface(Printer& printer, std::uint64_t at, Shape shape) {
  struct Interface {
    std::array<std::uint8_t, 16> name;
    std::array<std::uint8_t, 16> value;
  };
  const auto found = printer.before_return().load<Interface>(at);
  if (!found) return printer.pointer(at);
  if (shape == Shape::kInterfaceName) {
    printer.format("{{ifr_ifindex={}", load<std::int32_t>(found->value.data()));
    if (!printer.failed()) {
      printer.text(", ifr_name=");
      printer.fixed_string(found->name);
    }
    return printer.text("}");
  }
  printer.text("{ifr_name=");
  printer.fixed_string(found->name);
  if (printer.failed()) return printer.text("}");
  if (shape == Shape::kInterfaceFlags) {
    printer.text(", ifr_flags=");
    printer.flags(names::interface_flags, load<std::uint16_t>(found->value.data()));
  } else {
    printer.text(", ifr_addr=");
    print_sockaddr_bytes(printer, found->value);
  }
  printer.text("}");
}

void print_flush(Printer& printer, std::uint64_t queue) {
  constexpr Name kQueues[] = {{0, "TCIFLUSH"}, {1, "TCOFLUSH"}, {2, "TCIOFLUSH"}};
  printer.named({kQueues, "TC?FLUSH"}, queue);
}

void print_word(Printer& printer, std::uint64_t at, bool wide) {
  const auto value = wide ? printer.load<std::uint64_t>(at) : printer.load_word(at);
  value ? printer.format("[{}]", *value) : printer.pointer(at);
}

void print_flag_word(Printer& printer, std::uint64_t at) {
  const auto value = printer.load_word(at);
  if (!value) return printer.pointer(at);
  printer.text("[");
  printer.flags(names::inode_flags, static_cast<std::uint32_t>(*value));
  printer.text("]");
}

void print_shape(Printer& printer, std::uint64_t value, Shape shape) {
  const auto integer = [&](std::int32_t number) { printer.decimal(number); };
  switch (shape) {
    case Shape::kDecimal:
      return printer.decimal(static_cast<std::int32_t>(value));
    case Shape::kFlush:
      return print_flush(printer, value);
    default:
      break;
  }
  const bool of_interface =
      shape == Shape::kInterfaceName || shape == Shape::kInterfaceFlags || shape == Shape::kInterfaceAddress;
  if (value == 0 || (printer.failed() && is_stored(shape) && !of_interface)) return printer.pointer(value);
  switch (shape) {
    case Shape::kIntIn:
    case Shape::kIntOut:
      return print_cell<std::int32_t>(printer, value, integer);
    case Shape::kUnsignedOut:
      return print_cell<std::uint32_t>(printer, value,
                                       [&](std::uint32_t number) { printer.unsigned_decimal(number); });
    case Shape::kLongIn:
    case Shape::kLongOut:
      return print_word(printer, value, printer.uint_arg(1) == 0x80081272);
    case Shape::kFlagsIn:
    case Shape::kFlagsOut:
      return print_flag_word(printer, value);
    case Shape::kWindowIn:
    case Shape::kWindowOut:
      return print_window(printer, value);
    case Shape::kTermiosIn:
    case Shape::kTermiosOut:
      return print_termios(printer, value, false);
    case Shape::kTermioIn:
    case Shape::kTermioOut:
      return print_termios(printer, value, true);
    case Shape::kCharacter:
      return printer.buffer(value, 1);
    default:
      return print_interface(printer, value, shape);
  }
}

}  // namespace

void print_ioctl_request(Printer& printer, unsigned at) {
  const std::uint32_t code = printer.uint_arg(at);
  const Request* const request = find_request(code);
  request != nullptr ? printer.text(request->name) : print_unknown(printer, code);
}

When when_ioctl_argument(const Call& call) {
  const Decoded* const decoded = find_decoded(static_cast<std::uint32_t>(call.args[1]));
  return decoded != nullptr && is_stored(decoded->shape) ? When::kReturn : When::kEntry;
}

void print_ioctl_argument(Printer& printer, unsigned at) {
  const std::uint32_t code = printer.uint_arg(at - 1);
  const Request* const request = find_request(code);
  const Decoded* const decoded = find_decoded(code);
  if (request != nullptr && request->content == Content::kNone && decoded == nullptr) return;
  printer.next();
  if (decoded != nullptr) return print_shape(printer, printer.arg(at), decoded->shape);
  const bool pointer = request != nullptr && request->content == Content::kPointer;
  pointer ? printer.pointer(printer.arg(at)) : printer.hex(printer.arg(at));
}

}  // namespace ringside::strace::arguments
