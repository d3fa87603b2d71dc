// Sessions on one end of local socket pairs, the test on the other; a real hub on the fake machine between
// them. Everything happens in the test's thread, in settle().
#pragma once

#include <cerrno>
#include <memory>
#include <string>
#include <string_view>
#include <utility>

#include <fcntl.h>
#include <sys/socket.h>
#include <unistd.h>

#include <boost/asio/generic/stream_protocol.hpp>

#include "stub/rsp/framer.hpp"
#include "stub/session/session.hpp"
#include "tests/unit/hub/hub_testing.hpp"

namespace ringside::session {

inline std::string framed(std::string_view body) {
  std::string out;
  rsp::append_packet(out, body);
  return out;
}

// The test's end of a connection.
class Remote {
 public:
  explicit Remote(int fd) : fd_(fd) { ::fcntl(fd_, F_SETFL, O_NONBLOCK); }
  ~Remote() { close(); }
  Remote(Remote&& other) noexcept : fd_(std::exchange(other.fd_, -1)) {}
  Remote& operator=(Remote&&) = delete;

  void close() {
    if (fd_ >= 0) ::close(fd_);
    fd_ = -1;
  }
  // How many bytes were taken.
  std::size_t write(std::string_view bytes) {
    const ssize_t taken = ::send(fd_, bytes.data(), bytes.size(), MSG_NOSIGNAL);
    return taken < 0 ? 0 : static_cast<std::size_t>(taken);
  }
  // All that is there.
  std::string read() {
    std::string all;
    char piece[65536];
    for (ssize_t size; (size = ::recv(fd_, piece, sizeof piece, 0)) > 0;)
      all.append(piece, static_cast<std::size_t>(size));
    return all;
  }
  // The stub has closed its end, and nothing is left to be read.
  bool ended() {
    char byte = 0;
    const ssize_t size = ::recv(fd_, &byte, 1, MSG_PEEK);
    return size == 0 || (size < 0 && errno == ECONNRESET);
  }
  int fd() const { return fd_; }

 private:
  int fd_;
};

class SessionTest : public hub::HubTest {
 protected:
  // The guest runs until a tracer stops it.
  SessionTest() : HubTest(2, false) {}

  // Sessions end before the hub does: the test's ends are closed by now.
  void TearDown() override { settle(); }

  // Until nothing is left to do: what one end has written the other finds at once.
  void settle() {
    std::size_t done = 1;
    while (done > 0) {
      io_.restart();
      done = io_.poll();
    }
  }
  Remote connect(tracer::AttachOptions options = {}) {
    int ends[2];
    RS_CHECK(::socketpair(AF_UNIX, SOCK_STREAM, 0, ends) == 0);
    Socket socket(io_, boost::asio::generic::stream_protocol(AF_UNIX, 0), ends[0]);
    auto session = std::make_shared<Session>(std::move(socket), "test");
    last_ = session;
    session->start(hub_, options);
    return Remote(ends[1]);
  }
  // What comes back when this is sent.
  std::string say(Remote& remote, std::string_view bytes) {
    while (!bytes.empty()) {
      const std::size_t taken = remote.write(bytes);
      bytes.remove_prefix(taken);
      settle();
      if (taken == 0 && remote.ended()) break;
    }
    settle();
    return remote.read();
  }
  std::string ask(Remote& remote, std::string_view body) { return say(remote, framed(body)); }
  // Acknowledgements left behind, and the guest held.
  Remote connect_and_stop() {
    Remote remote = connect();
    ask(remote, "QStartNoAckMode");
    const std::string stop = ask(remote, "?");
    RS_CHECK(stop.starts_with("$T05"));
    return remote;
  }

  std::weak_ptr<Session> last_;
};

}  // namespace ringside::session
