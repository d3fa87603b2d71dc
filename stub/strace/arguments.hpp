// The decoders of single arguments, by kind (arguments.def), and what several of them share.
//
// Thread: any.
#pragma once

#include <cstdint>

#include "stub/strace/printer.hpp"

namespace ringside::strace {

enum class When : std::uint8_t { kEntry, kReturn, kBoth };

struct Kind {
  void (*print)(Printer&, unsigned at);  // `at`: its first register
  When when = When::kEntry;
  When (*decide)(const Call&) = nullptr;  // instead of `when`
  unsigned registers = 1;                 // on x86-64
  unsigned registers_i386 = 1;
  bool tail = false;
};

template <const Names& kTable>
void print_flags_of(Printer& printer, unsigned at) {
  printer.flags(kTable, printer.uint_arg(at));
}
template <const Names& kTable>
void print_long_flags_of(Printer& printer, unsigned at) {
  printer.flags(kTable, printer.arg(at));
}
template <const Names& kTable>
void print_name_of(Printer& printer, unsigned at) {
  printer.named(kTable, printer.uint_arg(at));
}

namespace arguments {
#define ARGUMENT(kind, time) void print_##kind(Printer&, unsigned);
#define WIDE(kind, time) ARGUMENT(kind, time)
#define PAIR(kind, time) ARGUMENT(kind, time)
#define TAIL(kind, time) ARGUMENT(kind, time)
#define FLAGS(table)
#define LONG_FLAGS(table)
#define NAMED(table)
#include "stub/strace/arguments.def"
#undef ARGUMENT
#undef WIDE
#undef PAIR
#undef TAIL
When when_fcntl_argument(const Call&);
When when_ioctl_argument(const Call&);
When when_prctl_rest(const Call&);
When when_arch_prctl_argument(const Call&);
When when_ptrace_rest(const Call&);
When when_keyctl_rest(const Call&);
When when_syslog_rest(const Call&);
When when_shmctl_argument(const Call&);
When when_semctl_argument(const Call&);
When when_semctl_indirect(const Call&);
When when_msgctl_argument(const Call&);
#undef FLAGS
#undef LONG_FLAGS
#undef NAMED
}  // namespace arguments

// An address that holds one T: "[5]", by `show`; the pointer when it cannot be read.
template <typename T, typename Show>
void print_cell(Printer& printer, std::uint64_t at, Show show) {
  const auto value = at == 0 ? std::nullopt : printer.load<T>(at);
  if (!value) return printer.pointer(at);
  printer.text("[");
  show(*value);
  printer.text("]");
}

// An array: "[a, b]", "[a, ...]"; stops at the first element that cannot be read, which prints as a pointer.
// `show(address)` says whether it could be read, having printed nothing if not.
template <typename Show>
void print_array(Printer& printer, std::uint64_t at, std::uint64_t count, std::uint64_t size, Show show,
                 std::uint64_t shown = Printer::kMaxElements) {
  if (at == 0) return printer.text("NULL");
  if (count == 0) return printer.text("[]");
  if (at + count * size < at || count > ~std::uint64_t{0} / size) return printer.pointer(at);
  for (std::uint64_t i = 0; i < count; ++i) {
    const std::uint64_t element = at + i * size;
    if (i == 0 && !printer.load<std::uint8_t>(element)) return printer.pointer(at);
    printer.text(i == 0 ? "[" : ", ");
    if (i == shown) {
      printer.text("...");
      break;
    }
    if (!show(element)) {
      printer.text("...");
      printer.format(" /* {:#x} */", element);
      break;
    }
  }
  printer.text("]");
}

// Structures that stand in several calls.
void print_timespec(Printer&, std::uint64_t at, std::uint64_t word);  // {tv_sec=1, tv_nsec=5}; word: 4 or 8
void print_timeval(Printer&, std::uint64_t at, std::uint64_t word);
void print_signal_set(Printer&, std::uint64_t at, std::uint64_t size);
void print_siginfo(Printer&, ByteView info, bool i386);
void print_siginfo_at(Printer&, std::uint64_t at);
void print_sockaddr(Printer&, std::uint64_t at, std::uint64_t size);
void print_sockaddr_bytes(Printer&, ByteView address);
enum class Iovec : std::uint8_t { kPointers, kBytes };
void print_iovec(Printer&, std::uint64_t at, std::uint64_t count, Iovec how, std::uint64_t bytes);
void print_open_flags(Printer&, std::uint64_t flags);
void print_capability_set(Printer&, std::uint64_t set);
void print_fd_set(Printer&, std::uint64_t at, std::int32_t count);
void print_wait_status(Printer&, std::uint32_t status);
void print_personality(Printer&, std::uint32_t value);
void print_io_priority(Printer&, std::uint32_t value);
std::uint64_t ioctl_request_of(const Call& call);

}  // namespace ringside::strace
