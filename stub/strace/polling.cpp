// poll, select and epoll.
#include <algorithm>
#include <array>

#include "stub/strace/arguments.hpp"

namespace ringside::strace {

void print_fd_set(Printer& printer, std::uint64_t at, std::int32_t count) {
  constexpr std::int32_t kMost = 1024;  // FD_SETSIZE
  if (at == 0) return printer.text("NULL");
  std::array<std::uint8_t, kMost / 8> set{};
  const std::int32_t shown = count < 0 ? kMost : std::min(count, kMost);
  const auto word = static_cast<std::int32_t>(printer.word_size() * 8);
  const auto bytes = static_cast<std::size_t>((shown + word - 1) / word * (word / 8));
  if (!printer.read(at, MutableByteView(set).first(bytes))) return printer.pointer(at);
  printer.text("[");
  bool first = true;
  for (std::int32_t fd = 0; fd < shown; ++fd) {
    if ((set[static_cast<std::size_t>(fd) / 8] >> fd % 8 & 1) == 0) continue;
    if (!first) printer.text(" ");
    printer.fd(fd);
    first = false;
  }
  printer.text("]");
}

namespace {

struct PollFd {
  std::int32_t fd;
  std::uint16_t events, revents;
};

struct [[gnu::packed]] EpollEvent {
  std::uint32_t events;
  std::uint64_t data;
};

bool print_epoll_event(Printer& printer, std::uint64_t at) {
  const auto event = printer.load<EpollEvent>(at);
  if (!event) return false;
  const std::uint64_t data = event->data;
  printer.text("{events=");
  printer.flags(names::epoll_events, event->events);
  printer.format(", data={{u32={}, u64={}}}}}", static_cast<std::uint32_t>(data), data);
  return true;
}

}  // namespace

namespace arguments {

void print_pollfds(Printer& printer, unsigned at) {
  const auto show = [&](std::uint64_t element) {
    const auto poll = printer.load<PollFd>(element);
    if (!poll) return false;
    printer.text("{fd=");
    printer.fd(poll->fd);
    if (poll->fd >= 0) {
      printer.text(", events=");
      printer.flags(names::poll_events, poll->events);
    }
    printer.text("}");
    return true;
  };
  print_array(printer, printer.arg(at), printer.uint_arg(at + 1), sizeof(PollFd), show,
              printer.style().string_limit);
}

void print_fd_set_in(Printer& printer, unsigned at) {
  print_fd_set(printer, printer.arg(at), printer.int_arg(0));
}

// One pointer to the five of them.
void print_old_select(Printer& printer, unsigned at) {
  const auto all = printer.load<std::array<std::uint32_t, 5>>(printer.arg(at));
  if (!all) return printer.pointer(printer.arg(at));
  const auto count = static_cast<std::int32_t>((*all)[0]);
  printer.decimal(count);
  for (std::size_t i = 1; i < 4; ++i) printer.next(), print_fd_set(printer, (*all)[i], count);
  printer.next();
  print_timeval(printer, (*all)[4], 4);
}

void print_epoll_event_in(Printer& printer, unsigned at) {
  constexpr std::uint32_t kDelete = 2;
  const std::uint64_t where = printer.arg(at);
  if (printer.uint_arg(1) == kDelete || where == 0 || !print_epoll_event(printer, where))
    printer.pointer(where);
}

void print_epoll_events_out(Printer& printer, unsigned at) {
  if (printer.failed()) return printer.pointer(printer.arg(at));
  const auto show = [&](std::uint64_t element) { return print_epoll_event(printer, element); };
  print_array(printer, printer.arg(at), static_cast<std::uint64_t>(printer.call().result), sizeof(EpollEvent),
              show, printer.style().string_limit);
}

}  // namespace arguments

}  // namespace ringside::strace
