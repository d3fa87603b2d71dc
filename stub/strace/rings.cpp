// io_uring and asynchronous I/O: their structures, as far as they are shown.
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace::arguments {

namespace {

struct Params {
  std::uint32_t sq_entries, cq_entries, flags, sq_cpu, sq_idle, features, wq_fd;
  std::array<std::uint32_t, 3> reserved;
  std::array<std::uint32_t, 7> sq;
  std::uint32_t sq_reserved;
  std::uint64_t sq_reserved2;
  std::array<std::uint32_t, 7> cq;
  std::uint32_t cq_reserved;
  std::uint64_t cq_reserved2;
};
static_assert(sizeof(Params) == 120);

void print_reserved(Printer& printer, std::uint32_t first, std::uint64_t second) {
  if (first != 0) printer.format(", resv1={:#x}", first);
  if (second != 0) printer.format(", resv2={:#x}", second);
  printer.text("}");
}

void print_asked(Printer& printer, const Params& params) {
  constexpr std::uint32_t kAttach = 0x20;  // IORING_SETUP_ATTACH_WQ
  printer.text("{flags=");
  printer.flags(names::io_uring_setup_flags, params.flags);
  printer.format(", sq_thread_cpu={}, sq_thread_idle={}", params.sq_cpu, params.sq_idle);
  if ((params.flags & kAttach) != 0) {
    printer.text(", wq_fd=");
    printer.fd(static_cast<std::int32_t>(params.wq_fd));
  }
}

void print_given(Printer& printer, const Params& params) {
  const auto& sq = params.sq;
  const auto& cq = params.cq;
  printer.format(", sq_entries={}, cq_entries={}, features=", params.sq_entries, params.cq_entries);
  printer.flags(names::io_uring_features, params.features);
  printer.format(", sq_off={{head={}, tail={}, ring_mask={}, ring_entries={}, flags={}, dropped={}, array={}",
                 sq[0], sq[1], sq[2], sq[3], sq[4], sq[5], sq[6]);
  print_reserved(printer, params.sq_reserved, params.sq_reserved2);
  printer.format(", cq_off={{head={}, tail={}, ring_mask={}, ring_entries={}, overflow={}, cqes={}, flags={}",
                 cq[0], cq[1], cq[2], cq[3], cq[4], cq[5], cq[6]);
  print_reserved(printer, params.cq_reserved, params.cq_reserved2);
}

}  // namespace

// Its first half is asked for, its second is given: one brace around both.
void print_io_uring_params(Printer& printer, unsigned at) {
  const auto params =
      printer.arg(at) == 0 ? std::nullopt : printer.before_return().load<Params>(printer.arg(at));
  const bool at_return = printer.phase() == Phase::kReturn;
  if (!params) return at_return ? void() : printer.pointer(printer.arg(at));
  if (!at_return) return print_asked(printer, *params);
  if (!printer.failed()) print_given(printer, *params);
  printer.text("}");
}

// As many as the result says.
void print_io_events(Printer& printer, unsigned at) {
  struct Event {
    std::uint64_t data, object;
    std::int64_t result, result2;
  };
  if (printer.failed()) return printer.pointer(printer.arg(at));
  const auto show = [&](std::uint64_t element) {
    const auto event = printer.load<Event>(element);
    if (!event) return false;
    printer.text("{data=");
    printer.hex(event->data);
    printer.text(", obj=");
    printer.pointer(event->object);
    printer.format(", res={}, res2={}}}", event->result, event->result2);
    return true;
  };
  print_array(printer, printer.arg(at), static_cast<std::uint64_t>(printer.call().result), sizeof(Event),
              show, printer.style().string_limit);
}

}  // namespace ringside::strace::arguments
