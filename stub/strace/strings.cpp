// Arguments that are strings, buffers and arrays of them.
#include <algorithm>
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace {

namespace {

constexpr std::uint64_t kMaxIov = 1024;  // UIO_MAXIOV

// What a call that filled a buffer left in it.
void print_filled_bytes(Printer& printer, unsigned at) {
  if (printer.failed()) return printer.pointer(printer.arg(at));
  printer.buffer(printer.arg(at), static_cast<std::uint64_t>(printer.call().result));
}

struct IovecItem {
  std::uint64_t base;
  std::uint64_t size;
};

std::optional<IovecItem> load_iovec(const Printer& printer, std::uint64_t at) {
  const auto base = printer.load_word(at);
  const auto size = printer.load_word(at + printer.word_size());
  if (!base || !size) return std::nullopt;
  return IovecItem{*base, *size};
}

void print_strings(Printer& printer, std::uint64_t at) {
  if (at == 0) return printer.text("NULL");
  const std::uint64_t limit = std::min<std::uint64_t>(printer.style().string_limit, 1024);
  for (std::uint64_t i = 0;; ++i) {
    const auto string = printer.load_word(at + i * printer.word_size());
    if (!string) {
      if (i == 0) return printer.pointer(at);
      printer.format(", ... /* {:#x} */", at + i * printer.word_size());
      break;
    }
    if (i == 0) printer.text("[");
    if (*string == 0) break;
    if (i > 0) printer.text(", ");
    if (i >= limit) {
      printer.text("...");
      break;
    }
    printer.string(*string);
  }
  printer.text("]");
}

void print_count_of_strings(Printer& printer, std::uint64_t at) {
  constexpr std::uint64_t kMost = 65536;
  printer.pointer(at);
  if (at == 0) return;
  std::uint64_t count = 0;
  bool readable = true;
  while (count < kMost) {
    const auto string = printer.load_word(at + count * printer.word_size());
    readable = string.has_value();
    if (!readable || *string == 0) break;
    ++count;
  }
  if (!readable && count == 0) return;
  printer.format(" /* {} var{}{} */", count, count == 1 ? "" : "s", readable ? "" : ", unterminated");
}

}  // namespace

void print_iovec(Printer& printer, std::uint64_t at, std::uint64_t count, Iovec how, std::uint64_t bytes) {
  Printer reading = printer.before_return();  // the kernel changes buffers, not the array
  const auto show = [&](std::uint64_t element) {
    const auto item = load_iovec(reading, element);
    if (!item) return false;
    reading.text("{iov_base=");
    if (how == Iovec::kPointers) {
      reading.pointer(item->base);
    } else {
      const std::uint64_t size = std::min(item->size, bytes);
      reading.buffer(item->base, size);
      bytes -= size;
    }
    reading.format(", iov_len={}}}", item->size);
    return true;
  };
  print_array(reading, at, std::min(count, kMaxIov), 2 * reading.word_size(), show,
              reading.style().string_limit);
}

namespace arguments {

void print_path(Printer& printer, unsigned at) { printer.path(printer.arg(at)); }
void print_string_(Printer& printer, unsigned at) { printer.string(printer.arg(at)); }

void print_path_out(Printer& printer, unsigned at) {
  if (printer.failed()) return printer.pointer(printer.arg(at));
  if (printer.call().result == 0) return printer.pointer(printer.arg(at));
  printer.path_within(printer.arg(at), static_cast<std::uint64_t>(printer.call().result));
}

void print_random_out(Printer& printer, unsigned at) {
  if (printer.failed()) return printer.pointer(printer.arg(at));
  printer.hex_buffer(printer.arg(at), static_cast<std::uint64_t>(printer.call().result));
}

void print_written(Printer& printer, unsigned at) { printer.buffer(printer.arg(at), printer.arg(at + 1)); }
void print_filled(Printer& printer, unsigned at) { print_filled_bytes(printer, at); }
void print_buffer_sized(Printer& printer, unsigned at) {
  printer.buffer(printer.arg(at), printer.uint_arg(at + 1));
}
void print_buffer_before(Printer& printer, unsigned at) {
  printer.buffer(printer.arg(at), printer.arg(at - 1));
}
void print_key_payload(Printer& printer, unsigned at) { print_written(printer, at); }

// A NUL at the end of an attribute's value is left away.
void print_xattr_in(Printer& printer, unsigned at) {
  const std::uint64_t size = printer.arg(at + 1);
  const std::uint64_t value = printer.arg(at);
  const bool ends = value != 0 && size > 0 && printer.load<std::uint8_t>(value + size - 1) == std::uint8_t{0};
  printer.buffer(value, ends ? size - 1 : size);
}
void print_xattr_out(Printer& printer, unsigned at) {
  const std::uint64_t value = printer.arg(at);
  if (printer.failed() || printer.arg(at + 1) == 0) return printer.pointer(value);
  const auto size = static_cast<std::uint64_t>(printer.call().result);
  const bool ends = value != 0 && size > 0 && printer.load<std::uint8_t>(value + size - 1) == std::uint8_t{0};
  printer.buffer(value, ends ? size - 1 : size);
}

// Asked for its size only, the list is not filled.
void print_xattr_list(Printer& printer, unsigned at) {
  printer.arg(at + 1) == 0 ? printer.pointer(printer.arg(at)) : print_filled_bytes(printer, at);
}

void print_iovec_filled(Printer& printer, unsigned at) {
  const std::uint64_t count = printer.arg(at + 1);
  if (printer.failed()) return print_iovec(printer, printer.arg(at), count, Iovec::kPointers, 0);
  print_iovec(printer, printer.arg(at), count, Iovec::kBytes,
              static_cast<std::uint64_t>(printer.call().result));
}
void print_iovec_written(Printer& printer, unsigned at) {
  print_iovec(printer, printer.arg(at), printer.arg(at + 1), Iovec::kBytes, ~std::uint64_t{0});
}
void print_iovec_plain(Printer& printer, unsigned at) {
  print_iovec(printer, printer.arg(at), printer.arg(at + 1), Iovec::kPointers, 0);
}
void print_iovec_local_filled(Printer& printer, unsigned at) { print_iovec_filled(printer, at); }
void print_iovec_local_written(Printer& printer, unsigned at) { print_iovec_written(printer, at); }

void print_argument_vector(Printer& printer, unsigned at) { print_strings(printer, printer.arg(at)); }
void print_environment(Printer& printer, unsigned at) { print_count_of_strings(printer, printer.arg(at)); }

void print_utsname_out(Printer& printer, unsigned at) {
  struct Utsname {
    std::array<std::uint8_t, 65> system, node, release, version, machine, domain;
  };
  const auto names = printer.failed() ? std::nullopt : printer.load<Utsname>(printer.arg(at));
  if (!names) return printer.pointer(printer.arg(at));
  printer.text("{sysname=");
  printer.fixed_string(names->system);
  printer.text(", nodename=");
  printer.fixed_string(names->node);
  printer.text(", ...}");
}

namespace {

void print_msgbuf(Printer& printer, std::uint64_t at, std::uint64_t size) {
  const auto type = at == 0 ? std::nullopt : printer.load_word(at);
  if (!type) return printer.pointer(at);
  printer.text("{mtype=");
  printer.decimal(printer.i386() ? static_cast<std::int32_t>(*type) : static_cast<std::int64_t>(*type));
  printer.text(", mtext=");
  printer.buffer(at + printer.word_size(), size);
  printer.text("}");
}

}  // namespace

void print_msgbuf_in(Printer& printer, unsigned at) {
  print_msgbuf(printer, printer.arg(at), printer.arg(at + 1));
}
void print_msgbuf_out(Printer& printer, unsigned at) {
  if (printer.failed()) return printer.pointer(printer.arg(at));
  print_msgbuf(printer, printer.arg(at), printer.arg(at + 1));
}

// ipc()'s of version 0: where it has failed, strace does not look for the type.
void print_msgrcv_indirect(Printer& printer, unsigned at) {
  const auto words = printer.arg(at) == 0 || printer.failed()
                         ? std::nullopt
                         : printer.load<std::array<std::uint32_t, 2>>(printer.arg(at));
  printer.next();
  words ? print_msgbuf(printer, (*words)[0], printer.arg(at + 1)) : printer.pointer(printer.arg(at));
  printer.next();
  printer.unsigned_decimal(printer.arg(at + 1));
  if (words) {
    printer.next();
    printer.decimal(static_cast<std::int32_t>((*words)[1]));
  }
  printer.next();
  printer.flags(names::msgrcv_flags, printer.uint_arg(at + 2));
}

}  // namespace arguments

}  // namespace ringside::strace
