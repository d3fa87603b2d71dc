#include "stub/cli/pump.hpp"

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdint>

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

namespace ringside::cli {
namespace {

// What has been read and not been written.
class Buffer {
 public:
  bool empty() const { return begin_ == end_; }
  bool wants_input() const { return !ended_ && empty(); }
  bool ended() const { return ended_ && empty(); }

  // `read` as read(2); false when there is an error that is not the end of the data.
  template <typename Read>
  bool fill(Read read) {
    const ssize_t size = read(bytes_.data(), bytes_.size());
    if (size < 0) return errno == EINTR || errno == EAGAIN;
    begin_ = 0;
    end_ = static_cast<std::size_t>(size);
    ended_ = size == 0;
    return true;
  }
  template <typename Write>
  bool drain(Write write) {
    const ssize_t size = write(bytes_.data() + begin_, end_ - begin_);
    if (size < 0) return errno == EINTR || errno == EAGAIN;
    begin_ += static_cast<std::size_t>(size);
    return true;
  }

 private:
  std::array<std::uint8_t, 65536> bytes_;
  std::size_t begin_ = 0, end_ = 0;
  bool ended_ = false;
};

class Pump {
 public:
  Pump(int in, int out, int socket) : in_(in), out_(out), socket_(socket) {}

  Result<void> run() {
    while (!done_ && !down_.ended()) RS_TRY(turn());
    return {};
  }

 private:
  // A descriptor from which nothing is wanted is left out: its hang-up would wake us for ever.
  static int if_wanted(int descriptor, short events) { return events != 0 ? descriptor : -1; }

  Result<void> turn() {
    const short on_in = up_.wants_input() ? POLLIN : 0;
    const auto on_socket =
        static_cast<short>((down_.wants_input() ? POLLIN : 0) | (up_.empty() ? 0 : POLLOUT));
    const short on_out = down_.empty() ? 0 : POLLOUT;
    std::array<pollfd, 3> polled = {{{if_wanted(in_, on_in), on_in, 0},
                                     {if_wanted(socket_, on_socket), on_socket, 0},
                                     {out_, on_out, 0}}};
    if (::poll(polled.data(), polled.size(), -1) < 0 && errno != EINTR) return fail_errno("poll", errno);
    if (polled[0].revents != 0) take_input();
    if (polled[1].revents != 0) RS_TRY(exchange());
    if (polled[2].revents != 0) give_output(polled[2].revents);
    return {};
  }

  void take_input() {
    // Who gives us input is gone, however it left: that is the end of it.
    const bool readable = up_.fill([this](void* to, std::size_t size) { return ::read(in_, to, size); });
    if (!readable) up_.fill([](void*, std::size_t) -> ssize_t { return 0; });
    if (up_.ended()) ::shutdown(socket_, SHUT_WR);
  }

  Result<void> exchange() {
    constexpr int kNoWaiting = MSG_DONTWAIT | MSG_NOSIGNAL;
    bool alive = true;
    if (!up_.empty()) {
      alive = up_.drain(
          [this](const void* from, std::size_t size) { return ::send(socket_, from, size, kNoWaiting); });
    }
    // Even when it takes nothing more it may have said something before.
    if (down_.wants_input()) {
      alive =
          down_.fill([this](void* to, std::size_t size) { return ::recv(socket_, to, size, MSG_DONTWAIT); });
    }
    if (!alive) return fail_errno("the connection is lost", errno);
    return {};
  }

  // stdout may be shared with others, so it stays blocking: a piece this small never waits after POLLOUT
  // (pipe(7): PIPE_BUF), and so neither direction waits for the other.
  void give_output(short events) {
    static constexpr std::size_t kPiece = 4096;
    if (down_.empty()) {
      done_ = (events & (POLLERR | POLLHUP | POLLNVAL)) != 0;
      return;
    }
    done_ = !down_.drain(
        [this](const void* from, std::size_t size) { return ::write(out_, from, std::min(size, kPiece)); });
  }

  int in_, out_, socket_;
  Buffer up_, down_;
  bool done_ = false;  // nobody reads what we write
};

}  // namespace

Result<void> pump(int in, int out, int socket) { return Pump(in, out, socket).run(); }

}  // namespace ringside::cli
