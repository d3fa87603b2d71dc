// Arguments that are numbers, addresses, offsets and ids.
#include "stub/strace/arguments.hpp"

namespace ringside::strace::arguments {

namespace {

constexpr std::uint64_t kIdsShown = 65536;  // NGROUPS_MAX; the text's own bound comes first

template <typename T>
void print_ids(Printer& printer, std::uint64_t at, std::uint64_t count) {
  const auto show = [&](std::uint64_t element) {
    const auto id = printer.load<T>(element);
    if (id) printer.unsigned_decimal(*id);
    return id.has_value();
  };
  print_array(printer, at, count, sizeof(T), show, printer.style().string_limit);
}

template <typename T>
void print_groups_in(Printer& printer, unsigned at) {
  const std::int32_t count = printer.int_arg(at - 1);
  if (count < 0 || static_cast<std::uint64_t>(count) > kIdsShown) return printer.pointer(printer.arg(at));
  print_ids<T>(printer, printer.arg(at), static_cast<std::uint64_t>(count));
}

template <typename T>
void print_groups_out(Printer& printer, unsigned at) {
  if (printer.failed()) return printer.pointer(printer.arg(at));
  const bool counted_only = printer.int_arg(at - 1) == 0;
  print_ids<T>(printer, printer.arg(at),
               counted_only ? 0 : static_cast<std::uint64_t>(printer.call().result));
}

template <typename T>
void print_offset_cell(Printer& printer, std::uint64_t at) {
  print_cell<T>(printer, at, [&](T value) { printer.decimal(static_cast<std::int64_t>(value)); });
}

// At the return only what has changed is added: [0] => [4096].
template <typename T>
void print_offset_in_out(Printer& printer, unsigned at) {
  if (printer.phase() == Phase::kEntry) return print_offset_cell<T>(printer, printer.arg(at));
  if (printer.failed() || printer.arg(at) == 0 || printer.call().result == 0) return;
  if (!printer.load<T>(printer.arg(at))) return;
  printer.text(" => ");
  print_offset_cell<T>(printer, printer.arg(at));
}

template <typename T>
void print_number_out(Printer& printer, unsigned at) {
  if (printer.failed()) return printer.pointer(printer.arg(at));
  print_cell<T>(printer, printer.arg(at), [&](T value) { printer.unsigned_decimal(value); });
}

void print_word_out(Printer& printer, unsigned at, bool as_pointer) {
  const auto value =
      printer.failed() || printer.arg(at) == 0 ? std::nullopt : printer.load_word(printer.arg(at));
  if (!value) return printer.pointer(printer.arg(at));
  printer.text("[");
  as_pointer ? printer.pointer(*value) : printer.unsigned_decimal(*value);
  printer.text("]");
}

}  // namespace

void print_int_(Printer& printer, unsigned at) { printer.decimal(printer.int_arg(at)); }
void print_uint_(Printer& printer, unsigned at) { printer.unsigned_decimal(printer.uint_arg(at)); }
void print_long_(Printer& printer, unsigned at) { printer.decimal(printer.long_arg(at)); }
void print_ulong(Printer& printer, unsigned at) { printer.unsigned_decimal(printer.arg(at)); }
void print_hex_(Printer& printer, unsigned at) { printer.hex(printer.arg(at)); }
void print_hex32(Printer& printer, unsigned at) { printer.hex(printer.uint_arg(at)); }
void print_address(Printer& printer, unsigned at) { printer.pointer(printer.arg(at)); }
void print_user(Printer& printer, unsigned at) { printer.user(printer.uint_arg(at)); }
void print_user16(Printer& printer, unsigned at) {
  const auto id = static_cast<std::uint16_t>(printer.arg(at));
  printer.user(id == 0xffff ? 0xffffffff : id);
}

void print_offset64(Printer& printer, unsigned at) {
  printer.decimal(static_cast<std::int64_t>(printer.pair_arg(at)));
}
void print_offset_pair(Printer& printer, unsigned at) { print_offset64(printer, at); }

void print_offset_in(Printer& printer, unsigned at) {
  print_offset_cell<std::int64_t>(printer, printer.arg(at));
}

void print_offset_in_out(Printer& printer, unsigned at) {
  printer.i386() ? print_offset_in_out<std::int32_t>(printer, at)
                 : print_offset_in_out<std::int64_t>(printer, at);
}
void print_offset64_in_out(Printer& printer, unsigned at) { print_offset_in_out<std::int64_t>(printer, at); }

// The high half comes first here (Linux: fs/read_write.c, SYSCALL_DEFINE5(llseek)).
void print_llseek_offset(Printer& printer, unsigned at) {
  printer.decimal(static_cast<std::int64_t>(printer.arg(at) << 32 | printer.uint_arg(at + 1)));
}
void print_llseek_result(Printer& printer, unsigned at) {
  if (printer.failed()) return printer.pointer(printer.arg(at));
  print_offset_cell<std::int64_t>(printer, printer.arg(at));
}

void print_uint_out(Printer& printer, unsigned at) { print_number_out<std::uint32_t>(printer, at); }
void print_id_out(Printer& printer, unsigned at) { print_number_out<std::uint32_t>(printer, at); }
void print_id16_out(Printer& printer, unsigned at) { print_number_out<std::uint16_t>(printer, at); }
void print_pointer_out(Printer& printer, unsigned at) { print_word_out(printer, at, true); }
void print_length_out(Printer& printer, unsigned at) { print_word_out(printer, at, false); }
void print_aio_context_out(Printer& printer, unsigned at) { print_word_out(printer, at, true); }

void print_groups_in(Printer& printer, unsigned at) { print_groups_in<std::uint32_t>(printer, at); }
void print_groups16_in(Printer& printer, unsigned at) { print_groups_in<std::uint16_t>(printer, at); }
void print_groups_out(Printer& printer, unsigned at) { print_groups_out<std::uint32_t>(printer, at); }
void print_groups16_out(Printer& printer, unsigned at) { print_groups_out<std::uint16_t>(printer, at); }

}  // namespace ringside::strace::arguments
