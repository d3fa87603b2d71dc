#include "stub/cli/terminal.hpp"

#include <atomic>
#include <cerrno>

#include <fcntl.h>
#include <poll.h>
#include <termios.h>
#include <unistd.h>

#include <boost/asio/as_tuple.hpp>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/use_awaitable.hpp>

namespace ringside::cli {
namespace {

constexpr auto kAwait = boost::asio::as_tuple(boost::asio::use_awaitable);
constexpr char kEscape = 1;  // Ctrl-a

termios saved_state;
std::atomic<bool> raw{false};

bool make_raw() {
  if (::tcgetattr(STDIN_FILENO, &saved_state) != 0) return false;
  termios state = saved_state;
  ::cfmakeraw(&state);
  state.c_oflag |= OPOST;  // our own lines still end in CR LF
  raw = true;
  return ::tcsetattr(STDIN_FILENO, TCSANOW, &state) == 0;
}

}  // namespace

void restore_terminal() noexcept {
  if (raw.exchange(false)) ::tcsetattr(STDIN_FILENO, TCSANOW, &saved_state);
}

EscapeFilter::Typed EscapeFilter::take(std::string_view input) {
  Typed typed;
  for (const char c : input) {
    if (!escaped_) {
      escaped_ = c == kEscape;
      if (!escaped_) typed.text += c;
      continue;
    }
    escaped_ = false;
    if (c == 'x' || c == 'X') {
      typed.leave = true;
      return typed;
    }
    typed.text += c;  // Ctrl-a Ctrl-a sends one; any other key only loses its Ctrl-a
  }
  return typed;
}

Terminal::Terminal(boost::asio::any_io_executor executor, Callbacks callbacks)
    : input_(executor), retry_(executor), callbacks_(std::move(callbacks)) {}

Terminal::~Terminal() { restore_terminal(); }

void Terminal::start() {
  is_terminal_ = ::isatty(STDIN_FILENO) == 1;
  const int copy = ::fcntl(STDIN_FILENO, F_DUPFD_CLOEXEC, 3);
  if (copy < 0) return;
  boost::system::error_code error;
  input_.assign(copy, error);  // fails for a plain file, which epoll does not know: no input then
  if (error) {
    ::close(copy);
    return;
  }
  if (is_terminal_) make_raw();
  boost::asio::co_spawn(input_.get_executor(), read_loop(), boost::asio::detached);
}

void Terminal::stop() {
  stopped_ = true;
  boost::system::error_code ignored;
  input_.close(ignored);
  retry_.cancel();
  restore_terminal();
}

boost::asio::awaitable<void> Terminal::read_loop() {
  while (!stopped_) {
    const auto buffer = boost::asio::buffer(buffer_);
    const auto [error, size] = co_await input_.async_read_some(buffer, kAwait);
    if (error || stopped_) co_return;
    std::string_view input(buffer_.data(), size);
    EscapeFilter::Typed typed;
    if (is_terminal_) {
      typed = filter_.take(input);
    } else {
      typed.text = input;
    }
    co_await feed(std::move(typed.text));
    if (typed.leave) callbacks_.leave();
  }
}

// The guest takes what its FIFO has room for; the rest waits.
boost::asio::awaitable<void> Terminal::feed(std::string text) {
  std::size_t done = 0;
  while (!stopped_ && done < text.size()) {
    const std::size_t taken = callbacks_.type(std::string_view(text).substr(done));
    done += taken;
    if (taken > 0) continue;
    retry_.expires_after(std::chrono::milliseconds(20));
    co_await retry_.async_wait(kAwait);
  }
}

void Terminal::write(std::string_view text) {
  while (!text.empty()) {
    const ssize_t done = ::write(STDOUT_FILENO, text.data(), text.size());
    if (done > 0) {
      text.remove_prefix(static_cast<std::size_t>(done));
    } else if (errno == EAGAIN) {
      pollfd wait{.fd = STDOUT_FILENO, .events = POLLOUT, .revents = 0};
      ::poll(&wait, 1, -1);
    } else if (errno != EINTR) {
      return;  // nobody reads any more; the guest runs on
    }
  }
}

}  // namespace ringside::cli
